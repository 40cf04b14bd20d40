"""Optuna around the search: our proposals as an Optuna sampler, and any Optuna sampler as our search.

Both are driven define-by-run: `suggest_pipeline` suggests the method, then its model, then its hyperparameters,
under the handles `method`, `<method>.model` and `<method>.<hyperparameter>`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from xautolm.errors import UsageError
from xautolm.pareto import objective_value
from xautolm.prior.reference import cold_prior
from xautolm.records import Objective, ParamValue, Pipeline, Prior, TrialResult
from xautolm.search.loop import Asker, asked_for
from xautolm.search.nspe import Nspe
from xautolm.space.params import Categorical, Domain, Float, Space

#: Names of the project's own search.
OWN_SAMPLERS = ("experience", "nspe")
_PREFIX = "optuna:"


def distribution(domain: Domain) -> BaseDistribution:
    """A hyperparameter's domain in Optuna's vocabulary."""
    if isinstance(domain, Categorical):
        return CategoricalDistribution(domain.choices)
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    return IntDistribution(domain.low, domain.high, log=domain.log)


def distributions(method: str, space: Space) -> dict[str, BaseDistribution]:
    """Handle -> distribution of every decision of pipelines with this method, the method itself included."""
    part = space.methods[method]
    params = {f"{method}.{name}": distribution(domain) for name, domain in part.params.items()}
    return {
        "method": CategoricalDistribution(tuple(space.methods)),
        f"{method}.model": CategoricalDistribution(part.models),
        **params,
    }


def decisions(pipeline: Pipeline) -> dict[str, ParamValue]:
    """Handle -> value of a pipeline.

    >>> decisions(Pipeline("m", "head", {"c": 1.0}))
    {'method': 'head', 'head.model': 'm', 'head.c': 1.0}
    """
    method = pipeline.method
    params = {f"{method}.{name}": value for name, value in pipeline.params.items()}
    return {"method": method, f"{method}.model": pipeline.model, **params}


def suggest_pipeline(trial: optuna.Trial, space: Space) -> Pipeline:
    """Ask an Optuna trial for every decision of one pipeline of the space."""
    method = trial.suggest_categorical("method", tuple(space.methods))
    part = space.methods[method]
    model = trial.suggest_categorical(f"{method}.model", part.models)
    params = {name: _suggest(trial, f"{method}.{name}", domain) for name, domain in part.params.items()}
    return Pipeline(model, method, params)


def _suggest(trial: optuna.Trial, handle: str, domain: Domain) -> ParamValue:
    if isinstance(domain, Categorical):
        return cast("ParamValue", trial.suggest_categorical(handle, domain.choices))
    if isinstance(domain, Float):
        return trial.suggest_float(handle, domain.low, domain.high, log=domain.log)
    return trial.suggest_int(handle, domain.low, domain.high, log=domain.log)


class Proposing(Protocol):
    """Proposes pipelines: `search.ranking.Ranking`, `search.proposals.Proposer`."""

    space: Space
    objectives: tuple[Objective, ...]

    def propose(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline to try as trial `trial_id`, knowing finished results and what runs now."""
        ...


