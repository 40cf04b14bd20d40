"""Figures of merit of a search: what it found by when, and what of it a rival did not find. Pure functions on points.

The definitions are those of `design.md` section 5. Hypervolume has one reference point for all searches that are
compared, so that it can be compared at all and never falls when a point is added; the published one depends on the
points themselves (`method.md` section 6.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xautolm.pareto import Points, hypervolume

Array = npt.NDArray[np.float64]

#: Differences of hypervolumes below this come from rounding.
_ROUNDING = 1e-12


def unit_square(scores: Sequence[float], times_s: Sequence[float], constant: float, time_limit_s: float) -> Array:
    """Quality and speed of pipelines as points of the unit square; the larger the better, the worst corner is (0, 0).

    x = (score - constant) / (1 - constant), y = 1 - log10(max(time, 1 s)) / log10(limit), both clipped to [0, 1].

    Args:
        scores: (n,) on 0-1; NaN = the trial failed.
        times_s: (n,) seconds.
        constant: score of the best constant prediction, below 1.
        time_limit_s: of a trial, above 1.

    Returns:
        (n, 2).

    >>> unit_square([0.75, 0.4], [10.0, 0.1], constant=0.5, time_limit_s=100.0).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    if not constant < 1.0 < time_limit_s:
        raise ValueError(f"expected `constant` < 1 < `time_limit_s`, got {constant!r} and {time_limit_s!r}")
    x = (np.asarray(scores, dtype=float) - constant) / (1.0 - constant)
    y = 1.0 - np.log10(np.maximum(np.asarray(times_s, dtype=float), 1.0)) / math.log10(time_limit_s)
    return np.asarray(np.clip(np.column_stack([x, y]), 0.0, 1.0), dtype=float)


def win_ratio(points: Points, rivals: Points) -> float:
    """Share of the points that no rival weakly dominates (is no worse than everywhere).

    Args:
        points: (n, n_objectives), to be minimised, of the pipelines that worked.
        rivals: (m, n_objectives), the same of the other search; its front alone gives the same.

    Returns:
        In [0, 1], 1 without rivals; NaN without points.

    >>> win_ratio([(1, 3), (2, 2), (3, 3)], [(2, 2), (9, 9)])
    0.3333333333333333
    """
    ours, theirs = np.asarray(points, dtype=float), np.asarray(rivals, dtype=float)
    if ours.size == 0:
        return math.nan
    if theirs.size == 0:
        return 1.0
    beaten = np.any(np.all(theirs[None, :, :] <= ours[:, None, :], axis=2), axis=1)
    return float(np.mean(~beaten))


def anytime_volumes(points: Points, reference: Sequence[float]) -> Array:
    """Hypervolume after each trial: entry i is that of the first i + 1 points.

    Args:
        points: (n, n_objectives), to be minimised, in the order in which they came; a row with NaN (a failure) adds
            nothing.
        reference: (n_objectives,) the worst corner, the same for all searches that are compared.

    Returns:
        (n,), never falling.

    >>> anytime_volumes([(float("nan"), 1), (1, 3), (3, 3), (2, 2)], (4, 4)).tolist()
    [0.0, 3.0, 3.0, 5.0]
    """
    array = np.asarray(points, dtype=float).reshape(len(points), len(reference))
    volumes = np.zeros(len(array))
    best = np.zeros((0, len(reference)))
    volume = 0.0
    for i, point in enumerate(array):
        if not np.isnan(point).any() and not (best <= point).all(axis=1).any():
            best = np.vstack([best[~(best >= point).all(axis=1)], point])
            volume = max(volume, hypervolume(best, reference))  # rounding must not let it fall
        volumes[i] = volume
    return volumes


def held(values: Sequence[float] | Array, ends: Sequence[float] | Array, times: Sequence[float] | Array) -> Array:
    """An anytime curve at given times: 0 before the first trial ended, then the value after the latest one.

    Args:
        values: (n,) after each trial.
        ends: (n,) times at which the trials ended, ascending.
        times: (m,).

    Returns:
        (m,).

    >>> held([0.2, 0.5], [10.0, 20.0], [0.0, 10.0, 19.9, 30.0]).tolist()
    [0.0, 0.2, 0.2, 0.5]
    """
    steps = np.asarray([0.0, *values], dtype=float)
    return np.asarray(steps[np.searchsorted(np.asarray(ends), np.asarray(times), side="right")], dtype=float)


def mean_until(values: Sequence[float] | Array, ends: Sequence[float] | Array, horizon: float) -> float:
    """Area under an anytime curve from 0 to a horizon, over the horizon: its mean in time (exact).

    Args:
        values: (n,) after each trial.
        ends: (n,) times at which the trials ended, ascending.
        horizon: positive; the same for all searches that are compared.

    >>> mean_until([0.2, 0.5], [10.0, 20.0], horizon=40.0)
    0.3
    """
    if not horizon > 0:
        raise ValueError(f"`horizon` must be positive, got {horizon!r}")
    edges = np.clip(np.asarray([*ends, horizon], dtype=float), 0.0, horizon)
    return float(np.sum(np.asarray(values, dtype=float) * np.diff(edges)) / horizon)


def time_to_reach(values: Sequence[float] | Array, ends: Sequence[float] | Array, target: float) -> float:
    """When an anytime curve first was at least the target; infinite when it never was.

    >>> time_to_reach([0.2, 0.5], [10.0, 20.0], 0.5), time_to_reach([0.2], [10.0], 0.3)
    (20.0, inf)
    """
    reached = np.flatnonzero(np.asarray(values, dtype=float) >= target - _ROUNDING)
    return float(ends[reached[0]]) if len(reached) else math.inf
