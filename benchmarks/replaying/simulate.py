"""One strategy on one recorded task in simulated time, and the figures of merit of what it did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm import merit
from xautolm.evaluate.fake import Evaluate, FakeBackend
from xautolm.pareto import comparable
from xautolm.records import FAILURES, Budget, Objective, TrialResult
from xautolm.search.budget import Clock
from xautolm.search.loop import Asker, Events, Stopper, search

OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
#: How often running trials are looked at, in simulated seconds.
_TICK_S = 0.5

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the figures of merit need to know of a task.

    Attributes:
        name: of the task.
        constant_f1: macro F1 of the best constant prediction.
        time_limit_s: of a trial.
        budget: of a search.
    """

    name: str
    constant_f1: float
    time_limit_s: float
    budget: Budget


def run_strategy(
    asker: Asker, evaluate: Evaluate, facts: TaskFacts, seed: int, stopper: Stopper | None = None
) -> list[TrialResult]:
    """Search one trial at a time until the trials or the seconds of the budget are used up.

    Returns:
        Results in the order they finished. A trial that was running when the time was out does not count.
    """
    backend = FakeBackend(evaluate)
    wall_s = facts.budget.wall_s if facts.budget.wall_s is not None else math.inf
    clock = Clock(Budget(n_trials=facts.budget.n_trials), now=backend.now)
    events = Events(tick_s=_TICK_S if stopper else 1e9, should_stop=lambda: backend.now() >= wall_s)
    results = search(asker, backend, clock, seed=seed, events=events, stopper=stopper)
    ends = finish_times(results)
    return [result for result, end in zip(results, ends, strict=True) if end <= wall_s]


def finish_times(results: Sequence[TrialResult]) -> Array:
    """Seconds from the start at which each trial of a sequential search ended, (n_results,)."""
    return np.asarray(np.cumsum([result.cost.time_s for result in results]), dtype=float)


def quality_points(results: Sequence[TrialResult], facts: TaskFacts) -> Array:
    """Results in the unit square of `design.md` section 5, larger = better, (n_results, 2); NaN where not valid."""
    f1 = [result.scores["f1"] if result.is_ok else math.nan for result in results]
    points = merit.unit_square(f1, [r.cost.time_s for r in results], facts.constant_f1, facts.time_limit_s)
    points[np.isnan(points).any(axis=1)] = math.nan
    return points


def volumes(results: Sequence[TrialResult], facts: TaskFacts) -> Array:
    """Hypervolume of the valid results with reference (0, 0) after each trial, (n_results,), in [0, 1]."""
    return merit.anytime_volumes(-quality_points(results, facts), (0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one search achieved.

    Attributes:
        n_trials: finished trials.
        error_ratio: failures / launched.
        useless_share: valid trials no better than a constant prediction / valid.
        mean_time_s: mean time of the trials, failures and stopped ones included.
        best_f1: peak validation F1, 0 without a valid trial.
        volume: final hypervolume.
        area: mean hypervolume over the time budget.
    """

    n_trials: int
    error_ratio: float
    useless_share: float
    mean_time_s: float
    best_f1: float
    volume: float
    area: float


def figures(results: Sequence[TrialResult], facts: TaskFacts, horizon_s: float) -> Figures:
    """The figures of a search; `horizon_s` is the time over which the area is taken, the same for all strategies."""
    valid = [result for result in results if result.is_ok]
    n_failed = sum(result.status in FAILURES for result in results)
    useless = sum(result.scores["f1"] <= facts.constant_f1 for result in valid)
    by_trial = volumes(results, facts)
    return Figures(
        n_trials=len(results),
        error_ratio=n_failed / max(len(results), 1),
        useless_share=useless / max(len(valid), 1),
        mean_time_s=float(np.mean([result.cost.time_s for result in results])) if results else math.nan,
        best_f1=max((result.scores["f1"] for result in valid), default=0.0),
        volume=float(by_trial[-1]) if len(by_trial) else 0.0,
        area=merit.mean_until(by_trial, finish_times(results), horizon_s),
    )


def win_ratio(results: Sequence[TrialResult], rivals: Sequence[TrialResult]) -> float:
    """Share of the valid results that no point of the rivals' front weakly dominates; NaN without valid results."""
    _, ours = comparable(results, OBJECTIVES)
    _, theirs = comparable(rivals, OBJECTIVES)
    return merit.win_ratio(ours, theirs)


def time_to_reach(results: Sequence[TrialResult], facts: TaskFacts, target: float) -> float:
    """Seconds until the hypervolume first was at least the target; infinite when it never was."""
    return merit.time_to_reach(volumes(results, facts), finish_times(results), target)
