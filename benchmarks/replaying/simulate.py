"""One strategy on one recorded task in simulated time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.evaluate.fake import Evaluate, FakeBackend
from xautolm.records import Budget, Objective, TrialResult
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
