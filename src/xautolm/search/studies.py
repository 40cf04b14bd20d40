"""Any Optuna study in the search's own words: its variables as a tree, its trials as points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xautolm.prior.encoding import Point, Tree, Variable
from xautolm.records import ParamValue
from xautolm.search.suggestion import Finished
from xautolm.space.params import Categorical, Domain, Float, Int, Space


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a study: its distribution in Optuna's words and in ours.

    Choices that are no plain values (None, tuples, NaN) are represented by a word of their own.
    """

    distribution: BaseDistribution
    domain: Domain
    step: float | None

    @classmethod
    def of(cls, distribution: BaseDistribution) -> Parameter:
        match distribution:
            case CategoricalDistribution():
                words = tuple(_word(i, choice) for i, choice in enumerate(distribution.choices))
                return cls(distribution, Categorical(words), None)
            case FloatDistribution():
                domain = Float(distribution.low, distribution.high, distribution.log)
                return cls(distribution, domain, distribution.step)
            case IntDistribution():
                step = float(distribution.step) if distribution.step > 1 else None
                return cls(distribution, Int(distribution.low, distribution.high, distribution.log), step)
        raise TypeError(f"expected one of Optuna's distributions, got {type(distribution).__name__}")

    def encoded(self, value: Any) -> ParamValue:
        """The study's value as ours."""
        if isinstance(self.distribution, CategoricalDistribution) and isinstance(self.domain, Categorical):
            return self.domain.choices[int(self.distribution.to_internal_repr(value))]
        return float(value) if isinstance(self.domain, Float) else int(value)

    def decoded(self, value: ParamValue) -> Any:
        """Our value as the study's."""
        if isinstance(self.distribution, CategoricalDistribution) and isinstance(self.domain, Categorical):
            places = [i for i, word in enumerate(self.domain.choices) if word is value or _same(word, value)]
            return self.distribution.choices[places[0]]
        return value


def _word(index: int, choice: Any) -> ParamValue:
    is_plain = isinstance(choice, bool | int | str) or (isinstance(choice, float) and math.isfinite(choice))
    return choice if is_plain else f"<choice {index}>"


def _same(a: ParamValue, b: ParamValue) -> bool:
    return type(a) is type(b) and a == b


@dataclass(frozen=True, slots=True)
class Naming:
    """What a study's parameters are called in our words, and in past trials.

    Attributes:
        space: of a study whose trials ask by `suggest_pipeline`: its parameters are `<method>.<name>`; None = another.
        rename: name of a parameter -> name of its value in past trials, where they differ.
    """

    space: Space | None
    rename: Mapping[str, str]

    def ours(self, name: str) -> str:
        """Our name of a parameter."""
        method, _, rest = name.partition(".")
        return rest if self.space is not None and rest and method in self.space.methods else name

    def past(self, name: str) -> str:
        """Its name in past trials."""
        return self.rename.get(name, self.rename.get(self.ours(name), self.ours(name)))

    def our_point(self, point: Point) -> dict[str, ParamValue]:
        """A study's point under our names."""
        return {self.ours(name): value for name, value in point.items()}

    def study_point(self, point: Point) -> dict[str, ParamValue]:
        """A point of ours under the study's names."""
        if self.space is None:
            return dict(point)
        method = point["method"]
        return {name if name == "method" else f"{method}.{name}": value for name, value in point.items()}


class Parameters:
    """The parameters that a study has, as far as they are known.

    Args:
        given: distributions that are known beforehand.
    """

    def __init__(self, given: Mapping[str, BaseDistribution] | None = None) -> None:
        self.known = {name: Parameter.of(distribution) for name, distribution in (given or {}).items()}

    def learn(self, trial: FrozenTrial) -> None:
        """Take over what a trial says; of a parameter whose range changes the widest is kept."""
        for name, distribution in trial.distributions.items():
            known = self.known.get(name)
            if known is None or known.distribution != distribution:
                self.known[name] = Parameter.of(distribution if known is None else _wider(known, distribution))

    def point(self, trial: FrozenTrial) -> dict[str, ParamValue]:
        """A trial's values in our words, in the order in which they were asked for."""
        return {name: self.known[name].encoded(value) for name, value in trial.params.items() if name in self.known}

    def decoded(self, point: Point) -> dict[str, Any]:
        """A point in the study's words."""
        return {name: self.known[name].decoded(value) for name, value in point.items()}


