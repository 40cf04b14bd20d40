"""The belief about one decision: a weight per choice, or a truncated normal with repelled regions.

The update rules are the published ones without their collapse: weights and deviations have a floor, and
failures push a numeric decision away by its density instead of reflecting its mean. Beliefs are immutable; an
update returns a new one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from xautolm.records import ParamValue
from xautolm.space.params import Categorical, Domain, Float, Int, domain_from_dict, domain_to_dict

#: Smallest weight of one of n choices is 1 / (FLOOR_DIVISOR n), so that no choice dies out.
FLOOR_DIVISOR = 10
#: Smallest deviation as a share of the range, so that a numeric decision never collapses onto a point.
MIN_DEV_SHARE = 0.05
#: Cells of the grid on which failures lower the density of a numeric decision.
N_CELLS = 32
#: Standard deviation of the repulsion kernel as a share of the range.
REPULSION_WIDTH = 0.1
#: Repelled cells keep at least this share of their density.
MIN_REPULSION = 1 / FLOOR_DIVISOR
#: Real values keep this many significant digits: more would only make records hard to read.
SIGNIFICANT_DIGITS = 4

#: How often a variation of an ordered choice is any choice; logarithms of the shortest and longest steps of numbers.
ANEW_SHARE, NEAR_STEPS = 0.3, (-2.0, -0.5)

_CENTRES = (np.arange(N_CELLS) + 0.5) / N_CELLS


def published_update(mean: float, dev: float, values: Sequence[float], alpha: float) -> tuple[float, float]:
    """The published update of a numeric decision (AutoGOAL; sample deviation, 0 for a single value).

    >>> [round(x, 6) for x in published_update(5.5, 9.0, [3], 0.05)]
    [5.375, 8.55]
    >>> [round(x, 6) for x in published_update(5.5, 9.0, [3], -0.02)]
    [5.55, 9.18]
    """
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return (1 - alpha) * mean + alpha * statistics.fmean(values), (1 - alpha) * dev + alpha * spread


@dataclass(frozen=True, slots=True)
class Choice:
    """A weight for each of a few choices; weights are positive and sum to 1.

    Attributes:
        choices: the values, in the order of the space.
        weights: one per choice.
    """

    choices: tuple[ParamValue, ...]
    weights: tuple[float, ...]

    @classmethod
    def uniform(cls, choices: Sequence[ParamValue]) -> Choice:
        return cls(tuple(choices), (1 / len(choices),) * len(choices))

    def preferring(self, value: ParamValue, share: float) -> Choice:
        """These weights with a share of the whole moved to one choice; unchanged when it is not offered.

        >>> Choice.uniform(("mean", "first")).preferring("mean", 0.5).weights
        (0.75, 0.25)
        """
        if value not in self.choices:
            return self
        kept = [(1 - share) * weight for weight in self.weights]
        kept[self.choices.index(value)] += share
        return Choice(self.choices, tuple(kept))

    def resolve(self, value: ParamValue) -> ParamValue | None:
        """The choice that a recorded value means (0 and 0.0 are the same), None when it is not offered."""
        for choice in self.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        return None

    def updated(self, values: Sequence[ParamValue], alpha: float) -> Choice:
        """Add alpha per occurrence of a choice, normalise, lift to the floor."""
        hits = [sum(value == choice for value in values) for choice in self.choices]
        floor = 1 / (FLOOR_DIVISOR * len(self.choices))
        raised = [max(weight + alpha * n, 0.0) for weight, n in zip(self.weights, hits, strict=True)]
        total = sum(raised)
        if total <= 0:
            return Choice.uniform(self.choices)
        floored = [max(weight / total, floor) for weight in raised]
        total = sum(floored)
        return Choice(self.choices, tuple(weight / total for weight in floored))

    def sample(self, rng: np.random.Generator) -> ParamValue:
        return self.choices[_draw(rng, list(accumulate(self.weights)))]

    def near(self, value: ParamValue, rng: np.random.Generator) -> ParamValue:
        """A neighbouring number, up or down, or any choice where there is no order."""
        ordered = sorted(choice for choice in self.choices if not isinstance(choice, bool | str))
        is_anew = rng.random() < ANEW_SHARE
        if is_anew or len(ordered) < len(self.choices) or isinstance(value, str) or value not in ordered:
            return self.sample(rng)
        place = ordered.index(value) + (1 if rng.random() < 0.5 else -1)
        return ordered[min(max(place, 0), len(ordered) - 1)]

    def log_probability(self, value: ParamValue) -> float:
        return math.log(self.weights[self.choices.index(value)])

    def to_dict(self) -> dict[str, Any]:
        return {"choices": list(self.choices), "weights": list(self.weights)}

    def describe(self) -> dict[str, Any]:
        weights = {str(choice): weight for choice, weight in zip(self.choices, self.weights, strict=True)}
        return {"kind": "categorical", "weights": weights}


@dataclass(frozen=True)
class Numeric:
    """A normal distribution truncated to the domain, thinned where failures were seen.

    `mean` and `dev` are in the domain's coordinate: the value, or its log10 for a log domain. It starts as
    published: mean in the middle of the range, deviation as wide as the range.

    Attributes:
        thinning: (N_CELLS,) factors in [MIN_REPULSION, 1] on the density, over equal cells of the range.
    """

    domain: Float | Int
    mean: float
    dev: float
    thinning: tuple[float, ...] = (1.0,) * N_CELLS

    @classmethod
    def uniform(cls, domain: Float | Int) -> Numeric:
        low, high = _coordinate(domain, domain.low), _coordinate(domain, domain.high)
        return cls(domain, (low + high) / 2, high - low or 1.0)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Ends of the sampled coordinate; an integer owns the half unit on either side of it."""
        margin = 0.5 if isinstance(self.domain, Int) else 0.0
        low = _coordinate(self.domain, self.domain.low - margin)
        return low, _coordinate(self.domain, self.domain.high + margin)

    @cached_property
    def _masses(self) -> tuple[float, ...]:
        """Probability of each cell, (N_CELLS,)."""
        low, high = self.limits
        normal = statistics.NormalDist(self.mean, self.dev)
        edges = [normal.cdf(low + (high - low) * i / N_CELLS) for i in range(N_CELLS + 1)]
        masses = [thin * (b - a) for thin, a, b in zip(self.thinning, edges, edges[1:], strict=False)]
        total = sum(masses)
        return tuple(mass / total if total else 1 / N_CELLS for mass in masses)

    def resolve(self, value: ParamValue) -> ParamValue | None:
        """The value in the domain's type, None when it is not in the domain."""
        if isinstance(value, bool | str) or not math.isfinite(value):
            return None
        if isinstance(self.domain, Int) and float(value).is_integer():
            value = int(value)
        return value if self.domain.contains(value) else None

    def updated(self, values: Sequence[ParamValue], alpha: float) -> Numeric:
        coordinates = [_coordinate(self.domain, float(value)) for value in values]
        if alpha < 0:
            return replace(self, thinning=self._thinned(coordinates, alpha))
        mean, dev = published_update(self.mean, self.dev, coordinates, alpha)
        low, high = self.limits
        return replace(self, mean=min(max(mean, low), high), dev=max(dev, MIN_DEV_SHARE * (high - low) or 1.0))

    def _thinned(self, coordinates: Sequence[float], alpha: float) -> tuple[float, ...]:
        """Lower the density around the coordinates by what the update takes from one of n equal choices.

        A kernel of width w covers about the share w sqrt(2 pi) of the range, so it stands for one of
        n = 1 / that choices, whose relative loss n alpha is applied as the factor exp(n alpha) at its peak.
        """
        low, high = self.limits
        n_choices = 1 / (REPULSION_WIDTH * math.sqrt(2 * math.pi))
        positions = (np.asarray(coordinates) - low) / (high - low) if high > low else np.zeros(len(coordinates))
        kernel = np.exp(-0.5 * ((_CENTRES[:, None] - positions[None, :]) / REPULSION_WIDTH) ** 2).sum(axis=1)
        thinning = np.asarray(self.thinning) * np.exp(np.maximum(n_choices * alpha * kernel, -50.0))
        return tuple(np.maximum(thinning / thinning.max(), MIN_REPULSION).tolist())

    def sample(self, rng: np.random.Generator) -> ParamValue:
        if self.domain.low == self.domain.high:
            return self.domain.low
        low, high = self.limits
        cell = _draw(rng, list(accumulate(self._masses)))
        start, end = low + (high - low) * cell / N_CELLS, low + (high - low) * (cell + 1) / N_CELLS
        normal = statistics.NormalDist(self.mean, self.dev)
        a, b = normal.cdf(start), normal.cdf(end)
        quantile = a + (b - a) * float(rng.random())
        inside = normal.inv_cdf(quantile) if 0 < quantile < 1 else (start + end) / 2
        return self._value(min(max(inside, start), end))

    def _value(self, coordinate: float) -> ParamValue:
        value = 10**coordinate if self.domain.log else coordinate
        if isinstance(self.domain, Int):
            return min(max(round(value), self.domain.low), self.domain.high)
        return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), self.domain.low), self.domain.high)

    def near(self, value: ParamValue, rng: np.random.Generator) -> ParamValue:
        """A value a normal step away, of a random size from 1 to 30 % of the range."""
        if self.resolve(value) is None or self.domain.low == self.domain.high:
            return self.sample(rng)
        low, high = self.limits
        step = 10 ** float(rng.uniform(*NEAR_STEPS)) * (high - low)
        moved = _coordinate(self.domain, float(value)) + step * float(rng.standard_normal())
        return self._value(min(max(moved, low), high))

    def log_probability(self, value: ParamValue) -> float:
        """Log of the density relative to a uniform draw over the range (0 = no preference)."""
        low, high = self.limits
        if high <= low:
            return 0.0
        position = (_coordinate(self.domain, float(value)) - low) / (high - low)
        mass = self._masses[min(int(position * N_CELLS), N_CELLS - 1)]
        return math.log(max(mass * N_CELLS, np.finfo(float).tiny))

    def to_dict(self) -> dict[str, Any]:
        thinning = list(self.thinning) if min(self.thinning) < 1 else None
        state = {"domain": domain_to_dict(self.domain), "mean": self.mean, "dev": self.dev}
        return state if thinning is None else {**state, "thinning": thinning}

    def describe(self) -> dict[str, Any]:
        """Centre and central 80 % in the parameter's own unit."""
        low, high = self.limits
        cumulated = np.cumsum(self._masses)
        quantiles = [
            self._value(low + (high - low) * float(np.searchsorted(cumulated, share) + 0.5) / N_CELLS)
            for share in (0.1, 0.5, 0.9)
        ]
        kind = "int" if isinstance(self.domain, Int) else "float"
        return {"kind": kind, "p10": quantiles[0], "p50": quantiles[1], "p90": quantiles[2]}


Belief = Choice | Numeric


def uniform_belief(domain: Domain) -> Belief:
    """The belief before any experience."""
    return Choice.uniform(domain.choices) if isinstance(domain, Categorical) else Numeric.uniform(domain)


def belief_from_dict(value: Mapping[str, Any]) -> Belief:
    """Inverse of `to_dict` of a belief."""
    if "choices" in value:
        return Choice(tuple(value["choices"]), tuple(value["weights"]))
    domain = domain_from_dict(value["domain"])
    if isinstance(domain, Categorical):
        raise ValueError("a categorical decision is stored with its weights, not as a domain")
    return Numeric(domain, value["mean"], value["dev"], tuple(value.get("thinning") or (1.0,) * N_CELLS))


def _coordinate(domain: Float | Int, value: float) -> float:
    return math.log10(value) if domain.log else float(value)


def _draw(rng: np.random.Generator, cumulated: Sequence[float]) -> int:
    """Index of a cell, drawn by cumulated weights."""
    return min(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")), len(cumulated) - 1)
