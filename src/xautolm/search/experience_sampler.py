"""`xautolm.ExperienceSampler`: our search as a sampler for any Optuna study, warm from an experience store."""

from __future__ import annotations

import secrets
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from xautolm.errors import UsageError
from xautolm.experience.store import ExperienceStore
from xautolm.prior.decisions import Belief
from xautolm.prior.encoding import Point, Tree, Variable, tree_of_space
from xautolm.prior.evidence import Rated, load_rated, rate_groups
from xautolm.prior.marginals import PastTrials
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Neighbour, ParamValue, Profile
from xautolm.search.candidates import draw
from xautolm.search.samplers import distributions
from xautolm.search.stopping import past_gains
from xautolm.search.studies import Naming, Parameter, Parameters, finished, tree_of_trials
from xautolm.search.study_stopping import StudyStopper
from xautolm.search.suggestion import Finished, Suggester
from xautolm.space.params import Domain, Space

#: Experiences that are read at most, and best past points that a study starts with.
MAX_EXPERIENCES, N_STARTS = 5_000, 3
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_FIXED = "fixed_params"  # Optuna's name for the values of an enqueued trial


@dataclass(frozen=True, slots=True)
class SamplerEvidence:
    """What experience a sampler uses.

    Attributes:
        n_experiences: past trials that teach something.
        tasks: where they come from, nearest first.
        matched: parameters of the study that past trials say something about.
        unmatched: the other parameters of the study known so far; see the argument `rename`.
        unused: names of past trials' values that the study has no parameter for.
    """

    n_experiences: int
    tasks: tuple[Neighbour, ...]
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        if not self.n_experiences:
            return "cold: no experience is used"
        names = {"matched": self.matched, "not matched": self.unmatched, "not in this study": self.unused}
        lists = "; ".join(f"{what}: {', '.join(found)}" for what, found in names.items() if found)
        return f"{self.n_experiences} experiences of {len(self.tasks)} tasks; {lists}"


