"""SMAC3 as a strategy of the replay: its ask-and-tell interface on the unfiltered space, as its documentation shows.

The facade for hyperparameter optimisation (random forest, expected improvement, Sobol initial design) with ParEGO for
the two objectives. Failures are told by their kind, with the worst cost of both objectives (`crash_cost`): its forest
learns from crashed trials too, and could not from the infinite cost that is the default.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any
from weakref import finalize

from benchmarks.replaying.searcher import Searcher
from benchmarks.replaying.tasks import RecordedTask
from xautolm.records import Experience, ParamValue, Pipeline, TrialResult
from xautolm.space.params import Categorical, Domain, Float, Space

#: Status of a failed trial -> name of SMAC's own; others crashed.
_STATUS: Mapping[str, str] = MappingProxyType({"oom": "MEMORYOUT", "timeout": "TIMEOUT"})


class Smac:
    """SMAC3 behind the two calls of the search loop.

    Args:
        task: what is searched.
        seed: of SMAC.
    """

    def __init__(self, task: RecordedTask, seed: int) -> None:
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.multi_objective.parego import ParEGO

        logging.getLogger("smac").setLevel(logging.ERROR)
        self._worst = [1.0, task.plan.limits.time_s]
        folder = mkdtemp(prefix="smac-")  # SMAC writes what it does; gone with this object
        finalize(self, rmtree, folder, ignore_errors=True)
        scenario = Scenario(
            configuration_space(task.plan.space, seed),
            objectives=["error", "time"],
            n_trials=task.facts.budget.n_trials or 100,
            deterministic=True,
            crash_cost=self._worst,
            output_directory=Path(folder),
            seed=seed,
        )
        self._smac = HyperparameterOptimizationFacade(
            scenario, _never, multi_objective_algorithm=ParEGO(scenario), overwrite=True, logging_level=logging.ERROR
        )
        self._open: dict[int, Any] = {}

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of empty leaves of its forest
            self._open[trial_id] = self._smac.ask()
        return pipeline_of(dict(self._open[trial_id].config))

    def tell(self, result: TrialResult) -> None:
        from smac.runhistory import StatusType, TrialValue

        status = "SUCCESS" if result.is_ok else _STATUS.get(result.status, "CRASHED")
        cost = [1.0 - result.scores["f1"], result.cost.time_s] if result.is_ok else self._worst
        value = TrialValue(cost=cost, time=result.cost.time_s, status=StatusType[status])
        self._smac.tell(self._open.pop(result.trial_id), value)


def _never(config: Any, seed: int = 0) -> Any:
    raise NotImplementedError("trials are asked for and told")


def smac_parego(task: RecordedTask, others: Sequence[Experience], seed: int) -> Searcher:
    """SMAC3 with ParEGO."""
    return Searcher(Smac(task, seed))


def configuration_space(space: Space, seed: int) -> Any:
    """A space in SMAC's vocabulary, models and hyperparameters conditional on their method."""
    from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, EqualsCondition

    found = ConfigurationSpace(seed=seed)
    method = CategoricalHyperparameter("method", list(space.methods))
    found.add(method)
    for name, part in space.methods.items():
        domains: dict[str, Domain] = {"model": Categorical(part.models), **part.params}
        for handle, domain in domains.items():
            own = _hyperparameter(f"{name}.{handle}", domain)
            found.add(own)
            found.add(EqualsCondition(own, method, name))
    return found


def _hyperparameter(name: str, domain: Domain) -> Any:
    from ConfigSpace import CategoricalHyperparameter, UniformFloatHyperparameter, UniformIntegerHyperparameter

    if isinstance(domain, Categorical):
        if len(domain.choices) > 1 and all(type(choice) in (int, float) for choice in domain.choices):
            from ConfigSpace import OrdinalHyperparameter

            return OrdinalHyperparameter(name, sorted(domain.choices))
        return CategoricalHyperparameter(name, list(domain.choices))
    kind = UniformFloatHyperparameter if isinstance(domain, Float) else UniformIntegerHyperparameter
    return kind(name, domain.low, domain.high, log=domain.log)


def pipeline_of(values: Mapping[str, Any]) -> Pipeline:
    """The pipeline of a configuration.

    >>> pipeline_of({"method": "head", "head.model": "m", "head.c": 1.0}).to_dict()
    {'model': 'm', 'method': 'head', 'c': 1.0}
    """
    method = str(values["method"])
    own = {name.removeprefix(f"{method}."): plain(v) for name, v in values.items() if name.startswith(f"{method}.")}
    return Pipeline(str(own.pop("model")), method, own)


def plain(value: Any) -> ParamValue:
    """A value without NumPy's types, which are no JSON."""
    found: ParamValue = value.item() if hasattr(value, "item") else value
    return found
