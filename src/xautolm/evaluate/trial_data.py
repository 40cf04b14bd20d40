"""What a trial works on: its model, tokenised rows, labels and share of the training rows. Worker side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from xautolm.evaluate.batches import Collator, collator_for
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.metrics import classification_scores
from xautolm.evaluate.tokens import TokenRows, cache_entry, load_rows, tokenise
from xautolm.records import ModelSpec


def model_spec(spec: Mapping[str, Any]) -> ModelSpec:
    """The model of a job."""
    fields = dict(spec["model"])
    fields["poolings"] = tuple(fields["poolings"])
    return ModelSpec(**fields)


@dataclass(frozen=True, slots=True)
class TrialData:
    """Everything that a trial needs besides its model.

    Attributes:
        labels: split name -> label index of every row.
        tokens: split name -> tokenised rows.
        train_rows: rows of train that this pipeline uses.
        cached_s: seconds that caches saved, scaled to the rows in use, less those spent waiting for them.
    """

    labels: Mapping[str, Sequence[int]]
    tokens: Mapping[str, TokenRows]
    train_rows: Sequence[int]
    n_classes: int
    collator: Collator
    cached_s: float


def prepare_data(spec: Mapping[str, Any], model: ModelSpec, params: Mapping[str, Any]) -> TrialData:
    """Tokenised rows and labels of train and validation; the test split is not within reach of a trial."""
    source = Path(spec["data"])
    labels = json.loads((source / "labels.json").read_text())
    tokenizer = None
    tokens, cached_s = {}, 0.0
    fraction = float(params["train_fraction"])
    for split in ("train", "validation"):
        key = f"tokens {model.path} {model.revision} {params['max_length']} {split}"

        def build(target: Path, split: str = split) -> None:
            nonlocal tokenizer
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(model.path)
            rows = json.loads((source / f"{split}.json").read_text())
            tokenise(tokenizer, rows["texts"], rows["pairs"], int(params["max_length"]), target)

        entry = cache_entry(Path(spec["cache"]), key, build)
        saved_s = 0.0 if entry.is_new else entry.seconds * (fraction if split == "train" else 1.0)
        cached_s += saved_s - entry.waited_s
        tokens[split] = load_rows(entry.folder)
    collator, saved_s = _cached_collator(Path(spec["cache"]), model, int(params["max_length"]))
    cached_s += saved_s
    return TrialData(
        labels={split: labels[split] for split in ("train", "validation")},
        tokens=tokens,
        train_rows=stratified_subset(labels["train"], fraction, int(spec["data_seed"])),
        n_classes=int(labels["n_classes"]),
        collator=collator,
        cached_s=cached_s,
    )


def _cached_collator(cache: Path, model: ModelSpec, max_length: int) -> tuple[Collator, float]:
    """The collator of a model without loading its tokenizer again, and the seconds that this saved."""

    def build(target: Path) -> None:
        (target / "collator.json").write_text(json.dumps(asdict(collator_for(model))))

    entry = cache_entry(cache, f"collator {model.path} {model.revision} {max_length}", build)
    fields = json.loads((entry.folder / "collator.json").read_text())
    return Collator(**fields), (0.0 if entry.is_new else entry.seconds) - entry.waited_s


def stratified_subset(labels: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Indices of a share of the rows, the same share of every class (at least one row), in row order.

    Subsets of growing share with one seed are nested.
    """
    if fraction >= 1.0:
        return list(range(len(labels)))
    values = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(values))
    chosen = []
    for label in np.unique(values):
        rows = order[values[order] == label]
        chosen.extend(rows[: max(1, round(fraction * len(rows)))].tolist())
    return sorted(chosen)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training left besides the module: the curve, seconds, and scores when they came along.

    `validate_s` is the part of `train_s` that went into the validations on the way.
    """

    curve: list[list[float]]
    train_s: float
    validate_s: float = 0.0
    cached_s: float = 0.0
    predict_s: float = 0.0
    final_scores: dict[str, float] | None = None


def validation_scores(logits: NDArray[np.float32], truth: Sequence[int], n_classes: int) -> dict[str, float]:
    """Scores of logits (n_rows, n_classes).

    Raises:
        DivergedError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise DivergedError("a validation score is not finite")
    return classification_scores(truth, logits.argmax(axis=1).tolist(), n_classes)
