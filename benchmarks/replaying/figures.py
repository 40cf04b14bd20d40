"""Figures of merit of one search on one task (`design.md`, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.replaying.simulate import OBJECTIVES, TaskFacts, finish_times
from xautolm import merit
from xautolm.pareto import comparable, non_dominated_sort
from xautolm.records import FAILURES, TrialResult

Array = npt.NDArray[np.float64]

#: The first trials of a warm search, and those of a cold one that they are compared with.
FIRST, LATER = 3, 10
#: Points of an anytime curve: 0, then evenly spaced in the logarithm up to the horizon.
N_CURVE, _EARLIEST = 41, 1 / 512


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
        n_stopped: of these, stopped by the search itself.
        error_ratio: failures / launched.
        useless_share: valid trials no better than a constant prediction / valid.
        mean_time_s: mean time of the trials, failures and stopped ones included.
        best_f1: peak validation F1, 0 without a valid trial. It is that of the recommended pipeline too: the first
            objective decides, and a surrogate has no noise.
        first_f1: peak F1 of the first `FIRST` trials.
        later_f1: peak F1 of the first `LATER` trials.
        volume: final hypervolume.
        area: mean hypervolume over the time budget.
    """

    n_trials: int
    n_stopped: int
    error_ratio: float
    useless_share: float
    mean_time_s: float
    best_f1: float
    first_f1: float
    later_f1: float
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
        n_stopped=sum(result.status == "stopped" for result in results),
        error_ratio=n_failed / max(len(results), 1),
        useless_share=useless / max(len(valid), 1),
        mean_time_s=float(np.mean([result.cost.time_s for result in results])) if results else math.nan,
        best_f1=peak(results),
        first_f1=peak(results[:FIRST]),
        later_f1=peak(results[:LATER]),
        volume=float(by_trial[-1]) if len(by_trial) else 0.0,
        area=merit.mean_until(by_trial, finish_times(results), horizon_s),
    )


def peak(results: Sequence[TrialResult]) -> float:
    """The best F1 of some results, 0 without a valid one."""
    return max((result.scores["f1"] for result in results if result.is_ok), default=0.0)


def win_ratio(results: Sequence[TrialResult], rivals: Sequence[TrialResult]) -> float:
    """Share of the valid results that no point of the rivals' front weakly dominates; NaN without valid results."""
    _, ours = comparable(results, OBJECTIVES)
    _, theirs = comparable(rivals, OBJECTIVES)
    return merit.win_ratio(ours, theirs)


def upper_win_ratio(results: Sequence[TrialResult], rivals: Sequence[TrialResult]) -> float:
    """The win ratio of the results above the median F1 of the rivals' front, so that cheap and poor ones do not count.

    NaN without such results; all valid results count where the rivals have no front.
    """
    middle = float(np.median([f1 for f1, _ in front(rivals)] or [-math.inf]))
    return win_ratio([result for result in results if result.is_ok and result.scores["f1"] > middle], rivals)


def front(results: Sequence[TrialResult]) -> list[tuple[float, float]]:
    """F1 and seconds of the results that no other dominates, the fastest first."""
    valid, points = comparable(results, OBJECTIVES)
    best = [valid[i] for i in non_dominated_sort(points)[0]] if valid else []
    return sorted(((r.scores["f1"], r.cost.time_s) for r in best), key=lambda point: point[1])


def time_to_reach(results: Sequence[TrialResult], facts: TaskFacts, target: float) -> float:
    """Seconds until the hypervolume first was at least the target; infinite when it never was."""
    return merit.time_to_reach(volumes(results, facts), finish_times(results), target)


def time_grid(horizon_s: float) -> Array:
    """The times at which the anytime curves of a task are read, in seconds, (`N_CURVE`,)."""
    return np.asarray([0.0, *np.geomspace(_EARLIEST, 1.0, N_CURVE - 1)]) * horizon_s


def curve(results: Sequence[TrialResult], facts: TaskFacts, grid: Array) -> Array:
    """Hypervolume at the times of a grid, (n_times,)."""
    return merit.held(volumes(results, facts), finish_times(results), grid)


def figures_against(results: Sequence[TrialResult], rival: Sequence[TrialResult], facts: TaskFacts) -> dict[str, Any]:
    """The figures of a search, and those that compare it with the rival's search with the same seed.

    Returns:
        Those of `Figures`; `to_cold`, the time to the rival's final hypervolume over the rival's whole time (None =
        never); `to_cold_own`, the same over the time at which the rival itself got there; `win_ratio` and
        `upper_win_ratio` (None = nothing to count).
    """
    horizon_s = float(finish_times(rival)[-1])
    target = float(volumes(rival, facts)[-1])
    reached_s, rival_s = (time_to_reach(found, facts, target) for found in (results, rival))
    compared = {
        "to_cold": reached_s / horizon_s,
        "to_cold_own": reached_s / rival_s,
        "win_ratio": win_ratio(results, rival),
        "upper_win_ratio": upper_win_ratio(results, rival),
    }
    known = {name: value if math.isfinite(value) else None for name, value in compared.items()}
    return asdict(figures(results, facts, horizon_s)) | known
