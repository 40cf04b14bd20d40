"""Rows cut into overlapping windows of tokens, for models that answer at their tokens. Worker side.

Every token of a window carries marks that say what it stands for in its row: the word that is read there, or the
characters that it covers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoTokenizer

from xautolm.evaluate.batches import Collator, collator_for, has_bf16
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.tokens import TokenRows, cache_entry, load_rows
from xautolm.methods.readers import prepare_reader
from xautolm.records import ModelSpec

#: Label of a token that is not scored.
IGNORED = -100
#: Mark of a token that stands for nothing in its row.
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of the rows of one split, in the order of the rows; every row has at least one.

    Attributes:
        tokens: of every window, at least one each.
        rows: row of each window, shape (n_windows,).
        marks: what each token stands for, `NOTHING` where it stands for nothing, shape (n_tokens, n_marks).
    """

    tokens: TokenRows
    rows: NDArray[np.int64]
    marks: NDArray[np.int32]

    def marks_of(self, window: int) -> NDArray[np.int32]:
        """Marks of the tokens of one window, shape (n_tokens of the window, n_marks)."""
        start, end = self.tokens.offsets[window], self.tokens.offsets[window + 1]
        return np.asarray(self.marks[start:end])

    def of_rows(self, rows: Sequence[int] | None) -> NDArray[np.int64]:
        """Windows of some rows (None = all), in the order of the rows."""
        if rows is None:
            return np.arange(len(self.rows))
        first, last = (np.searchsorted(self.rows, rows, side=side) for side in ("left", "right"))
        return np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)] or [np.zeros(0, np.int64)])


@dataclass(frozen=True, slots=True)
class Window:
    """One window before it is stored: token ids, segment ids, and marks of shape (n_tokens, n_marks)."""

    ids: Sequence[int]
    types: Sequence[int]
    marks: NDArray[np.int32]


def stored(windows: Sequence[Sequence[Window]]) -> Windows:
    """Windows of rows in one piece.

    Args:
        windows: of each row, in order.
    """
    flat = [window for row in windows for window in row]
    lengths = np.array([len(window.ids) for window in flat], dtype=np.int64)
    tokens = TokenRows(
        ids=_joined([np.asarray(window.ids, dtype=np.int32) for window in flat], np.zeros(0, np.int32)),
        types=_joined([np.asarray(window.types, dtype=np.int8) for window in flat], np.zeros(0, np.int8)),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
    )
    rows = np.repeat(np.arange(len(windows)), [len(row) for row in windows])
    return Windows(tokens, rows, _joined([window.marks for window in flat], np.zeros((0, 1), np.int32)))


def _joined(parts: Sequence[NDArray[Any]], empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else empty


def cached_windows(
    spec: Mapping[str, Any],
    model: ModelSpec,
    params: Mapping[str, Any],
    name: str,
    cut: Callable[[Any, Mapping[str, Any], int], Windows],
) -> tuple[dict[str, Windows], Collator, float]:
    """Windows of train and validation, cut once for all trials with one tokenizer and length.

    Args:
        spec: of the job.
        model: whose tokenizer is used.
        params: of the pipeline.
        name: of the way of cutting.
        cut: makes windows from tokenizer, rows (`texts`, `pairs`, maybe `words`) and tokens per window.

    Returns:
        Windows by split, the collator of inputs, and the seconds that caches saved, scaled to the rows in use, less
        those spent waiting for them.
    """
    cache, max_length = Path(spec["cache"]), int(params["max_length"])
    windows, cached_s = {}, 0.0

    for split in ("train", "validation"):

        def build(target: Path, split: str = split) -> None:
            rows = json.loads((Path(spec["data"]) / f"{split}.json").read_text())
            # Not the process's own (`load_reader`): cutting changes its truncation.
            tokenizer = prepare_reader(AutoTokenizer.from_pretrained(model.path), model.family)
            _save(cut(tokenizer, rows, max_length), target)

        entry = cache_entry(cache, f"{name} {model.path} {model.revision} {max_length} {split}", build)
        share = float(params["train_fraction"]) if split == "train" else 1.0
        cached_s += (0.0 if entry.is_new else entry.seconds * share) - entry.waited_s
        windows[split] = _load(entry.folder)

    def describe(target: Path) -> None:
        (target / "collator.json").write_text(json.dumps(asdict(collator_for(model))))

    entry = cache_entry(cache, f"collator {model.path} {model.revision} {max_length}", describe)
    collator = Collator(**json.loads((entry.folder / "collator.json").read_text()))
    return windows, collator, cached_s + (0.0 if entry.is_new else entry.seconds) - entry.waited_s


def _save(windows: Windows, folder: Path) -> None:
    for name in ("ids", "types", "offsets"):
        np.save(folder / f"{name}.npy", getattr(windows.tokens, name))
    np.save(folder / "rows.npy", windows.rows)
    np.save(folder / "marks.npy", windows.marks)


def _load(folder: Path) -> Windows:
    return Windows(load_rows(folder), np.load(folder / "rows.npy"), np.load(folder / "marks.npy", mmap_mode="r"))


class LabelledWindows(Dataset[dict[str, Any]]):  # type: ignore[misc]  # torch is not analysed
    """Windows for the Trainer, with a label for each token.

    Args:
        windows: of the training rows.
        chosen: which of them, shape (n_examples,).
        labels: makes the labels of a window, shape (n_tokens of the window,).
    """

    def __init__(self, windows: Windows, chosen: NDArray[np.int64], labels: Callable[[int], NDArray[np.int64]]) -> None:
        self._windows, self._chosen, self._labels = windows, chosen, labels

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, item: int) -> dict[str, Any]:
        window = int(self._chosen[item])
        ids, types = self._windows.tokens.row(window)
        return {"input_ids": ids, "types": types, "labels": self._labels(window)}


