"""Cuts the missing splits from the training rows: seeded, stratified, near-exact duplicates kept together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Rows below which the shares change, and the share of each cut split (`design.md` section 6).
TINY, SMALL = 50, 300
SHARE, SHARE_SMALL, SHARE_TINY = 0.10, 0.15, 0.20


@dataclass(frozen=True, slots=True)
class Cut:
    """Row numbers of each split, ascending; a split that was not asked for is empty."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_shares(n_rows: int, *, validation: bool, test: bool) -> tuple[float, float]:
    """Shares of the rows to cut for the splits that are missing.

    Args:
        n_rows: rows to cut from.
        validation: whether a validation split is missing.
        test: whether a test split is missing.

    Returns:
        Share of validation and of test: 10 % each, 15 % each under 300 rows; under 50 rows 20 % validation
        and no test.

    >>> split_shares(1000, validation=True, test=True), split_shares(49, validation=True, test=True)
    ((0.1, 0.1), (0.2, 0.0))
    >>> split_shares(1000, validation=False, test=True)
    (0.0, 0.1)
    """
    if n_rows < TINY:
        return (SHARE_TINY if validation else 0.0), 0.0
    share = SHARE_SMALL if n_rows < SMALL else SHARE
    return (share if validation else 0.0), (share if test else 0.0)


def cut_splits(
    keys: Sequence[str],
    labels: Sequence[int],
    *,
    validation: float,
    test: float,
    seed: int,
    kept: Sequence[Collection[int]] | None = None,
) -> Cut:
    """Cut validation and test rows from the training rows.

    Rows with equal keys go to the same split, so the cuts leak nothing by construction. Every class, and
    everything in `kept`, keeps a row in train.

    Args:
        keys: `row_key` of each row, (n_rows,).
        labels: class index of each row, (n_rows,); the cut keeps the shares of the classes.
        validation: share of the rows for validation, 0 for none.
        test: share of the rows for test, 0 for none.
        seed: the same seed gives the same cut.
        kept: what each row has of which train must not lose the last, (n_rows,); None = its class.

    Returns:
        Row numbers of the three splits, disjoint and complete.

    >>> cut = cut_splits(list("abcdefghij"), [0, 1] * 5, validation=0.2, test=0.0, seed=0)
    >>> len(cut.train), len(cut.validation), len(cut.test)
    (8, 2, 0)
    """
    classes = np.asarray(labels, dtype=np.int64)
    groups = _group(keys)
    place = np.zeros(len(keys), dtype=np.int64)  # 0 train, 1 validation, 2 test
    by_class: dict[int, list[NDArray[np.int64]]] = {}
    for group in groups:
        by_class.setdefault(int(classes[group[0]]), []).append(group)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(classes)
    quotas = np.stack([_quotas(sizes, validation), _quotas(sizes, test)], axis=1)
    for label in sorted(by_class):
        members = by_class[label]
        order = rng.permutation(len(members))
        _fill(place, [members[i] for i in order], quotas[label])
    _return_lost(place, [{label} for label in classes.tolist()] if kept is None else kept, groups)
    return Cut(*(np.flatnonzero(place == split) for split in range(3)))


def _group(keys: Sequence[str]) -> list[NDArray[np.int64]]:
    rows: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        rows.setdefault(key, []).append(number)
    return [np.asarray(group, dtype=np.int64) for group in rows.values()]


def _quotas(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Rows to cut per class, within one of its share; in sum the share of all rows (rounded cumulatively)."""
    edges = np.floor(np.concatenate([[0], np.cumsum(sizes)]) * share + 0.5)
    return np.diff(edges).astype(np.int64)


def _fill(place: NDArray[np.int64], groups: list[NDArray[np.int64]], quota: NDArray[np.int64]) -> None:
    """Give a class's shuffled groups to validation and test up to their quotas; the rest stays in train."""
    room = [int(quota[0]), int(quota[1])]
    for group in groups:
        fits = [i for i in (0, 1) if room[i] >= len(group)]
        if fits:
            best = max(fits, key=lambda i: room[i])
            place[group] = best + 1
            room[best] -= len(group)


def _return_lost(place: NDArray[np.int64], kept: Sequence[Collection[int]], groups: list[NDArray[np.int64]]) -> None:
    """Where something has no row left in train, bring the first group back that has it."""
    missing = _union(kept, range(len(kept))) - _union(kept, np.flatnonzero(place == 0).tolist())
    for group in groups:
        if not missing:
            return
        found = missing & _union(kept, group.tolist())
        if found:
            place[group] = 0
            missing -= found


def _union(kept: Sequence[Collection[int]], rows: Iterable[int]) -> set[int]:
    return {item for row in rows for item in kept[row]}
