"""Puts features of different units and ranges on one scale, column by column.

A column is normalised over the profiles that have the feature; NaN marks the others and stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Normalizer = Literal["log", "min-max", "standard", "fixed", "clip", "rank"]

#: Under `fixed` a factor of this between two figures counts as much as the whole range of a share, 0 to 1.
FACTOR = 1000.0
#: Figures above this are taken for this: no data set and no machine has more of anything.
LARGEST = 1e9

#: `clip` moves values that are further than this many quarter gaps from the median. At 8 no value of a uniform or
#: normal column of usual size is moved (the ends of a uniform one are at 3.7, 3.6 deviations of a normal one).
CLIP_GAPS = 8.0
#: Points that stand for the distinct values of a column when their pairwise gaps are taken.
MAX_POINTS = 101
#: A column whose values differ by less is constant up to rounding.
_SMALLEST_SCALE = 1e-12


def normalised(rows: Array, normalizers: Sequence[Normalizer]) -> Array:
    """Apply normalisers in order, column by column; constant columns become 0 under the scaling ones.

    Args:
        rows: (n_rows, n_features), finite or NaN; no column is all NaN.
        normalizers: names from `NORMALIZERS`.

    >>> normalised(np.array([[1.0, 7.0], [3.0, np.nan], [2.0, 7.0]]), ["min-max"]).tolist()
    [[0.0, 0.0], [1.0, nan], [0.5, 0.0]]
    """
    for name in normalizers if rows.size else ():
        rows = NORMALIZERS[name](rows)
    return rows


def _log(rows: Array) -> Array:
    return np.asarray(np.sign(rows) * np.log1p(np.abs(rows)))


def _fixed(rows: Array) -> Array:
    """Put shares and figures on one scale that does not depend on the other rows.

    Up to 1 a value stays as it is, beyond it grows by 1 per `FACTOR`. So neither few nor absurd rows can stretch or
    flatten a column, and a distance stays the same whatever else is in a store.

    >>> _fixed(np.array([[0.25, 1.0, 1000.0, 1e6, 1e300, -1000.0]])).round(6).tolist()
    [[0.25, 1.0, 2.0, 3.0, 4.0, -2.0]]
    """
    size = np.clip(np.abs(rows), 0.0, LARGEST)
    beyond = np.log(np.maximum(size, 1.0)) / math.log(FACTOR)
    return np.asarray(np.sign(rows) * (np.minimum(size, 1.0) + beyond))


def _min_max(rows: Array) -> Array:
    low = np.nanmin(rows, axis=0)
    return _divided(rows - low, np.nanmax(rows, axis=0) - low)


def _standard(rows: Array) -> Array:
    return _divided(rows - np.nanmean(rows, axis=0), np.nanstd(rows, axis=0))


def _clip(rows: Array) -> Array:
    """Move far values to `CLIP_GAPS` quarter gaps from the column's median, on their side."""
    limits = [_clip_limits(column[np.isfinite(column)]) for column in rows.T]
    low, high = np.asarray(limits, dtype=float).T
    return np.clip(rows, low, high)


def _clip_limits(values: Array) -> tuple[float, float]:
    """Where far values are cut.

    The scale is the first quartile of the gaps between distinct values (Rousseeuw and Croux 1993, Q_n): half of the
    values may be absurd before it is, and a column of two values is never cut. Distinct values, because a feature
    that most tasks share (no GPU, two classes) would have the scale 0 otherwise.
    """
    points = np.unique(values)
    if len(points) > MAX_POINTS:
        points = points[np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int)]
    gaps = np.sort((points[None, :] - points[:, None])[np.triu_indices(len(points), 1)])
    if len(gaps) == 0:
        return float(points[0]), float(points[0])
    centre, scale = float(np.median(points)), float(gaps[(len(gaps) - 1) // 4])
    return centre - CLIP_GAPS * scale, centre + CLIP_GAPS * scale


def _rank(rows: Array) -> Array:
    """Position of each value among the distinct values of its column, from 0 to 1."""
    ranks = np.full(rows.shape, np.nan)
    for j, column in enumerate(rows.T):
        has = np.isfinite(column)
        ranks[has, j] = np.unique(column[has], return_inverse=True)[1]
    return _min_max(ranks)


def _divided(rows: Array, scale: Array) -> Array:
    """Rows over a column scale; a column that does not vary (up to rounding) becomes 0."""
    varies = scale > _SMALLEST_SCALE
    return np.where(varies | np.isnan(rows), rows / np.where(varies, scale, 1.0), 0.0)


NORMALIZERS: Mapping[Normalizer, Callable[[Array], Array]] = MappingProxyType(
    {"log": _log, "min-max": _min_max, "standard": _standard, "fixed": _fixed, "clip": _clip, "rank": _rank}
)