@dataclass(frozen=True, slots=True)
class WindowCollator:
    """Pads windows and the labels of their tokens on the right."""

    inputs: Collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = self.inputs([{key: value for key, value in row.items() if key != "labels"} for row in rows])
        if "labels" in rows[0]:
            labels = torch.full(batch["input_ids"].shape, IGNORED, dtype=torch.long)
            for i, row in enumerate(rows):
                labels[i, : len(row["labels"])] = torch.as_tensor(row["labels"])
            batch["labels"] = labels
        return batch


@dataclass(frozen=True, slots=True)
class Batching:
    """How windows are computed.

    Attributes:
        collator: makes a batch.
        device: where to compute.
        n_at_once: windows in one batch.
        is_exact: whether to compute in fp32 throughout; else as in training.
        report: is told how many of how many windows are done.
    """

    collator: Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]
    device: torch.device
    n_at_once: int
    is_exact: bool = False
    report: Callable[[int, int], None] | None = None


def read_windows(
    module: nn.Module,
    outputs_of: Callable[[Any], Tensor],
    windows: Windows,
    chosen: NDArray[np.int64],
    take: Callable[[int, NDArray[np.float32]], None],
    how: Batching,
) -> None:
    """Compute windows in evaluation mode, in batches of similar length.

    Args:
        module: the model.
        outputs_of: takes the outputs (n_windows, n_tokens, n_outputs) out of what the model returns.
        windows: of a split.
        chosen: windows to compute.
        take: is given each window and its outputs (n_tokens of the window, n_outputs).
        how: device and size of batches.

    Raises:
        DivergedError: an output is not finite.
    """
    order = chosen[np.argsort(-windows.tokens.lengths()[chosen], kind="stable")]
    module.eval()
    is_mixed = has_bf16(how.device) and not how.is_exact
    with torch.inference_mode(), torch.autocast(how.device.type, torch.bfloat16, enabled=is_mixed):
        for start in range(0, len(order), how.n_at_once):
            places = order[start : start + how.n_at_once]
            rows = [windows.tokens.row(int(place)) for place in places]
            batch = how.collator([{"input_ids": ids, "types": types} for ids, types in rows])
            inputs = {name: value.to(how.device) for name, value in batch.items()}
            outputs = outputs_of(module(**inputs)).float().cpu().numpy()
            for place, values, (ids, _) in zip(places, outputs, rows, strict=True):
                if not np.isfinite(values[: len(ids)]).all():
                    raise DivergedError("an output of the model is not finite")
                take(int(place), values[: len(ids)])
            if how.report is not None:
                how.report(min(start + how.n_at_once, len(order)), len(order))
