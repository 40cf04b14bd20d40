"""Optuna's samplers as strategies of the replay.

They search the unfiltered space and are told of failures in the two ways that users choose between: as failed trials
("caught"), or as scores of 0 that took the whole time limit ("penalised").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from benchmarks.replaying.searcher import Searcher, Strategy
from benchmarks.replaying.simulate import OBJECTIVES
from benchmarks.replaying.tasks import RecordedTask
from xautolm.records import Experience, Pipeline, TrialResult
from xautolm.search.loop import Asker
from xautolm.search.samplers import StudyAsker


class Penalised:
    """Tells failures as scores of 0 at the time limit.

    Args:
        asker: who is told.
        limit_s: time limit of a trial, in seconds.
    """

    def __init__(self, asker: Asker, limit_s: float) -> None:
        self._asker, self._limit_s = asker, limit_s

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        return self._asker.ask(trial_id, [self._seen(result) for result in seen], running)

    def tell(self, result: TrialResult) -> None:
        self._asker.tell(self._seen(result))

    def _seen(self, result: TrialResult) -> TrialResult:
        if result.is_ok:
            return result
        scores, cost = {OBJECTIVES[0].name: 0.0}, replace(result.cost, time_s=self._limit_s)
        return replace(result, status="ok", error=None, scores=scores, cost=cost)


def _study(build: Callable[[int], BaseSampler], *, is_penalised: bool = False) -> Strategy:
    def strategy(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
        asker = StudyAsker(build(seed), task.plan.space, OBJECTIVES)
        return Searcher(Penalised(asker, task.plan.limits.time_s) if is_penalised else asker)

    return strategy


tpe_caught = _study(lambda seed: TPESampler(seed=seed))
tpe_penalised = _study(lambda seed: TPESampler(seed=seed), is_penalised=True)
nsga_penalised = _study(lambda seed: NSGAIISampler(seed=seed), is_penalised=True)
