"""Batches of tokenised rows for training and scoring. Runs in a worker process only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from xautolm.evaluate.rescue import PREDICT_ROWS
from xautolm.evaluate.tokens import TokenRows
from xautolm.methods.readers import load_reader
from xautolm.records import ModelSpec

#: Makes a batch of tensors of examples.
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]

_LATENCY_ROWS, _LATENCY_WARM_UP = 15, 2


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads a batch of rows on the right to its longest row.

    Attributes:
        pad_id: padding token.
        with_types: whether the model reads segment ids.
    """

    pad_id: int
    with_types: bool

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        types = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            n = len(row["input_ids"])
            ids[i, :n] = torch.tensor(row["input_ids"], dtype=torch.long)
            types[i, :n] = torch.tensor(row["types"], dtype=torch.long)
            mask[i, :n] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.with_types:
            batch["token_type_ids"] = types
        if "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])
        return batch


class LabelledRows(Dataset[dict[str, Any]]):  # type: ignore[misc]  # torch is not analysed
    """Rows of a split for the Trainer."""

    def __init__(self, tokens: TokenRows, labels: Sequence[int], indices: Sequence[int]) -> None:
        self._tokens, self._labels, self._indices = tokens, labels, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> dict[str, Any]:
        index = self._indices[item]
        ids, types = self._tokens.row(index)
        return {"input_ids": ids, "types": types, "labels": self._labels[index]}


def collator_for(model: ModelSpec) -> Collator:
    """The collator that matches a model's tokenizer."""
    tokenizer = load_reader(model)
    return Collator(pad_id=int(tokenizer.pad_token_id or 0), with_types="token_type_ids" in tokenizer.model_input_names)


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is native (an emulated one is slower than fp32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def predict_logits(
    module: nn.Module,
    tokens: TokenRows,
    collator: Collate,
    device: torch.device,
    rows: Sequence[int] | None = None,
    *,
    n_at_once: int = PREDICT_ROWS,
) -> NDArray[np.float32]:
    """Logits (n_rows, n_classes) in the order of `rows`, computed in batches of `n_at_once` rows of similar length."""

    def forward(batch: Mapping[str, Tensor]) -> Tensor:
        return module(**batch)["logits"]

    return run_batches(forward, module, tokens, collator, device, rows, n_at_once=n_at_once)


def latency_ms(predict: Callable[[int], Any], n_rows: int) -> float:
    """Median milliseconds of one prediction, over rows spread evenly over a split.

    Args:
        predict: predicts one row; it ends with a copy to the CPU, so that the device is done.
        n_rows: rows of the split.
    """
    rows = np.linspace(0, n_rows - 1, min(_LATENCY_ROWS, n_rows)).astype(int).tolist()
    times = []
    for row in [*rows[:_LATENCY_WARM_UP], *rows]:
        started = time.perf_counter()
        predict(row)
        times.append(time.perf_counter() - started)
    return 1000.0 * statistics.median(times[_LATENCY_WARM_UP:])


def run_batches(
    forward: Any,
    module: nn.Module,
    tokens: TokenRows,
    collator: Collate,
    device: torch.device,
    rows: Sequence[int] | None = None,
    *,
    n_at_once: int = PREDICT_ROWS,
) -> NDArray[np.float32]:
    """Apply `forward` to length-sorted batches in evaluation mode.

    Returns:
        Outputs (n_rows, n_outputs) in the order of `rows`.
    """
    chosen = np.arange(len(tokens)) if rows is None else np.asarray(rows)
    lengths = tokens.lengths()[chosen]
    order = np.argsort(-lengths, kind="stable")
    outputs: NDArray[np.float32] | None = None
    module.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
        for start in range(0, len(order), n_at_once):
            places = order[start : start + n_at_once]
            batch = []
            for place in places:
                ids, types = tokens.row(int(chosen[place]))
                batch.append({"input_ids": ids, "types": types})
            inputs = {name: value.to(device) for name, value in collator(batch).items()}
            values = forward(inputs).float().cpu().numpy()
            if outputs is None:
                outputs = np.zeros((len(order), values.shape[1]), dtype=np.float32)
            outputs[places] = values
    if outputs is None:
        return np.zeros((0, 1), dtype=np.float32)
    return outputs
