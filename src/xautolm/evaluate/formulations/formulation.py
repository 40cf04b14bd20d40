"""What a formulation is: all that differs between asking a model for a label, tags, a span or a text. Worker side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from xautolm.evaluate.trial_data import TrialData
from xautolm.records import ModelSpec, ParamValue

Params = Mapping[str, ParamValue]


class Loss(Protocol):
    """The training loss of a micro-batch, as its part of the mean over the whole batch (see `loss.BatchTrainer`)."""

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """Loss of a micro-batch.

        Args:
            outputs: of the model.
            labels: `labels` of the micro-batch, as the collator made them.
            num_items_in_batch: `weight_of` the labels of the whole batch; None = this is the whole batch.

        Raises:
            DivergedError: the loss is not finite.
        """
        ...

    def weight_of(self, labels: Tensor) -> Tensor:
        """What the summed loss of these labels is divided by for their mean."""
        ...


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions with an exported folder.

    Attributes:
        values: one per row, in the form of `metrics.task_scores`.
        probabilities: of every label, (n_rows, n_labels), where there are such.
    """

    values: Sequence[Any]
    probabilities: NDArray[np.float64] | None = None


class Formulation(Protocol):
    """One way of asking a model; stateless, so that one object serves all trials."""

    def prepare(self, spec: Mapping[str, Any], model: ModelSpec, params: Params) -> TrialData:
        """Tokenised rows and targets of train and validation; the test split is not within reach of a trial."""
        ...

    def load_model(self, model: ModelSpec, params: Params, n_labels: int, dropout: float) -> nn.Module:
        """The pretrained model with a fresh head where the formulation needs one.

        Args:
            model: which.
            params: of the pipeline.
            n_labels: names that the task has, 0 where rows ask for numbers or texts.
            dropout: probability.
        """
        ...

    def examples(self, data: TrialData) -> Dataset[dict[str, Any]]:
        """What is trained on: dicts with `input_ids` that `data.collator` makes batches of; maybe several per row."""
        ...

    def loss(self, data: TrialData, params: Params, device: torch.device) -> Loss:
        """The training loss."""
        ...

    def monitored_rows(self, data: TrialData, params: Params, seed: int) -> Sequence[int]:
        """The validation rows that are predicted during training, always the same ones."""
        ...

    def predict(
        self,
        module: nn.Module,
        data: TrialData,
        device: torch.device,
        rows: Sequence[int] | None = None,
        *,
        n_at_once: int,
    ) -> Sequence[Any]:
        """Predict validation rows.

        Args:
            module: the model, with or without adapters.
            data: of the trial.
            device: where the model is.
            rows: which rows; None = all.
            n_at_once: rows in one batch.

        Returns:
            One prediction per row, in the order of `rows` and in the form of `metrics.task_scores`.

        Raises:
            DivergedError: an output is not finite.
        """
        ...

    def settle(self, module: nn.Module, data: TrialData) -> None:
        """Undo in the trained parameters what `prepare` did to the targets, before anything is predicted or saved."""
        ...

    def to_hugging_face(
        self, module: nn.Module, kind: str, names: Sequence[str], max_length: int, notes: Mapping[str, Any]
    ) -> PreTrainedModel:
        """A standard model that needs no code of ours.

        Args:
            module: a trained one, its adapters merged.
            kind: task kind.
            names: labels or tags of the task, by index.
            max_length: tokens that the pipeline reads.
            notes: `TrialData.notes` of the training, through JSON.
        """
        ...

    def predict_exported(
        self,
        folder: Path,
        kind: str,
        rows: Mapping[str, Any],
        device: torch.device,
        report: Callable[[int, int], None],
    ) -> Predicted:
        """Predict rows with nothing but an exported folder, in fp32.

        Args:
            folder: the model, its tokenizer and `xautolm.json`, which holds the `notes`.
            kind: task kind.
            rows: `texts`, `pairs` (maybe None) and, where the task has them, `words`.
            device: where to compute.
            report: is told how many of how many rows are done.
        """
        ...
