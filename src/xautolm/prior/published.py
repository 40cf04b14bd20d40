"""The probabilistic model exactly as published (`method.md` 1.9), its defects included, for comparisons.

Which defects are kept is said by their numbers in `method.md` section 8: 1 = weights and probabilities without bounds,
3 = numbers that collapse or fly apart, 7 = one distribution of models for several methods.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from xautolm.prior.decisions import Belief, published_update, uniform_belief
from xautolm.records import ParamValue
from xautolm.space.params import Categorical, Domain, Float, Int, Space, domain_from_dict, domain_to_dict

UNBOUNDED, COLLAPSING, SHARED_MODELS = 1, 3, 7
#: What a method weight becomes that is exactly 0 after an update (`method.md` 1.10).
_REVIVED = 0.001
_TINY = 1e-12


@dataclass(frozen=True)
class RawChoice:
    """A weight per choice, of any sign: alpha is added per occurrence, then all are divided by their sum.

    Drawn as Python's `random.choices` draws: by bisection in the cumulated weights, which negative weights leave
    unsorted, so that their choices get probability 0 and others too much or too little. (`random.choices` stops the
    search with an error when the sum is not positive; here all choices are then equally likely.)

    Attributes:
        is_normalised: False for the weights of methods, which start at 1 and are not divided.
    """

    choices: tuple[ParamValue, ...]
    weights: tuple[float, ...]
    is_normalised: bool = True

    def resolve(self, value: ParamValue) -> ParamValue | None:
        """The choice that a recorded value means, None when it is not offered."""
        for choice in self.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        return None

    def updated(self, values: Sequence[ParamValue], alpha: float) -> RawChoice:
        hits = [sum(value == choice for value in values) for choice in self.choices]
        raised = [weight + alpha * n for weight, n in zip(self.weights, hits, strict=True)]
        if not self.is_normalised:
            return replace(self, weights=tuple(weight or _REVIVED for weight in raised))
        total = math.fsum(raised)
        return replace(self, weights=tuple(weight / total for weight in raised)) if abs(total) > _TINY else self

    def sample(self, rng: np.random.Generator) -> ParamValue:
        return self.choices[self._drawn(float(rng.random()))]

    def _drawn(self, position: float) -> int:
        last = len(self.choices) - 1
        total = self._cumulated[-1]
        if total <= 0:
            return min(int(position * len(self.choices)), last)
        return bisect(self._cumulated, position * total, 0, last)

    @cached_property
    def _cumulated(self) -> tuple[float, ...]:
        return tuple(accumulate(self.weights))

    @cached_property
    def probabilities(self) -> tuple[float, ...]:
        """With which probability each choice is drawn.

        >>> [round(p, 2) for p in RawChoice(("a", "b", "c"), (1.0, -0.2, 1.0)).probabilities]
        [0.44, 0.0, 0.56]
        """
        n, total = len(self.choices), self._cumulated[-1]
        inside = {value / total for value in self._cumulated if 0 < value < total} if total > 0 else set()
        edges = sorted({0.0, 1.0, *inside, *(i / n for i in range(n) if total <= 0)})
        found = [0.0] * n
        for low, high in pairwise(edges):
            found[self._drawn((low + high) / 2)] += high - low
        return tuple(found)

    def log_probability(self, value: ParamValue) -> float:
        return math.log(max(self.probabilities[self.choices.index(value)], _TINY))

    def to_dict(self) -> dict[str, Any]:
        weights = {"choices": list(self.choices), "weights": list(self.weights)}
        return {"raw": "choice", **weights, "is_normalised": self.is_normalised}

    def describe(self) -> dict[str, Any]:
        shares = {str(choice): share for choice, share in zip(self.choices, self.probabilities, strict=True)}
        return {"kind": "categorical", "weights": shares}


@dataclass(frozen=True, slots=True)
class RawFlag:
    """A probability of True that updates may move out of [0, 1]."""

    p: float = 0.5

    def resolve(self, value: ParamValue) -> ParamValue | None:
        return value if isinstance(value, bool) else None

    def updated(self, values: Sequence[ParamValue], alpha: float) -> RawFlag:
        """Move by the published rule.

        >>> round(RawFlag().updated([True], 0.05).p, 6), round(RawFlag().updated([True], -0.02).p, 6)
        (0.525, 0.49)
        """
        share = sum(bool(value) for value in values) / len(values)
        return RawFlag((1 - alpha) * self.p + alpha * share)

    def sample(self, rng: np.random.Generator) -> ParamValue:
        return bool(rng.random() < self.p)

    def log_probability(self, value: ParamValue) -> float:
        p = min(max(self.p, _TINY), 1 - _TINY)
        return math.log(p if value else 1 - p)

    def to_dict(self) -> dict[str, Any]:
        return {"raw": "flag", "p": self.p}

    def describe(self) -> dict[str, Any]:
        return {"kind": "categorical", "weights": {"False": 1 - self.p, "True": self.p}}


@dataclass(frozen=True, slots=True)
class RawNumber:
    """A normal distribution, clamped to the domain when drawn; its deviation may become 0 or any size.

    Mean and deviation are in the domain's coordinate, as in `decisions.Numeric`.
    """

    domain: Float | Int
    mean: float
    dev: float

    @classmethod
    def uniform(cls, domain: Float | Int) -> RawNumber:
        low, high = _coordinate(domain, domain.low), _coordinate(domain, domain.high)
        return cls(domain, (low + high) / 2, high - low)

    def resolve(self, value: ParamValue) -> ParamValue | None:
        return value if self.domain.contains(value) else None

    def updated(self, values: Sequence[ParamValue], alpha: float) -> RawNumber:
        coordinates = [_coordinate(self.domain, float(value)) for value in values]
        mean, dev = published_update(self.mean, self.dev, coordinates, alpha)
        return replace(self, mean=mean, dev=dev)

    def sample(self, rng: np.random.Generator) -> ParamValue:
        drawn = float(rng.normal(self.mean, abs(self.dev)))
        value = 10 ** min(max(drawn, -300.0), 300.0) if self.domain.log else drawn
        if isinstance(self.domain, Int):
            return min(max(int(value), self.domain.low), self.domain.high)
        return min(max(value, self.domain.low), self.domain.high)

    def log_probability(self, value: ParamValue) -> float:
        """Log of the probability relative to a uniform draw: exact for integers, of the density for real numbers."""
        low, high = _coordinate(self.domain, self.domain.low), _coordinate(self.domain, self.domain.high)
        if high <= low:
            return 0.0
        if isinstance(self.domain, Int):
            n_values = self.domain.high - self.domain.low + 1
            return math.log(max(self._mass(int(value)) * n_values, _TINY))
        dev = max(abs(self.dev), _TINY)
        z = (_coordinate(self.domain, float(value)) - self.mean) / dev
        return max(-0.5 * z * z - math.log(dev * math.sqrt(2 * math.pi)) + math.log(high - low), math.log(_TINY))

    def _mass(self, value: int) -> float:
        """Probability of an integer; a draw is cut towards 0, and what is outside goes to the ends."""
        below = -math.inf if value <= self.domain.low else float(value if value > 0 else value - 1)
        above = math.inf if value >= self.domain.high else float(value + 1 if value >= 0 else value)
        return self._share_below(above) - self._share_below(below)

    def _share_below(self, value: float) -> float:
        if math.isinf(value):
            return float(value > 0)
        if self.domain.log:
            if value <= 0:
                return 0.0
            value = math.log10(value)
        return 0.5 * math.erfc((self.mean - value) / (max(abs(self.dev), _TINY) * math.sqrt(2)))

    def to_dict(self) -> dict[str, Any]:
        return {"raw": "number", "domain": domain_to_dict(self.domain), "mean": self.mean, "dev": self.dev}

    def describe(self) -> dict[str, Any]:
        low, high = float(self.domain.low), float(self.domain.high)
        places = [self.mean + shift * abs(self.dev) for shift in (-1.2816, 0.0, 1.2816)]
        values = [10 ** min(max(place, -300.0), 300.0) if self.domain.log else place for place in places]
        p10, p50, p90 = (min(max(value, low), high) for value in values)
        return {"kind": "int" if isinstance(self.domain, Int) else "float", "p10": p10, "p50": p50, "p90": p90}


RawBelief = RawChoice | RawFlag | RawNumber


def raw_from_dict(value: Mapping[str, Any]) -> RawBelief:
    """Inverse of `to_dict` of a published belief."""
    if value["raw"] == "choice":
        return RawChoice(tuple(value["choices"]), tuple(value["weights"]), value["is_normalised"])
    if value["raw"] == "flag":
        return RawFlag(value["p"])
    domain = domain_from_dict(value["domain"])
    if isinstance(domain, Categorical):
        raise ValueError("a categorical decision is stored with its weights, not as a domain")
    return RawNumber(domain, value["mean"], value["dev"])


def published_beliefs(
    space: Space, defects: Collection[int]
) -> tuple[Mapping[str, Belief | RawBelief], Mapping[str, str]]:
    """The cold beliefs with some of the published defects.

    Args:
        space: where pipelines come from.
        defects: their numbers; others than those named above make no difference here.

    Returns:
        Handle -> belief, and handle -> the handle that holds its belief where methods share one.
    """
    methods = Categorical(tuple(space.methods))
    beliefs: dict[str, Belief | RawBelief] = {"method": _cold("method", methods, defects)}
    shared: dict[str, str] = {}
    holders: dict[tuple[str, ...], str] = {}
    for method, part in space.methods.items():
        handle = f"{method}.model"
        holder = holders.setdefault(part.models, handle) if SHARED_MODELS in defects else handle
        if holder == handle:
            beliefs[handle] = _cold("model", Categorical(part.models), defects)
        else:
            shared[handle] = holder
        for name, domain in part.params.items():
            beliefs[f"{method}.{name}"] = _cold(name, domain, defects)
    return MappingProxyType(beliefs), MappingProxyType(shared)


def _cold(name: str, domain: Domain, defects: Collection[int]) -> Belief | RawBelief:
    if not isinstance(domain, Categorical):
        return RawNumber.uniform(domain) if COLLAPSING in defects else uniform_belief(domain)
    if UNBOUNDED not in defects:
        return uniform_belief(domain)
    if set(domain.choices) == {False, True} and all(isinstance(choice, bool) for choice in domain.choices):
        return RawFlag()
    if name == "method":
        return RawChoice(domain.choices, (1.0,) * len(domain.choices), is_normalised=False)
    return RawChoice(domain.choices, (1 / len(domain.choices),) * len(domain.choices))


def _coordinate(domain: Float | Int, value: float) -> float:
    return math.log10(value) if domain.log else float(value)