def _wider(known: Parameter, new: BaseDistribution) -> BaseDistribution:
    """The smallest distribution that holds both; the new one where they cannot be joined."""
    old = known.distribution
    if isinstance(old, FloatDistribution) and isinstance(new, FloatDistribution) and old.log == new.log:
        step = new.step if old.step == new.step else None
        return FloatDistribution(min(old.low, new.low), max(old.high, new.high), log=new.log, step=step)
    if isinstance(old, IntDistribution) and isinstance(new, IntDistribution) and old.log == new.log:
        step_n = new.step if old.step == new.step and (old.low - new.low) % new.step == 0 else 1
        return IntDistribution(min(old.low, new.low), max(old.high, new.high), log=new.log, step=step_n)
    return new


def tree_of_trials(parameters: Mapping[str, Parameter], whole: Sequence[Point], partial: Iterable[Point] = ()) -> Tree:
    """The tree of a study's parameters: which one is asked for under which choice of another.

    A parameter that some whole trial lacks belongs to the last categorical parameter before it whose choices tell
    exactly whether it is there. Where none does, it counts as always there: a value that is not asked for is unused.

    Args:
        parameters: by name; single-valued ones are left out.
        whole: points of trials that asked for all they need, in the order of asking.
        partial: points of trials that may have ended before they asked for everything.
    """
    points = [*whole, *partial]
    order = list(dict.fromkeys(name for point in points for name in point)) + list(parameters)
    names = [name for name in dict.fromkeys(order) if not parameters[name].distribution.single()]
    variables = []
    for i, name in enumerate(names):
        parameter = parameters[name]
        parent, values = _parent(name, names[:i], parameters, whole, points)
        variables.append(Variable(name, parameter.domain, parameter.step, parent, values))
    return Tree(tuple(variables))


def _parent(
    name: str,
    earlier: Sequence[str],
    parameters: Mapping[str, Parameter],
    whole: Sequence[Point],
    points: Sequence[Point],
) -> tuple[str | None, tuple[ParamValue, ...] | None]:
    if all(name in point for point in whole):
        return None, None
    for candidate in reversed(earlier):
        if not isinstance(parameters[candidate].domain, Categorical):
            continue
        with_it = {_key(point.get(candidate)) for point in points if name in point}
        without = {_key(point.get(candidate)) for point in whole if name not in point}
        if _key(None) not in with_it and with_it and not with_it & without:
            domain = parameters[candidate].domain
            choices = domain.choices if isinstance(domain, Categorical) else ()
            return candidate, tuple(choice for choice in choices if _key(choice) in with_it)
    return None, None


def _key(value: ParamValue | None) -> tuple[type, ParamValue | None]:
    return type(value), value


def finished(
    trial: FrozenTrial, point: Point, directions: Sequence[StudyDirection], constraints: Sequence[str]
) -> Finished:
    """What a search learns from a finished trial.

    A trial that failed, or has a value that is not finite, is a failure. A pruned one succeeded; with one objective its
    last report is its value.

    Args:
        trial: of any finished state.
        point: its values in our words.
        directions: of the study.
        constraints: names of all constraints of the study.
    """
    values = trial.values if trial.state == TrialState.COMPLETE else None
    if trial.state == TrialState.PRUNED and len(directions) == 1 and trial.intermediate_values:
        values = [trial.intermediate_values[max(trial.intermediate_values)]]
    is_usable = values is not None and all(math.isfinite(value) for value in values)
    failed = trial.state == TrialState.FAIL or (trial.state == TrialState.COMPLETE and not is_usable)
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions]
    slacks = tuple(_finite(trial.constraints.get(name, math.nan)) for name in constraints)
    return Finished(
        number=trial.number,
        point=point,
        succeeded=not failed,
        values=tuple(s * v for s, v in zip(signs, values or (), strict=True)) if is_usable else None,
        slacks=slacks,
    )


def _finite(slack: float) -> float:
    return min(max(slack, -1e100), 1e100)
