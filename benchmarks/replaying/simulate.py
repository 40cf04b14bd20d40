"""One strategy on one recorded task in simulated time, and the figures of merit of what it did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.evaluate.fake import Evaluate, FakeBackend
from xautolm.pareto import front, hypervolume
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
    """Valid results in the unit square of `design.md` section 5, larger = better, (n_valid, 2).

    x = (F1 - constant) / (1 - constant), y = 1 - log10(max(time, 1 s)) / log10(limit), both clipped to [0, 1].
    """
    valid = [result for result in results if result.is_ok]
    x = [(r.scores["f1"] - facts.constant_f1) / (1.0 - facts.constant_f1) for r in valid]
    y = [1.0 - math.log10(max(r.cost.time_s, 1.0)) / math.log10(facts.time_limit_s) for r in valid]
    return np.asarray(np.clip(np.asarray([x, y], dtype=float).T.reshape(len(valid), 2), 0.0, 1.0))


def volume(results: Sequence[TrialResult], facts: TaskFacts) -> float:
    """Hypervolume of the valid results with reference (0, 0), in [0, 1]."""
    return hypervolume(-quality_points(results, facts), (0.0, 0.0))


def anytime_volume(results: Sequence[TrialResult], facts: TaskFacts, times: Array) -> Array:
    """Hypervolume at each time, (n_times,)."""
    ends = finish_times(results)
    values = np.asarray([0.0, *(volume(results[: n + 1], facts) for n in range(len(results)))])
    return np.asarray(values[np.searchsorted(ends, times, side="right")], dtype=float)


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
    grid = np.linspace(0.0, horizon_s, 201)
    return Figures(
        n_trials=len(results),
        error_ratio=n_failed / max(len(results), 1),
        useless_share=useless / max(len(valid), 1),
        mean_time_s=float(np.mean([result.cost.time_s for result in results])) if results else math.nan,
        best_f1=max((result.scores["f1"] for result in valid), default=0.0),
        volume=volume(results, facts),
        area=float(anytime_volume(results, facts, grid).mean()),
    )


def win_ratio(results: Sequence[TrialResult], rivals: Sequence[TrialResult]) -> float:
    """Share of the valid results that no point of the rivals' front weakly dominates; NaN without valid results."""
    members = set(front(rivals, OBJECTIVES))
    best = [(r.scores["f1"], r.cost.time_s) for r in rivals if r.trial_id in members]
    valid = [(r.scores["f1"], r.cost.time_s) for r in results if r.is_ok]
    wins = [all(f1 > b or time_s < t for b, t in best) for f1, time_s in valid]
    return float(np.mean(wins)) if wins else math.nan


def time_to_reach(results: Sequence[TrialResult], facts: TaskFacts, target: float) -> float:
    """Seconds until the hypervolume first was at least the target; infinite when it never was."""
    ends = finish_times(results)
    for n in range(len(results)):
        if volume(results[: n + 1], facts) >= target - 1e-12:
            return float(ends[n])
    return math.inf