class ExperienceSampler(BaseSampler):
    """Proposes points that are likely to work and to improve a study, from its own trials and from experience.

    It serves any define-by-run space, any number of objectives, constraints (`trial.set_constraint`), parallel trials,
    enqueued trials, and `PartialFixedSampler` around it. A proposal depends on the seed, the trial's number and the
    other trials of the study only. Failed trials (`catch=`) teach it what to avoid.

    Whole points are ranked. Which parameter belongs to which choice is learned from the study's own trials; what is not
    known yet is drawn from the distribution of its values in past trials, uniformly without any.

    Args:
        store: past trials: an open store, its URL, or the path of an SQLite file; None = none.
        task: profile of the task (`AutoLM().profile(data)`), so that near tasks count more; None = all count alike.
        space: distributions by name, or a `Space` of ours whose pipelines are asked for with
            `search.samplers.suggest_pipeline`; None = learned.
        seed: of all random decisions; None = drawn.
        rename: the study's name of a parameter -> its name in past trials (`{"lr": "learning_rate"}`).

    Raises:
        UsageError: an argument has the wrong type.
        StoreError: the store cannot be opened or read.
    """

    def __init__(
        self,
        store: ExperienceStore | str | Path | None = None,
        task: Profile | None = None,
        space: Space | Mapping[str, BaseDistribution] | None = None,
        seed: int | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        _check(store, task, space, seed, rename)
        self._seed = secrets.randbits(32) if seed is None else seed
        self._naming = Naming(space if isinstance(space, Space) else None, dict(rename or {}))
        past = [] if store is None else _read(store, task)
        self._past = PastTrials(past)
        self._gains = past_gains(item.experience.result for item in past)
        self._parameters = Parameters(_given(space))
        self._beliefs: dict[tuple[str, Domain], Belief | None] = {}
        self._ended: dict[int, Finished] = {}
        self._constraints: tuple[str, ...] = ()
        self._whole: dict[int, Point] = {}
        self._proposed: dict[int, dict[str, ParamValue]] = {}
        self._suggester: Suggester | None = None
        self._study_name: str | None = None
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    @property
    def evidence(self) -> SamplerEvidence:
        """What experience is used, with the names that matched as far as the study's parameters are known."""
        with self._lock:
            names = list(self._parameters.known)
            matched = [name for name in names if self._belief(name, self._parameters.known[name].domain) is not None]
            asked = {self._naming.past(name) for name in names}
            return SamplerEvidence(
                n_experiences=self._past.n_experiences,
                tasks=self._past.tasks,
                matched=tuple(matched),
                unmatched=tuple(name for name in names if name not in matched),
                unused=tuple(sorted(self._past.names - asked)),
            )

    def stopper(self, study: optuna.Study, objectives: Sequence[str] = ("score",)) -> StudyStopper:
        """A rule that stops trials of a study which can no longer enter its front, calibrated on the store's curves.

        Args:
            study: the study.
            objectives: names of its objectives, see `StudyStopper`.

        Raises:
            UsageError: the names do not fit the study.
        """
        return StudyStopper(study, objectives, self._gains)

    def reseed_rng(self) -> None:
        """Nothing to do: each proposal has a source of randomness of its own."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with self._lock:
            self._update(study)
            known = self._parameters.known.items()
            return {name: item.distribution for name, item in known if not item.distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        with self._lock:
            suggester = self._suggester_for(len(study.directions))
            running, fixed = self._running(study, trial), self._fixed(trial, search_space)
            point = suggester.suggest(trial.number, list(self._ended.values()), running, fixed)
            self._proposed[trial.number] = point
            decoded = self._parameters.decoded(self._naming.study_point(point))
            return {name: value for name, value in decoded.items() if name in search_space}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with self._lock:
            parameter = Parameter.of(param_distribution)
            rng = np.random.default_rng([self._seed, trial.number, zlib.crc32(param_name.encode())])
            variable = Variable(param_name, parameter.domain, parameter.step)
            belief = self._belief(param_name, parameter.domain)
            marginals = {} if belief is None else {variable: belief}
            value = draw(Tree((variable,)), rng, 1, marginals=marginals)[0][param_name]
            return parameter.decoded(value)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        with self._lock:
            self._proposed.pop(trial.number, None)

    def _update(self, study: optuna.Study) -> None:
        """Take over what the study's trials say; a sampler that is moved to another study starts anew."""
        if study.study_name != self._study_name:
            self._ended.clear()
            self._whole.clear()
            self._proposed.clear()
            self._study_name = study.study_name
        trials = study.get_trials(deepcopy=False, states=_ENDED)
        constraints = tuple(sorted({name for trial in trials for name in trial.constraints}))
        if constraints != self._constraints:
            self._constraints = constraints
            self._ended.clear()
        before = {name: item.distribution for name, item in self._parameters.known.items()}
        new = [trial for trial in trials if trial.number not in self._ended]
        for trial in new:
            self._parameters.learn(trial)
        if any(before.get(name) != item.distribution for name, item in self._parameters.known.items()):
            self._ended.clear()
            self._whole.clear()
            new = trials
        for trial in sorted(new, key=lambda trial: (str(trial.datetime_complete), trial.number)):
            point = self._naming.our_point(self._parameters.point(trial))
            self._ended[trial.number] = finished(trial, point, study.directions, self._constraints)
            if trial.state != TrialState.FAIL:
                self._whole[trial.number] = point

    def _running(self, study: optuna.Study, current: FrozenTrial) -> list[Point]:
        """Points of the trials that run now, as far as they are known, in the order of their numbers."""
        found = []
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number != current.number:
                known = self._naming.our_point(self._parameters.point(trial))
                found.append({**self._proposed.get(trial.number, {}), **known})
        return [point for point in found if point]

    def _fixed(self, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> dict[str, ParamValue]:
        """Values that are given: of an enqueued trial, and of names that somebody around the sampler took out.

        What such a name is fixed to (`PartialFixedSampler`) is not told; it is taken to be what it last was.
        """
        given = {
            name: self._parameters.known[name].encoded(value)
            for name, value in trial.system_attrs.get(_FIXED, {}).items()
            if name in search_space and _holds(search_space[name], value)
        }
        for name, parameter in self._parameters.known.items():
            if name not in search_space and not parameter.distribution.single():
                last = [t.point for t in self._ended.values() if self._naming.ours(name) in t.point]
                if last:
                    given[name] = last[-1][self._naming.ours(name)]
        return self._naming.our_point(given)

    def _suggester_for(self, n_objectives: int) -> Suggester:
        tree = self._tree()
        known = self._suggester
        if known is None or known.tree.variables != tree.variables or known.n_objectives != n_objectives:
            beliefs = {variable: self._belief(variable.name, variable.domain) for variable in tree.variables}
            marginals = {variable: belief for variable, belief in beliefs.items() if belief is not None}
            starts = [self._start(tree, marginals, values) for values in self._past.best(N_STARTS)]
            known = Suggester(
                tree, self._seed, n_objectives, marginals=marginals, starts=[start for start in starts if start]
            )
            self._suggester = known
        return known

    def _tree(self) -> Tree:
        if self._naming.space is not None:
            return tree_of_space(self._naming.space)
        partial = [trial.point for trial in self._ended.values() if trial.number not in self._whole]
        return tree_of_trials(self._parameters.known, list(self._whole.values()), partial)

    def _belief(self, name: str, domain: Domain) -> Belief | None:
        """What past trials say of a parameter of the study, or of a variable of ours."""
        key = self._naming.past(name), domain
        if key not in self._beliefs:
            self._beliefs[key] = self._past.belief(*key)
        return self._beliefs[key]

    def _start(
        self, tree: Tree, marginals: Mapping[Variable, Belief], values: Mapping[str, ParamValue]
    ) -> dict[str, ParamValue]:
        """A past trial as far as the study has its variables; empty when that is less than half of a point."""
        start: dict[str, ParamValue] = {}
        n_applying = 0
        for variable in tree.variables:
            if not variable.applies(start):
                continue
            n_applying += 1
            value = values.get(self._naming.past(variable.name))
            resolved = None if value is None or variable not in marginals else marginals[variable].resolve(value)
            if resolved is not None:
                start[variable.name] = resolved
        return start if 2 * len(start) >= n_applying else {}


def _given(space: Space | Mapping[str, BaseDistribution] | None) -> dict[str, BaseDistribution]:
    """Distributions that are known before the first trial."""
    if isinstance(space, Space):
        return {name: item for method in space.methods for name, item in distributions(method, space).items()}
    return dict(space or {})


def _read(store: ExperienceStore | str | Path, task: Profile | None) -> list[Rated]:
    """Past trials of tasks of the same sort, nearest first."""
    if not isinstance(store, ExperienceStore):
        url = str(store) if "://" in str(store) else f"sqlite:///{store}"
        with ExperienceStore(url, create=False) as opened:
            return _read(opened, task)
    profile = task or Profile(schema="", task={}, system_schema="", system={})
    sort = profile.schema.partition("/")[0]
    near = rate_groups(store.groups(), profile, "", (), DistanceOptions())
    near = [item for item in near if not sort or item.group.profile.schema.partition("/")[0] == sort]
    return load_rated(store, near, MAX_EXPERIENCES)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value that a user gives lies in a distribution."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def _check(store: object, task: object, space: object, seed: object, rename: object) -> None:
    """Refuse arguments of a wrong type, by name."""
    expected = {
        "store": (store, (ExperienceStore, str, Path), "an experience store, its URL or path"),
        "task": (task, (Profile,), "a `Profile`"),
        "space": (space, (Space, Mapping), "distributions by name, or a `Space`"),
        "seed": (seed, (int,), "a whole number"),
        "rename": (rename, (Mapping,), "names by name"),
    }
    for name, (value, types, words) in expected.items():
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise UsageError(f"expected `{name}` to be {words} or None, got {value!r}")
    if isinstance(seed, int) and seed < 0:
        raise UsageError(f"expected `seed` not to be negative, got {seed}")
    for name, distribution in space.items() if isinstance(space, Mapping) else ():
        if not isinstance(distribution, BaseDistribution):
            raise UsageError(f"expected `space` to hold Optuna's distributions, got {distribution!r} for {name!r}")
