"""Random search as a strategy of the replay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.replaying.searcher import Searcher
from benchmarks.replaying.tasks import RecordedTask
from xautolm.prior.model import SearchModel
from xautolm.records import Experience, Pipeline, TrialResult
from xautolm.space.params import Space


class Uniform:
    """Draws every decision uniformly."""

    def __init__(self, space: Space, seed: int) -> None:
        self._model, self._seed = SearchModel.uniform(space), seed

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        return self._model.sample(np.random.default_rng([self._seed, trial_id]))

    def tell(self, result: TrialResult) -> None: ...


def random_search(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Uniform draws, nothing checked."""
    return Searcher(Uniform(task.plan.space, seed))
