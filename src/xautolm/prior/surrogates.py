"""Models of this run's own trials: probability of success, and each objective with its uncertainty.

What is learned depends on the trials alone, not on when it was asked for: hyperparameters are learned from the first
`schedule(n)` of n trials, so that they are learned seldom and a replayed run gets the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xautolm.prior.beliefs import Prediction
from xautolm.prior.encoding import Encoder, Point
from xautolm.prior.gaussian import Classification, Regression

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

#: Trials that hyperparameters are learned from, and that predictions rest on, at most.
MAX_FIT, MAX_POINTS = 128, 224
#: Share of the trials that are chosen because their value is good; the others cover the space.
_SHARE_BEST = 1 / 3
#: Hyperparameters are learned anew when the trials have grown by this share, at most by this number.
_GROWTH, _MOST_NEW = 0.04, 48
#: Successes and failures that the success rate starts with while nothing has failed.
_SUCCESSES, _FAILURES = 3.0, 1.0
#: A value worse than the median by more than this many times the way from the best to the median is an outlier.
_FAR = 5.0
#: Minimised positive values that span more than this factor are taken by their logarithm (times, losses).
_SPAN = 10.0
#: Values beyond this are as good as this, so that squares are finite.
_HUGE = 1e100


@dataclass(frozen=True, slots=True)
class Trials:
    """Finished trials in the order they finished.

    Attributes:
        rows: (n, n_columns) encoded points.
        succeeded: (n,) whether each ended without a failure; stopped trials did.
        values: (n, k) objectives to be minimised; NaN where a trial has none.
        slacks: (n, c) how far each constraint was broken, kept where it is not above 0; NaN where not known.
    """

    rows: Array
    succeeded: Flags
    values: Array
    slacks: Array

    @property
    def has_values(self) -> Flags:
        """Whether a trial has all objectives, (n,)."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    @property
    def is_feasible(self) -> Flags:
        """Whether a trial has all objectives and keeps all constraints, (n,)."""
        return np.asarray(self.has_values & ~(self.slacks > 0.0).any(axis=1))


