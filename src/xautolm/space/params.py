"""Hyperparameter domains and the conditional space built from them.

A space is a choice of a method, then of one of that method's models, then of that method's hyperparameters. A
hyperparameter belongs to its method: `full.learning_rate` and `lora.learning_rate` are different handles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xautolm.records import ModelSpec, ParamValue, Pipeline

#: Version of the space recorded with every experience; raise it when the meaning of a parameter changes.
SPACE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of a few values; numbers may be choices too (batch size, maximum length)."""

    choices: tuple[ParamValue, ...]

    def contains(self, value: ParamValue) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high]; `log` = uniform in the logarithm."""

    low: float
    high: float
    log: bool = False

    def contains(self, value: ParamValue) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= float(value) <= self.high


@dataclass(frozen=True, slots=True)
class Int:
    """An integer in [low, high]; `log` = uniform in the logarithm."""

    low: int
    high: int
    log: bool = False

    def contains(self, value: ParamValue) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


Domain = Categorical | Float | Int


@dataclass(frozen=True, slots=True)
class MethodSpace:
    """What one fine-tuning method lets vary.

    Attributes:
        method: name of the method.
        models: names of the models it can be used with on this machine.
        params: hyperparameter name -> domain.
        default: known-good values of all `params`, used for the first trial of a cold search.
    """

    method: str
    models: tuple[str, ...]
    params: Mapping[str, Domain]
    default: Mapping[str, ParamValue]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A model, method or choice that was removed from the space, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Space:
    """The conditional search space of one run.

    Attributes:
        models: name -> facts about the model.
        methods: method name -> its part of the space.
        dropped: what was removed before the search.
    """

    models: Mapping[str, ModelSpec]
    methods: Mapping[str, MethodSpace]
    dropped: tuple[Dropped, ...] = ()
    version: str = SPACE_VERSION

    def contains(self, pipeline: Pipeline) -> bool:
        """Whether the pipeline is a point of this space (all and only its method's hyperparameters)."""
        part = self.methods.get(pipeline.method)
        if part is None or pipeline.model not in part.models:
            return False
        return set(pipeline.params) == set(part.params) and all(
            part.params[name].contains(value) for name, value in pipeline.params.items()
        )


def domain_to_dict(domain: Domain) -> dict[str, Any]:
    """JSON form of a domain, in the names that Optuna users know.

    >>> domain_to_dict(Float(1e-5, 1e-3, log=True))
    {'kind': 'float', 'low': 1e-05, 'high': 0.001, 'log': True}
    """
    match domain:
        case Categorical(choices):
            return {"kind": "categorical", "choices": list(choices)}
        case Float(low, high, log):
            return {"kind": "float", "low": low, "high": high, "log": log}
        case Int(low, high, log):
            return {"kind": "int", "low": low, "high": high, "log": log}


def domain_from_dict(value: Mapping[str, Any]) -> Domain:
    """Inverse of `domain_to_dict`."""
    if value["kind"] == "categorical":
        return Categorical(tuple(value["choices"]))
    if value["kind"] == "float":
        return Float(float(value["low"]), float(value["high"]), bool(value["log"]))
    return Int(int(value["low"]), int(value["high"]), bool(value["log"]))
