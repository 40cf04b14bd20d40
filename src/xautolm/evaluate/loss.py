"""The training loss, the same whatever part of a batch fits into memory at once. Runs in a worker process only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import Trainer

from xautolm.evaluate.job_folder import DivergedError


class CrossEntropy:
    """Cross-entropy, optionally weighted by inverse class frequency; a loss that is not finite ends the trial."""

    def __init__(self, weights: Tensor | None) -> None:
        self._weights = weights

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """Loss of a micro-batch as its part of the mean over the whole batch.

        Args:
            outputs: `logits` (n_rows, n_classes).
            labels: class of each row, (n_rows,).
            num_items_in_batch: `weight_of` the labels of the whole batch; None = this is the whole batch.
        """
        logits = outputs["logits"].float()
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        return finite(nn.functional.cross_entropy(logits, labels, weight=self._weights, reduction="sum") / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """What the summed loss of these rows is divided by for their mean: the rows, or the sum of their weights."""
        if self._weights is None:
            return torch.tensor(float(labels.numel()), device=labels.device)
        return self._weights[labels.to(self._weights.device)].sum()


class BinaryCrossEntropy:
    """The mean over rows and labels of the cross-entropy of "has it", optionally with the rare side weighted up."""

    def __init__(self, positive_weights: Tensor | None) -> None:
        self._positive_weights = positive_weights

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """As `CrossEntropy`, of `logits` and 0 or 1 for each label, (n_rows, n_labels)."""
        logits = outputs["logits"].float()
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, labels.float(), pos_weight=self._positive_weights, reduction="sum"
        )
        return finite(loss / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """The answers that the labels hold."""
        return torch.tensor(float(labels.numel()), device=labels.device)


class SquaredError:
    """The mean squared error of one number per row."""

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """As `CrossEntropy`, of `logits` (n_rows, 1) and numbers (n_rows,)."""
        values = outputs["logits"].float()[:, 0]
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        return finite(nn.functional.mse_loss(values, labels.float(), reduction="sum") / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """The rows."""
        return torch.tensor(float(labels.numel()), device=labels.device)


def finite(loss: Tensor) -> Tensor:
    """The loss as it is.

    Raises:
        DivergedError: it is not finite, which ends the trial.
    """
    if not bool(torch.isfinite(loss)):
        raise DivergedError(f"the training loss became {loss.item()}")
    return loss


class BatchTrainer(Trainer):  # type: ignore[misc]  # transformers is not analysed
    """A Trainer whose gradient of a batch does not depend on the micro-batches that it is computed in.

    The Trainer of the library divides by the number of rows, which is not the weight of the rows when classes are
    weighted.
    """

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weights = [self.compute_loss_func.weight_of(sample["labels"]) for sample in samples]
        return samples, torch.stack(weights).sum().to(device) if weights else None


def class_weights(labels: Sequence[int], n_classes: int) -> NDArray[np.float64]:
    """Weights n / (n_classes * count) of shape (n_classes,), as scikit-learn's `balanced`."""
    counts = np.bincount(np.asarray(labels), minlength=n_classes)
    return np.asarray(len(labels) / (n_classes * np.maximum(counts, 1)), dtype=np.float64)


def positive_weights(targets: Sequence[Sequence[int]], n_labels: int) -> NDArray[np.float64]:
    """Weight of "has it" for each label, rows without it over rows with it, between 1/10 and 10; (n_labels,)."""
    counts = np.bincount([label for target in targets for label in target], minlength=n_labels)
    return np.asarray(np.clip((len(targets) - counts) / np.maximum(counts, 1), 0.1, 10.0), dtype=np.float64)


def allocate_optimizer_state(optimizer: Any) -> None:
    """Make an optimizer allocate its moments now and not after the first step.

    Memory then peaks in step one, where the longest rows are. One step with a learning rate and gradients of 0 moves
    nothing; its count, and what weight decay and small constants left in the moments, are taken back.
    """
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    rates = [group["lr"] for group in inner.param_groups]
    for group in inner.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    inner.step()
    for group, rate in zip(inner.param_groups, rates, strict=True):
        group["lr"] = rate
    for state in inner.state.values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                value.zero_()
            elif name == "step":
                state[name] = 0
    inner.zero_grad()
