"""Rows while a task is put together: cutting the missing splits, and what is odd about the splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from xautolm.data.split import TINY, cut_splits, split_shares
from xautolm.data.wording import count
from xautolm.errors import DataError
from xautolm.records import Answer, Split, Target


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one source or split; all sequences of length n_rows.

    Attributes:
        texts: first (or only) text of each row.
        pairs: second text of each row, None for single-text tasks.
        classes: by which cuts are stratified: label index of each row, or a stratum (all 0 = none).
        keys: identity of each row up to case and white space.
        groups: rows of one group go to the same split; the keys, or something coarser.
        answers: accepted answers of each row, None for tasks without.
        targets: what each row asks for where it has neither one label nor answers.
        words: words of each row, None where rows are not split into words.
        kept: labels of each row, of none of which train may lose the last row; None = its class.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    classes: Sequence[int]
    keys: Sequence[str]
    groups: Sequence[str]
    answers: Sequence[tuple[Answer, ...]] | None = None
    targets: Sequence[Target] | None = None
    words: Sequence[tuple[str, ...]] | None = None
    kept: Sequence[Collection[int]] | None = None

    @property
    def n_rows(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.int64]) -> Part:
        """The given rows, in that order."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = {name: [column[i] for i in rows] for name, column in columns.items() if column is not None}
        return replace(self, **taken)

    def split(self) -> Split:
        """The rows as a task holds them."""
        has_labels = self.answers is None and self.targets is None
        return Split(
            texts=tuple(self.texts),
            pairs=None if self.pairs is None else tuple(self.pairs),
            labels=tuple(self.classes) if has_labels else (),
            answers=None if self.answers is None else tuple(self.answers),
            targets=None if self.targets is None else tuple(self.targets),
            words=None if self.words is None else tuple(self.words),
        )


def cut_missing(parts: Mapping[str, Part], seed: int, group: str = "text") -> tuple[dict[str, Part], list[str]]:
    """Cut the splits that were not given from the training rows; those that were stay as they are.

    Args:
        parts: role -> rows; `train` at least.
        seed: the same seed gives the same cut.
        group: what the rows of a group have in common, for messages.

    Returns:
        Role -> rows of every split there is, and sentences about splits that there are not.

    Raises:
        DataError: the training rows have too few groups to cut from.
    """
    train = parts["train"]
    validation, test = split_shares(train.n_rows, validation="validation" not in parts, test="test" not in parts)
    notes = []
    if "test" not in parts and not test:
        notes.append(
            f"no test split: {count(train.n_rows, 'training row')} are too few to cut one (fewer than {TINY}); the "
            "scores reported are validation scores, which are too good. Give more rows or `--test`"
        )
    cut = cut_splits(train.groups, train.classes, validation=validation, test=test, seed=seed, kept=train.kept)
    whole = {"train": train.take(cut.train)}
    for role, rows, share in (("validation", cut.validation, validation), ("test", cut.test, test)):
        if role in parts:
            whole[role] = parts[role]
        elif len(rows):
            whole[role] = train.take(rows)
        elif share:
            raise DataError(
                f"no {role} rows can be cut from {count(train.n_rows, 'training row')}: too few distinct {group}s; "
                f"add rows or give `--{'valid' if role == 'validation' else role}`"
            )
    return whole, notes


def repeats(train: Part, noun: str = "text") -> list[str]:
    """A sentence when training rows repeat earlier ones."""
    n_repeats = train.n_rows - len(set(train.keys))
    if not n_repeats:
        return []
    return [f"{count(n_repeats, 'row')} of {train.n_rows:,} in train repeat an earlier row's {noun}"]


def conflicts(train: Part, noun: str) -> list[str]:
    """A sentence when texts of train ask for different things.

    Args:
        train: the rows.
        noun: what is asked for: `label`, `score`.
    """
    first: dict[str, object] = {}
    asked: Sequence[object] = train.classes if train.targets is None else train.targets
    different = {key for key, found in zip(train.keys, asked, strict=True) if first.setdefault(key, found) != found}
    return [f"{count(len(different), 'text')} in train with more than one {noun}"] if different else []


def leakage(parts: Mapping[str, Part]) -> list[str]:
    """A sentence for each later split with rows that an earlier one shows."""
    warnings = []
    for role, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if role in parts:
            shown = set(parts[other].keys)
            n_shared = sum(key in shown for key in parts[role].keys)
            if n_shared:
                warnings.append(
                    f"{count(n_shared, 'row')} of {parts[role].n_rows:,} in {role} are also in {other} "
                    f"(leakage): {role} scores are too good"
                )
    return warnings