class PipelineSampler(BaseSampler):
    """Proposes whole pipelines and answers an Optuna trial's suggestions with them.

    What a proposal may know (trial id and finished results) is set by `show` before the study is asked: Optuna
    keeps its trials in the order they were asked for, the search needs the order in which they finished.

    Args:
        proposer: chooses the pipelines.
    """

    def __init__(self, proposer: Proposing) -> None:
        self._proposer = proposer
        self._trial_id = 0
        self._seen: tuple[TrialResult, ...] = ()
        self._running: tuple[Pipeline, ...] = ()
        self._pipeline: Pipeline | None = None

    def show(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> None:
        """Set what the next proposal knows."""
        self._trial_id, self._seen, self._running = trial_id, tuple(seen), tuple(running)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._pipeline = self._proposer.propose(self._trial_id, self._seen, self._running)
        return distributions(self._pipeline.method, self._proposer.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return decisions(self._pipeline) if self._pipeline else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise UsageError(
            f"`PipelineSampler` proposes pipelines of its own space, which has no {param_name!r} here; "
            "suggest with `suggest_pipeline` on the same space"
        )


class StudyAsker:
    """An Optuna study behind the two calls that the loop makes.

    Args:
        sampler: any Optuna sampler. Ours is shown exactly what `ask` is given, so its proposals can be replayed
            with any number of slots and after interruptions; others know the trials that were told, and keep a state
            of their own.
        space: where pipelines come from.
        objectives: what trials are told with; failures and results without a finite value are told as failed.

    Attributes:
        study: the in-memory study, for Optuna's own tools.
    """

    def __init__(self, sampler: BaseSampler, space: Space, objectives: Sequence[Objective]) -> None:
        self._sampler = sampler
        self._space = space
        self._objectives = tuple(objectives)
        self.study = _quiet_study(sampler, self._objectives)
        self._open: dict[int, optuna.Trial] = {}
        self._told: set[int] = set()

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline of a trial; results in `seen` that were never told (a resumed run) are told first."""
        for result in seen:
            self.tell(result)
        if trial_id in self._open:  # asked before, then interrupted
            self.study.tell(self._open.pop(trial_id), state=TrialState.FAIL)
        if isinstance(self._sampler, PipelineSampler):
            self._sampler.show(trial_id, seen, running)
        self._open[trial_id] = self.study.ask()
        return suggest_pipeline(self._open[trial_id], self._space)

    def tell(self, result: TrialResult) -> None:
        """Close the trial in the study; a trial that was asked for in an earlier sitting is added to it."""
        if result.trial_id in self._told:
            return
        self._told.add(result.trial_id)
        values = [objective_value(result, objective) for objective in self._objectives]
        usable = result.is_ok and all(abs(value) < float("inf") for value in values)
        state = TrialState.COMPLETE if usable else TrialState.FAIL
        trial = self._open.pop(result.trial_id, None)
        if trial is not None:
            self.study.tell(trial, values if usable else None, state=state)
        elif self._space.contains(asked_for(result)):
            self.study.add_trial(self._recorded(asked_for(result), state, values if usable else None))

    def _recorded(self, pipeline: Pipeline, state: TrialState, values: list[float] | None) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params=decisions(pipeline),
            distributions=distributions(pipeline.method, self._space),
        )


def check_sampler(name: str) -> None:
    """Refuse a name that `make_search` does not know.

    Raises:
        UsageError: it is unknown.
    """
    known = (*OWN_SAMPLERS, *(_PREFIX + sampler for sampler in optuna_samplers()))
    if name not in known:
        raise UsageError(f"`sampler` must be one of {', '.join(f'`{choice}`' for choice in known)}, got {name!r}")


def make_search(name: str, proposer: Proposing, *, seed: int, prior: Prior | None = None) -> Asker:
    """The search that an option names.

    Args:
        name: `experience` (ours), `nspe` (the published search, `search.nspe`), or `optuna:` and the class name of an
            Optuna sampler.
        proposer: our proposals; its space and objectives are used for all.
        seed: seed of an Optuna sampler and of the published search.
        prior: what the published search starts from; None = cold.

    Raises:
        UsageError: the name is unknown, or the sampler cannot search this space with these objectives.
    """
    if name == "nspe":
        return Nspe(proposer.space, prior or cold_prior(), proposer.objectives, seed)
    if name in OWN_SAMPLERS:
        return StudyAsker(PipelineSampler(proposer), proposer.space, proposer.objectives)
    check_sampler(name)
    build = optuna_samplers()[name.removeprefix(_PREFIX)]
    try:
        # A study of its own tells whether the sampler can handle several objectives and a conditional space.
        StudyAsker(build(seed=seed), proposer.space, proposer.objectives).ask(0, ())
        return StudyAsker(build(seed=seed), proposer.space, proposer.objectives)
    except (ValueError, ImportError) as error:
        raise UsageError(f"`sampler` {name!r} cannot be used here: {error}") from error


def optuna_samplers() -> dict[str, Callable[..., BaseSampler]]:
    """Class name -> Optuna sampler, of those that need nothing but a seed."""
    found: dict[str, Callable[..., BaseSampler]] = {}
    for name in optuna.samplers.__all__:
        candidate = getattr(optuna.samplers, name)
        if not inspect.isclass(candidate) or not issubclass(candidate, BaseSampler):
            continue
        parameters = inspect.signature(candidate).parameters
        optional = all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters.values())
        if "seed" in parameters and optional and not inspect.isabstract(candidate):
            found[name] = candidate
    return dict(sorted(found.items()))


def _quiet_study(sampler: BaseSampler, objectives: Sequence[Objective]) -> optuna.Study:
    """An in-memory study; Optuna would announce it on stderr, so its level is raised for the moment."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        directions = [objective.direction for objective in objectives]
        return optuna.create_study(directions=directions, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(level)
