"""The tasks of the recorded benchmark: seeded stratified subsets of public data sets, and facts about these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xautolm.data.fingerprint import fingerprint_rows, row_key, sketch_rows
from xautolm.data.load import load_task
from xautolm.errors import DataError
from xautolm.records import Label, Split, Task

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
#: Rows of a subset unless the pilot was told otherwise.
N_TRAIN, N_VALIDATION = 1000, 500
#: Seed of the subsets, and of the nested shares of their training rows (`train_fraction`).
SUBSET_SEED = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Facts about a data set that the data card states.

    Attributes:
        title: what it is.
        licence: what its source says (`shared/data/README.md`); the table holds numbers only, no text.
    """

    title: str
    licence: str


#: In the order in which tasks are recorded.
SOURCES: Mapping[str, Source] = {
    "sst2": Source("SST-2: sentiment of movie-review phrases", "not stated by the source repositories"),
    "trec": Source("TREC: coarse question type", "not stated for the data (repository: Apache-2.0)"),
    "ag_news": Source("AG News: topic of news items", "research and other non-commercial activity"),
    "liar": Source("LIAR: truthfulness of political statements, 6 grades", "research purposes only"),
    "meld": Source("MELD: emotion of dialogue utterances, text only", "GPL-3.0"),
    "cola": Source("CoLA: acceptability of sentences", "excerpts of published works, research use held to be fair use"),
}

#: Those of the everyday table only, after the others.
MORE_SOURCES: Mapping[str, Source] = {
    "sms_spam": Source("SMS Spam: unwanted text messages", "not stated in the source repository"),
    "mrpc": Source("MRPC: whether two sentences say the same", "not stated; Microsoft's terms apply"),
    "rte": Source("RTE: whether one sentence follows from another", "not stated for the data (repository: Apache-2.0)"),
}


@dataclass(frozen=True, slots=True)
class SubsetSize:
    """Rows of a task's subset."""

    n_train: int = N_TRAIN
    n_validation: int = N_VALIDATION


def has_data(data: Path, name: str) -> bool:
    """Whether the training and validation files of a task are there."""
    return all((data / name / f"{split}.jsonl.gz").is_file() for split in ("train", "validation"))


def load_subset(data: Path, name: str, size: SubsetSize, *, or_all: bool = False) -> Task:
    """Load a data set and cut the seeded, stratified subset of its training and validation rows.

    Args:
        data: folder with one folder per data set.
        name: of the data set.
        size: rows wanted.
        or_all: whether a file that has fewer rows is taken whole.

    Returns:
        The task without test rows, named after the data set; fingerprint and sketch are those of the subset.

    Raises:
        DataError: a file is missing, or has fewer rows than wanted without `or_all`.
    """
    folder = data / name
    # The validation file stands in for the test file, which is not read: else a test split would be cut from train.
    valid = str(folder / "validation.jsonl.gz")
    whole = load_task(str(folder / "train.jsonl.gz"), valid=valid, test=valid)
    train, validation = (
        take(part, stratified_rows(part.labels, min(n, part.n_rows) if or_all else n, SUBSET_SEED))
        for part, n in ((whole.train, size.n_train), (whole.validation, size.n_validation))
    )
    parts = {"train": train, "validation": validation}
    return replace(
        whole,
        dataset_id=name,
        train=train,
        validation=validation,
        test=None,
        sources={},
        fingerprint=fingerprint_rows({role: _rows(part, whole.labels) for role, part in parts.items()}),
        sketch=sketch_rows(row_key(text) for part in parts.values() for text in part.texts),
        warnings=(),
    )


def stratified_rows(labels: Sequence[int], n_rows: int, seed: int) -> list[int]:
    """Row numbers of a stratified sample, ascending; classes share the rows by largest remainder.

    Args:
        labels: class index of each row.
        n_rows: size of the sample.
        seed: of the sample.

    Raises:
        DataError: there are fewer rows than wanted.

    >>> stratified_rows([0, 0, 0, 1], 4, seed=0)
    [0, 1, 2, 3]
    """
    if n_rows > len(labels):
        raise DataError(f"expected at least {n_rows} rows to take a subset of, got {len(labels)}; ask for fewer rows")
    values = np.asarray(labels)
    classes, counts = np.unique(values, return_counts=True)
    quotas = counts * n_rows / len(values)
    wanted = np.floor(quotas).astype(int)
    remainders = np.argsort(-(quotas - wanted), kind="stable")
    wanted[remainders[: n_rows - wanted.sum()]] += 1
    order = np.random.default_rng(seed).permutation(len(values))
    chosen = [order[values[order] == label][:n] for label, n in zip(classes, wanted, strict=True)]
    return sorted(int(row) for rows in chosen for row in rows)


def take(split: Split, rows: Sequence[int]) -> Split:
    """The given rows of a split."""
    return Split(
        texts=tuple(split.texts[row] for row in rows),
        pairs=None if split.pairs is None else tuple(split.pairs[row] for row in rows),
        labels=tuple(split.labels[row] for row in rows),
    )


def _rows(split: Split, labels: Sequence[Label]) -> list[tuple[str, str | None, Label]]:
    pairs = split.pairs if split.pairs is not None else (None,) * split.n_rows
    return [(t, p, labels[i]) for t, p, i in zip(split.texts, pairs, split.labels, strict=True)]
