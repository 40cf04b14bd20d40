"""What a trial works on: its model, tokenised rows, labels and share of the training rows. Worker side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xautolm.evaluate.batches import Collate, Collator, collator_for
from xautolm.evaluate.tokens import TokenRows, cache_entry, load_rows, tokenise
from xautolm.methods.readers import load_reader, spelled
from xautolm.records import ModelSpec

N_VALIDATIONS = 8
MAX_SUBSET = 256
_MIN_SUBSET = 64
#: The intermediate validations may cost about this share of the training.
_VALIDATION_SHARE = 0.15


def model_spec(spec: Mapping[str, Any]) -> ModelSpec:
    """The model of a job."""
    fields = dict(spec["model"])
    fields["poolings"] = tuple(fields["poolings"])
    return ModelSpec(**fields)


@dataclass(frozen=True, slots=True)
class TrialData:
    """Everything that a trial needs besides its model; formulations add to it.

    Attributes:
        kind: task kind.
        names: labels or tags of the task, by index; empty where rows ask for numbers or texts.
        targets: split name -> what each row asks for, in the form of `metrics.task_scores`.
        tokens: split name -> tokenised rows.
        train_rows: rows of train that this pipeline uses.
        collator: makes a batch of examples.
        cached_s: seconds that caches saved, scaled to the rows in use, less those spent waiting for them.
    """

    kind: str
    names: Sequence[str]
    targets: Mapping[str, Sequence[Any]]
    tokens: Mapping[str, TokenRows]
    train_rows: Sequence[int]
    collator: Collate
    cached_s: float

    @property
    def notes(self) -> Mapping[str, Any]:
        """What an export must know of how rows were read, as JSON values."""
        return {}

    @property
    def n_outputs(self) -> int:
        """Outputs of a head over whole texts: one per label, or one number."""
        return len(self.names) or 1


def prepare_data(spec: Mapping[str, Any], model: ModelSpec, params: Mapping[str, Any]) -> TrialData:
    """Tokenised rows and labels of train and validation; the test split is not within reach of a trial."""
    source = Path(spec["data"])
    labels = read_targets(source)
    tokens, cached_s = {}, 0.0
    fraction = float(params["train_fraction"])
    for split in ("train", "validation"):
        key = f"tokens {model.path} {model.revision} {params['max_length']} {split}"

        def build(target: Path, split: str = split) -> None:
            rows = json.loads((source / f"{split}.json").read_text())
            reader = load_reader(model)
            texts, pairs = (rows[name] and spelled(rows[name], reader, model.family) for name in ("texts", "pairs"))
            tokenise(reader, texts, pairs, int(params["max_length"]), target)

        entry = cache_entry(Path(spec["cache"]), key, build)
        saved_s = 0.0 if entry.is_new else entry.seconds * (fraction if split == "train" else 1.0)
        cached_s += saved_s - entry.waited_s
        tokens[split] = load_rows(entry.folder)
    collator, saved_s = _cached_collator(Path(spec["cache"]), model, int(params["max_length"]))
    cached_s += saved_s
    return TrialData(
        kind=labels["kind"],
        names=labels["names"],
        targets={split: labels[split] for split in ("train", "validation")},
        tokens=tokens,
        train_rows=training_rows(labels["train"], fraction, int(spec["data_seed"])),
        collator=collator,
        cached_s=cached_s,
    )


def read_targets(source: Path) -> dict[str, Any]:
    """`kind`, `names` and the targets of `train` and `validation` from the data folder of a run."""
    return dict(json.loads((source / "labels.json").read_text()))


def training_rows(targets: Sequence[Any], fraction: float, seed: int) -> list[int]:
    """The share of the training rows that a pipeline uses, the same share of every class where rows have one each."""
    return stratified_subset(strata(targets), fraction, seed)


def strata(targets: Sequence[Any]) -> Sequence[int]:
    """A group of each row to take equal shares of: its label, the first of its labels, else one for all.

    >>> strata([2, 0]), strata([[1, 3], []]), strata([0.5, 1.5])
    ([2, 0], [1, -1], [0, 0])
    """
    first = targets[0] if targets else 0
    if isinstance(first, int):
        return targets
    if isinstance(first, list) and all(isinstance(item, int) for target in targets for item in target[:1]):
        return [target[0] if target else -1 for target in targets]
    return [0] * len(targets)


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


def subset_size(n_rows: int, epochs: int, n_validation: int) -> int:
    """Rows of the fixed validation subset: at most 256, fewer when the training itself is short.

    A forward pass costs about a third of a training step, so s rows validated 8 times cost 8 s / 3 training rows.
    """
    affordable = round(_VALIDATION_SHARE * 3 / N_VALIDATIONS * n_rows * epochs)
    return min(n_validation, MAX_SUBSET, max(_MIN_SUBSET, affordable))


def affordable_subset(data: TrialData, epochs: int, seed: int) -> list[int]:
    """The fixed validation subset of a training whose predictions are forward passes."""
    targets = data.targets["validation"]
    n_rows = subset_size(len(data.train_rows), epochs, len(targets))
    return stratified_subset(strata(targets), n_rows / max(len(targets), 1), seed)