class Surrogates:
    """Learns from the trials of one run.

    Args:
        encoder: makes rows of points.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._learned: dict[str, tuple[int, Array, Indices]] = {}

    def learn(self, trials: Trials) -> OwnBeliefs:
        """What the trials say; a pure function of them (what was learned last is kept to save time)."""
        known = trials.has_values
        regressions = [
            self._regression(f"objective {j}", trials.rows[known], column[known])
            for j, column in enumerate(trials.values.T)
        ]
        bounds = []
        for j, slack in enumerate(trials.slacks.T):
            told = np.isfinite(slack)
            bounds.append(self._regression(f"constraint {j}", trials.rows[told], levelled(slack[told])))
        n, n_ok = len(trials.rows), int(trials.succeeded.sum())
        base_rate = (n_ok + _SUCCESSES) / (n + _SUCCESSES + _FAILURES)
        return OwnBeliefs(self.encoder, self._classification(trials), base_rate, regressions, bounds)

    def _classification(self, trials: Trials) -> Classification | None:
        """None while nothing has failed."""
        if trials.succeeded.all():
            return None
        rows, succeeded, groups = trials.rows, trials.succeeded, self.encoder.groups

        def fit(chosen: Indices) -> Array:
            if succeeded[chosen].all():
                return Classification.usual(groups)
            return Classification.fit(rows[chosen], succeeded[chosen], groups)

        theta, chosen = self._kept("success", rows, succeeded.astype(float), fit, None)
        return Classification(rows[chosen], succeeded[chosen], groups, theta)

    def _regression(self, name: str, rows: Array, values: Array) -> Regression | None:
        """None while there are fewer than two values."""
        if len(rows) < 2:
            return None
        groups = self.encoder.groups

        def fit(chosen: Indices) -> Array:
            return Regression.fit(rows[chosen], values[chosen], groups)

        theta, chosen = self._kept(name, rows, values, fit, values)
        return Regression(rows[chosen], values[chosen], groups, theta)

    def _kept(
        self, name: str, rows: Array, targets: Array, fit: Callable[[Indices], Array], values: Array | None
    ) -> tuple[Array, Indices]:
        """Hyperparameters, and the trials that predictions rest on: a choice of the first ones, and all newer ones."""
        n = schedule(len(rows))
        key = hash((n, rows[:n].tobytes(), targets[:n].tobytes()))
        if name not in self._learned or self._learned[name][0] != key:
            first = None if values is None else values[:n]
            theta = fit(representatives(rows[:n], first, MAX_FIT))
            self._learned[name] = key, theta, representatives(rows[:n], first, MAX_POINTS)
        _, theta, chosen = self._learned[name]
        return theta, np.concatenate([chosen, np.arange(n, len(rows))])


@dataclass(frozen=True)
class OwnBeliefs:
    """What the trials of a run say about points (`prior.beliefs.Beliefs`).

    Attributes:
        success: None while nothing has failed.
        base_rate: probability of success in that case.
        objectives: a model of each objective; None while too little is known.
        constraints: a model of each constraint.
    """

    encoder: Encoder
    success: Classification | None
    base_rate: float
    objectives: Sequence[Regression | None]
    constraints: Sequence[Regression | None] = field(default=())

    def predict(self, points: Sequence[Point]) -> Prediction:
        """What is expected of points, in the scale of `Trials.values`; standard normal where nothing is known."""
        return self.predict_rows(self.encoder.encode(points))

    def predict_rows(self, rows: Array) -> Prediction:
        """The same for encoded points."""
        from scipy.special import ndtr

        p_ok = np.full(len(rows), self.base_rate) if self.success is None else self.success.predict(rows)
        for constraint in self.constraints:
            if constraint is not None:
                mean, sd = constraint.predict(rows)
                p_ok = p_ok * ndtr(-mean / sd)
        mean, sd = np.zeros((len(rows), len(self.objectives))), np.ones((len(rows), len(self.objectives)))
        for j, objective in enumerate(self.objectives):
            if objective is not None:
                mean[:, j], sd[:, j] = objective.predict(rows)
        return Prediction(p_ok, mean, sd, np.ones(len(rows)))


def schedule(n: int) -> int:
    """How many of the first trials hyperparameters are learned from when n are known.

    >>> [schedule(n) for n in (1, 20, 60, 61, 62, 1000, 5000)]
    [1, 20, 60, 60, 62, 974, 4973]
    """
    reached = min(n, 2)
    while (following := reached + min(max(int(reached * _GROWTH), 1), _MOST_NEW)) <= n:
        reached = following
    return reached


def representatives(rows: Array, values: Array | None, n: int) -> Indices:
    """Indices of trials to learn from, ascending: some for their good (small) values, the others to cover the space."""
    if len(rows) <= n:
        return np.arange(len(rows))
    n_best = 0 if values is None else int(n * _SHARE_BEST)
    best = np.argsort(values, kind="stable")[:n_best] if values is not None else np.zeros(0, dtype=np.int64)
    return np.unique(np.concatenate([best, spread(rows, n - n_best)]))


def spread(rows: Array, n: int) -> Indices:
    """Indices of n rows that cover the others, ascending: each next one is the farthest from those chosen so far.

    The newest row is the first one (Gonzalez 1985).

    >>> spread(np.array([[0.0], [0.1], [1.0], [0.9], [0.5]]), 3).tolist()
    [0, 2, 4]
    """
    if len(rows) <= n:
        return np.arange(len(rows))
    chosen = [len(rows) - 1]
    gaps = ((rows - rows[-1]) ** 2).sum(axis=1)
    while len(chosen) < n:
        gaps[chosen[-1]] = -1.0
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return np.sort(np.asarray(chosen, dtype=np.int64))


def levelled(values: Array, *, may_be_log: bool = False) -> Array:
    """Values to be minimised, in a scale that a Gaussian process can follow: order is kept, outliers are drawn in.

    The scale is that of the first `schedule(n)` values, so that it changes only when hyperparameters are learned anew.

    Args:
        values: (n,), finite.
        may_be_log: whether positive values of several orders of magnitude, mostly upwards, are replaced by their
            logarithm (times).

    >>> levelled(np.array([1.0, 10.0, 1000.0]), may_be_log=True).round(1).tolist()
    [0.0, 2.3, 6.9]
    >>> levelled(np.array([0.0, 1.0, 2.0, 3.0, 1e9])).round(1).tolist()
    [0.0, 1.0, 2.0, 3.0, 52.1]
    """
    if len(values) == 0:
        return values
    n_first = schedule(len(values))
    first = values[:n_first]
    if may_be_log and values.min() > 0.0 and first.max() > _SPAN * first.min():
        # Only where the upper tail is the longer one: a loss that nears zero has no end in the logarithm.
        logs = np.log(first)
        values = np.log(values) if logs.max() + logs.min() >= 2.0 * np.median(logs) else values
    values = np.clip(values, -_HUGE, _HUGE)
    best, middle = float(values[:n_first].min()), float(np.median(values[:n_first]))
    limit, unit = middle + _FAR * (middle - best), middle - best
    if unit <= 0.0 or not np.isfinite(unit):
        return values
    return np.where(values > limit, limit + unit * np.log1p(np.maximum(values - limit, 0.0) / unit), values)
