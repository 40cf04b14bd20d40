"""A transfer method of Syne Tune as a strategy of the replay: Copula Thompson sampling.

`QuantileBasedSurrogateSearcher` (Salinas, Shen and Perrone, ICML 2020) fits one surrogate to the past evaluations of
all tasks, each task's objective turned into normal scores of its ranks, and proposes the best of a sample from it. It
knows one number and no conditions: it gets F1 times the speed of `design.md` section 5, about what a pipeline adds to
the hypervolume on its own, 0 for a failure; all methods' hyperparameters side by side; and in past evaluations the
defaults for what did not apply.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from typing import Any

import numpy as np

from benchmarks.replaying.searcher import Searcher
from benchmarks.replaying.smac_search import pipeline_of
from benchmarks.replaying.tasks import RecordedTask
from xautolm import merit
from xautolm.records import Experience, ParamValue, Pipeline, TrialResult
from xautolm.space.params import Categorical, Domain, Float, Space

_METRIC = "missed"
#: Candidates drawn at once.
_AT_ONCE = 10_000
#: Loggers of Syne Tune's that tell of every fit.
_LOUD = "syne_tune"


class Transfer:
    """Syne Tune's scheduler behind the two calls of the search loop.

    Args:
        task: what is searched.
        others: experiences of other tasks.
        seed: of the searcher.
    """

    def __init__(self, task: RecordedTask, others: Sequence[Experience], seed: int) -> None:
        from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
        from syne_tune.optimizer.schedulers.single_objective_scheduler import SingleObjectiveScheduler

        logging.getLogger(_LOUD).setLevel(logging.ERROR)
        self._space, self._limit_s = task.plan.space, task.plan.limits.time_s
        space = flat_space(self._space)
        with redirect_stdout(StringIO()):  # it prints what it waits for
            searcher = _searcher()(space, past_evaluations(self._space, others), random_seed=seed)
        scheduler = SingleObjectiveScheduler(space, metric=_METRIC, do_minimize=True, searcher=searcher)
        self._scheduler = AskTellScheduler(base_scheduler=scheduler)
        self._open: dict[int, Any] = {}

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        self._open[trial_id] = self._scheduler.ask()
        return pipeline_of(typed(self._open[trial_id].config, self._space))

    def tell(self, result: TrialResult) -> None:
        self._scheduler.tell(self._open.pop(result.trial_id), {_METRIC: missed(result, self._limit_s)})


@lru_cache(maxsize=1)
def _searcher() -> Any:
    """Syne Tune's searcher, which draws its candidates column by column: one by one takes half a minute."""
    from syne_tune.optimizer.schedulers.transfer_learning.quantile_based.quantile_based_searcher import (
        QuantileBasedSurrogateSearcher,
    )

    class Searcher(QuantileBasedSurrogateSearcher):  # type: ignore[misc]
        _drawn: Iterator[dict[str, Any]] = iter(())

        def _sample_random_config(self) -> dict[str, Any]:
            for candidate in self._drawn:
                return candidate
            columns = [d.sample(size=_AT_ONCE, random_state=self.random_state) for d in self.config_space.values()]
            self._drawn = (dict(zip(self.config_space, row, strict=True)) for row in zip(*columns, strict=True))
            return next(self._drawn)

    return Searcher


def transfer(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """Syne Tune's Copula Thompson sampling from the experiences of the other tasks."""
    return Searcher(Transfer(task, others, seed))


def missed(result: TrialResult, limit_s: float) -> float:
    """One minus F1 times speed, to be minimised; 1 for a failure, as for what takes the whole limit."""
    if not result.is_ok:
        return 1.0
    ((f1, speed),) = merit.unit_square([result.scores["f1"]], [result.cost.time_s], 0.0, limit_s).tolist()
    return 1.0 - float(f1) * float(speed)


def _decisions(space: Space) -> Iterable[tuple[str, Domain, ParamValue]]:
    """Handle, domain and default of every decision, the method first."""
    methods = tuple(space.methods)
    yield "method", Categorical(methods), methods[0]
    for name, part in space.methods.items():
        yield f"{name}.model", Categorical(part.models), part.models[0]
        for handle, domain in part.params.items():
            yield f"{name}.{handle}", domain, part.default[handle]


def flat_space(space: Space) -> dict[str, Any]:
    """A space in Syne Tune's vocabulary, without conditions."""
    from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform

    found: dict[str, Any] = {}
    for handle, domain, _ in _decisions(space):
        if isinstance(domain, Categorical):
            found[handle] = choice(list(domain.choices))
        elif isinstance(domain, Float):
            found[handle] = (loguniform if domain.log else uniform)(domain.low, domain.high)
        else:
            found[handle] = (lograndint if domain.log else randint)(domain.low, domain.high)
    return found


def past_evaluations(space: Space, others: Sequence[Experience]) -> dict[str, Any]:
    """Past trials by task; those of pipelines that are not in the space are left out."""
    import pandas as pd
    from syne_tune.optimizer.schedulers.transfer_learning.transfer_learning_task_evaluation import (
        TransferLearningTaskEvaluations,
    )

    defaults = {handle: default for handle, _, default in _decisions(space)}
    found = {}
    for name, rows_hash in dict.fromkeys((e.dataset_id, e.fingerprint) for e in others):
        known = [e for e in others if e.fingerprint == rows_hash and space.contains(e.result.pipeline)]
        rows = [defaults | _handles(e.result.pipeline) for e in known]
        values = [missed(e.result, e.time_limit_s or 0.0) for e in known]
        if not known:
            continue
        found[f"{name}-{rows_hash}"] = TransferLearningTaskEvaluations(
            configuration_space=flat_space(space),
            hyperparameters=pd.DataFrame(rows),
            objectives_names=[_METRIC],
            objectives_evaluations=np.asarray(values, dtype=float).reshape(-1, 1, 1, 1),
        )
    return found


def _handles(pipeline: Pipeline) -> dict[str, ParamValue]:
    method = pipeline.method
    own = {f"{method}.{name}": value for name, value in pipeline.params.items()}
    return {"method": method, f"{method}.model": pipeline.model, **own}


def typed(values: Mapping[str, Any], space: Space) -> dict[str, ParamValue]:
    """Values as the space has them: a table of candidates turns whole columns into other types."""
    found: dict[str, ParamValue] = {}
    for handle, domain, _ in _decisions(space):
        value = values[handle]
        if isinstance(domain, Categorical):
            found[handle] = next(choice for choice in domain.choices if choice == value)
        else:
            found[handle] = float(value) if isinstance(domain, Float) else int(value)
    return found
