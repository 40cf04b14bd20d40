"""Front-aware stopping: ends a running trial that can no longer enter the front.

A trial is stopped when some result is at least as good as it in every objective even under the most favourable
assumption: its score ends at an optimistic extrapolation of its validation curve, and everything else it costs from now
on is nothing. How much a score may still gain is read from finished curves: a conformal bound on the share of the
headroom that was gained after the same share of the training.

Covered: any number of objectives; a quantity that cannot be bounded (an objective other than the curve's score and
time) keeps a trial alive. Not covered: a trial without a curve, and trials whose curves behave unlike all before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from xautolm.pareto import comparable, satisfies
from xautolm.records import Constraint, Gains, Objective, Progress, TrialResult

Curve = Sequence[tuple[int, float, float]]

#: Validations of a training that the worker spaces evenly; a bin of progress is one of them.
N_BINS = 8
#: Share of trials whose score may end above the bound (a trial that might have won is stopped that often at most).
ALPHA = 0.02
#: Curves without which nothing is known: the bound is then the largest possible score.
MIN_CURVES = 20
#: Curves of past trials that are read for it at most.
MAX_CURVES = 400
#: The metrics that curves are made of: the first one of a task (`tasks.TaskKind.metrics`).
CURVE_METRICS = ("f1", "pearson")


@dataclass(frozen=True, slots=True)
class Optimism:
    """How much a score may still gain, by progress.

    Attributes:
        gains: for each bin of progress (1/8, 2/8, ..., 8/8 of the steps), the share of the headroom 1 - best so far
            that is not exceeded but for `ALPHA` of the curves; never rising with progress.
        n_curves: curves that this rests on.
    """

    gains: tuple[float, ...] = (1.0,) * N_BINS
    n_curves: int = 0

    def bound(self, curve: Curve, n_steps: int) -> float:
        """The score at which a running trial may end at best, at most 1.

        Args:
            curve: (step, seconds, score) so far.
            n_steps: steps of the whole training.

        >>> Optimism((0.5,) * 4 + (0.1,) * 4, 99).bound([(5, 1.0, 0.6)], 8)
        0.64
        >>> Optimism((0.5,) * 4 + (0.1,) * 4, 99).bound([], 8)
        1.0
        """
        index = _bin(curve, n_steps)
        if index is None:
            return 1.0
        best = max(score for _, _, score in curve)
        return min(1.0, best + self.gains[index] * (1.0 - best))


def gains_of(result: TrialResult) -> Gains | None:
    """What a finished trial's score gained after each bin of progress, as shares of the headroom that was left.

    Returns:
        One number in [0, 1] per bin, None where the trial was not validated; None for a trial without a curve.
    """
    final = next((result.scores[name] for name in CURVE_METRICS if name in result.scores), math.nan)
    if not result.is_ok or len(result.curve) < 2 or not math.isfinite(final):
        return None
    found: list[float | None] = [None] * N_BINS
    best = 0.0
    for point in result.curve:
        best = max(best, point[2])
        index = _bin([point], result.curve[-1][0])
        if index is not None:
            found[index] = round(min(max(final - best, 0.0) / (1.0 - best), 1.0), 4) if best < 1.0 else 0.0
    return tuple(found)


def past_gains(results: Iterable[TrialResult]) -> tuple[Gains, ...]:
    """How scores of past trials grew, of the first `MAX_CURVES` results that tell."""
    found = (gains_of(result) for result in results)
    return tuple(islice((gains for gains in found if gains is not None), MAX_CURVES))


def calibrate(finished: Iterable[Gains]) -> Optimism:
    """Learn the bound from finished trials (split conformal prediction, Vovk et al. 2005).

    The bound of a bin is the ceil((n + 1)(1 - ALPHA))-th smallest of n gains; below 49 curves that is the largest one,
    which one in n + 1 trials exceeds, and below `MIN_CURVES` nothing is known (bound 1). An earlier bin never allows
    less than a later one, because more training is left there.

    Args:
        finished: from `gains_of`; trials of other tasks count as well, gains being relative.

    >>> calibrate([(0.5, 0.5, 0.2, 0.2, None, 0.1, 0.0, 0.0)] * 60).gains
    (0.5, 0.5, 0.2, 0.2, 1.0, 0.1, 0.0, 0.0)
    >>> calibrate([(0.5,) * 8] * 5) == Optimism(n_curves=5)
    True
    """
    rows = list(finished)
    values = [[row[i] for row in rows if row[i] is not None] for i in range(N_BINS)]
    bounds = [_upper([value for value in column if value is not None]) for column in values]
    known = [bound for bound in bounds if bound is not None]
    gains = [1.0 if bound is None else max([bound, *_known(bounds[i:])]) for i, bound in enumerate(bounds)]
    return Optimism(tuple(gains) if known else (1.0,) * N_BINS, len(rows))


def _known(bounds: Sequence[float | None]) -> list[float]:
    return [bound for bound in bounds if bound is not None]


def _bin(curve: Curve, n_steps: int) -> int | None:
    """Bin of the progress that a curve has reached, rounded down; None before the first bin is full."""
    if not curve or n_steps <= 0:
        return None
    # Steps of validations are rounded, so an eighth may be a fraction of a step short of one.
    index = math.floor(N_BINS * (curve[-1][0] + 0.5) / n_steps) - 1
    return None if index < 0 else min(index, N_BINS - 1)


def _upper(values: Sequence[float]) -> float | None:
    if len(values) < MIN_CURVES:
        return None
    rank = min(math.ceil((len(values) + 1) * (1.0 - ALPHA)), len(values))
    return float(np.sort(values)[rank - 1])


class FrontStopper:
    """Decides which running trials of one run have no chance left.

    Args:
        objectives: of the run.
        constraints: of the run.
        past: gains of past trials of any task.
    """

    def __init__(
        self, objectives: Sequence[Objective], constraints: Sequence[Constraint] = (), past: Sequence[Gains] = ()
    ) -> None:
        self._objectives, self._constraints, self._past = tuple(objectives), tuple(constraints), tuple(past)
        named = [objective.name for objective in objectives] + [constraint.name for constraint in constraints]
        self._metric = next((name for name in CURVE_METRICS if name in named), CURVE_METRICS[0])
        self._known: tuple[int, Optimism] | None = None

    def optimism(self, results: Sequence[TrialResult]) -> Optimism:
        """The bound learned from the past and from this run's own results."""
        if self._known is None or self._known[0] != len(results):
            own = [gains for result in results if (gains := gains_of(result)) is not None]
            self._known = (len(results), calibrate([*self._past, *own]))
        return self._known[1]

    def reason(self, running: Progress, results: Sequence[TrialResult]) -> str | None:
        """Why a running trial can be stopped, as a phrase; None when it may still enter the front.

        While no result keeps every bound, the front is made of all of them (`pareto.front`): then a trial which cannot
        keep them either is compared with all, and one that may keep them is let run.
        """
        keeping = [result for result in results if result.is_ok and satisfies(result, self._constraints)]
        best_score = self.optimism(results).bound(running.curve, running.n_steps)
        floors = [c.bound for c in self._constraints if c.name in CURVE_METRICS and c.is_minimum]
        is_below = any(best_score < floor for floor in floors)
        if keeping and is_below:
            return f"at best {self._metric} {best_score:.3f}, at least {max(floors):g} is needed"
        if not keeping and not is_below:
            return None
        bounds = best_case(running, self._objectives, best_score)
        valid, points = comparable(keeping or results, self._objectives)
        for result, point in zip(valid, points, strict=True):
            if (point <= bounds).all():
                return f"at best {self._metric} {best_score:.3f}, trial {result.trial_id} is as good and costs no more"
        return None


def best_case(running: Progress, objectives: Sequence[Objective], best_score: float) -> npt.NDArray[np.float64]:
    """The best objective values that a running trial can still end with, minimised, (n_objectives,).

    Time counts from the beginning of the training, which the trial spends itself whatever a cache saved; a quantity
    that nothing is known of is minus infinity, which no result reaches.
    """
    spent_s = running.curve[-1][1] if running.curve else 0.0
    known = {"time": spent_s} | dict.fromkeys(CURVE_METRICS, -best_score)
    return np.asarray([known.get(objective.name, -math.inf) for objective in objectives], dtype=float)
