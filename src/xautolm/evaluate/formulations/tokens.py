"""One tag per word, read off by a head at the word's first token. Worker side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel

from xautolm.evaluate.batches import Collator
from xautolm.evaluate.formulations.formulation import Loss, Params, Predicted
from xautolm.evaluate.formulations.windows import (
    IGNORED,
    NOTHING,
    Batching,
    LabelledWindows,
    WindowCollator,
    Windows,
    cached_windows,
    read_windows,
)
from xautolm.evaluate.formulations.words import cut_words
from xautolm.evaluate.loss import class_weights, finite
from xautolm.evaluate.metrics.entities import OUTSIDE
from xautolm.evaluate.trial_data import TrialData, affordable_subset, read_targets, training_rows
from xautolm.methods.heads import load_with_head
from xautolm.records import ModelSpec

_BATCH = 32


@dataclass(frozen=True, slots=True)
class TagData(TrialData):
    """Rows of words.

    Attributes:
        windows: split name -> windows of its rows.
    """

    windows: Mapping[str, Windows]


class TagCrossEntropy:
    """The mean cross-entropy over the words of a batch, optionally weighted by inverse frequency of the tags."""

    def __init__(self, weights: Tensor | None) -> None:
        self._weights = weights

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """As `loss.CrossEntropy`, of `logits` (n_windows, n_tokens, n_tags) and tags (n_windows, n_tokens)."""
        logits = outputs["logits"].float()
        total = self.weight_of(labels) if num_items_in_batch is None else num_items_in_batch
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), self._weights, ignore_index=IGNORED, reduction="sum"
        )
        return finite(loss / total)

    def weight_of(self, labels: Tensor) -> Tensor:
        """Words, or the sum of their weights; a batch may have none, and must not divide by 0."""
        tags = labels[labels != IGNORED]
        if self._weights is None:
            return torch.tensor(float(max(tags.numel(), 1)), device=labels.device)
        weights = self._weights[tags.to(self._weights.device)]
        return weights.sum() if tags.numel() else torch.ones((), device=labels.device)


class TokensFormulation:
    """A head over every token, with one output per tag."""

    def prepare(self, spec: Mapping[str, Any], model: ModelSpec, params: Params) -> TagData:
        targets = read_targets(Path(spec["data"]))
        windows, collator, cached_s = cached_windows(spec, model, params, "words", cut_words)
        return TagData(
            kind=targets["kind"],
            names=targets["names"],
            targets={split: targets[split] for split in ("train", "validation")},
            tokens={split: item.tokens for split, item in windows.items()},
            train_rows=training_rows(targets["train"], float(params["train_fraction"]), int(spec["data_seed"])),
            collator=WindowCollator(collator),
            cached_s=cached_s,
            windows=windows,
        )

    def load_model(self, model: ModelSpec, params: Params, n_labels: int, dropout: float) -> nn.Module:
        return load_with_head("tokens", model, n_labels, dropout)

    def examples(self, data: TagData) -> Dataset[dict[str, Any]]:
        windows, tags = data.windows["train"], data.targets["train"]

        def labels(window: int) -> NDArray[np.int64]:
            words = windows.marks_of(window)[:, 0]
            own = np.asarray([*tags[windows.rows[window]], IGNORED])  # `NOTHING`, -1, is the last
            return own[words]

        chosen = windows.of_rows(data.train_rows)
        return LabelledWindows(windows, chosen, labels)

    def loss(self, data: TagData, params: Params, device: torch.device) -> Loss:
        if not params.get("class_weighting", False):
            return TagCrossEntropy(None)
        tags = [tag for row in data.train_rows for tag in data.targets["train"][row]]
        return TagCrossEntropy(torch.tensor(class_weights(tags, len(data.names)), dtype=torch.float32, device=device))

    def monitored_rows(self, data: TagData, params: Params, seed: int) -> Sequence[int]:
        return affordable_subset(data, int(params["epochs"]), seed)

    def predict(
        self,
        module: nn.Module,
        data: TagData,
        device: torch.device,
        rows: Sequence[int] | None = None,
        *,
        n_at_once: int,
    ) -> Sequence[Any]:
        lengths = [len(tags) for tags in data.targets["validation"]]
        how = Batching(data.collator, device, n_at_once)
        return predict_tags(module, data.windows["validation"], rows, lengths, unread_tag(data.names), how)

    def settle(self, module: nn.Module, data: TagData) -> None:
        return None

    def to_hugging_face(
        self, module: nn.Module, kind: str, names: Sequence[str], max_length: int, notes: Mapping[str, Any]
    ) -> PreTrainedModel:
        module.config.id2label = dict(enumerate(map(str, names)))
        module.config.label2id = {str(name): i for i, name in enumerate(names)}
        return module.eval()

    def predict_exported(
        self,
        folder: Path,
        kind: str,
        rows: Mapping[str, Any],
        device: torch.device,
        report: Callable[[int, int], None],
    ) -> Predicted:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForTokenClassification.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        windows = cut_words(tokenizer, rows, int(tokenizer.model_max_length))
        with_types = "token_type_ids" in tokenizer.model_input_names
        how = Batching(Collator(int(tokenizer.pad_token_id or 0), with_types), device, _BATCH, True, report)
        names = [model.config.id2label[i] for i in range(model.config.num_labels)]
        lengths = [len(words) for words in rows["words"]]
        return Predicted(predict_tags(model.to(device), windows, None, lengths, unread_tag(names), how))


def unread_tag(names: Sequence[str]) -> int:
    """The tag of words without tokens: outside of everything where tags say so, else the first."""
    return list(names).index(OUTSIDE) if OUTSIDE in names else 0


def predict_tags(
    module: nn.Module,
    windows: Windows,
    rows: Sequence[int] | None,
    lengths: Sequence[int],
    unread: int,
    how: Batching,
) -> list[list[int]]:
    """Tags of the words of some rows.

    Args:
        module: the model.
        windows: of a split.
        rows: which rows of it; None = all.
        lengths: words of every row of the split.
        unread: tag of words that no token stands for.
        how: device and size of batches.

    Returns:
        A tag index for every word of every row.
    """
    wanted = range(len(lengths)) if rows is None else rows
    tags = {row: [unread] * lengths[row] for row in wanted}

    def take(window: int, logits: NDArray[np.float32]) -> None:
        words = windows.marks_of(window)[:, 0]
        is_read = words != NOTHING
        for word, tag in zip(words[is_read], logits[is_read].argmax(axis=1), strict=True):
            tags[int(windows.rows[window])][int(word)] = int(tag)

    read_windows(module, lambda outputs: outputs["logits"], windows, windows.of_rows(list(tags)), take, how)
    return [tags[row] for row in wanted]


FORMULATION = TokensFormulation()
