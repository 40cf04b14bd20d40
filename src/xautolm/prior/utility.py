"""How useful past successes were, in [0, 1]: the three published utilities (`method.md` 1.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from xautolm.pareto import minimised, non_dominated_sort
from xautolm.records import Experience, Objective

Array = npt.NDArray[np.float64]
Utility = Literal["weighted_sum", "linear_front", "logarithmic_front"]


def weighted_sum(costs: Array, weights: Array) -> Array:
    """Each objective scaled to [0, 1] over the rows, then averaged; an objective that does not vary counts 0.5.

    Args:
        costs: (n, k) finite, to be minimised.
        weights: (k,) relative to their sum.

    >>> weighted_sum(np.array([[1.0, 9.0], [3.0, 9.0]]), np.array([1.0, 1.0])).tolist()
    [0.75, 0.25]
    """
    worst, best = costs.max(axis=0), costs.min(axis=0)
    span = np.where(worst > best, worst - best, 1.0)
    shares = np.where(worst > best, (worst - costs) / span, 0.5)
    return np.asarray(np.clip(shares @ (weights / math.fsum(weights)), 0.0, 1.0))


def linear_front(costs: Array, weights: Array) -> Array:
    """(F - i) / F for the i-th of F fronts, from 0; the weights do not matter.

    >>> linear_front(np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]]), np.ones(2)).tolist()
    [1.0, 1.0, 0.5]
    """
    index, n_fronts = _fronts(costs)
    return (n_fronts - index) / n_fronts


def logarithmic_front(costs: Array, weights: Array) -> Array:
    """ln(F - i + 1) / ln(F + 1) for the i-th of F fronts, from 0; the weights do not matter.

    >>> logarithmic_front(np.array([[1.0], [2.0], [3.0]]), np.ones(1)).round(3).tolist()
    [1.0, 0.792, 0.5]
    """
    index, n_fronts = _fronts(costs)
    return np.asarray(np.log(n_fronts - index + 1) / math.log(n_fronts + 1))


def _fronts(costs: Array) -> tuple[Array, int]:
    fronts = non_dominated_sort(costs)
    index = np.zeros(len(costs))
    for i, members in enumerate(fronts):
        index[members] = i
    return index, len(fronts)


UTILITIES: Mapping[Utility, Callable[[Array, Array], Array]] = MappingProxyType(
    {"weighted_sum": weighted_sum, "linear_front": linear_front, "logarithmic_front": logarithmic_front}
)


def utilities(
    experiences: Sequence[Experience],
    objectives: Sequence[Objective],
    weights: Sequence[float],
    utility: Utility = "weighted_sum",
    *,
    is_pooled: bool = False,
) -> dict[int, float]:
    """Utility of successes, inside their own run, so that tasks are comparable.

    Args:
        experiences: successes with finite values of all objectives.
        objectives: what the utility is made of.
        weights: one per objective, relative to their sum.
        utility: which formula.
        is_pooled: whether all runs are one group, as published for the two with fronts (`method.md` section 8, item 8).

    Returns:
        id() of the experience -> utility.
    """
    groups: dict[Hashable, list[Experience]] = {}
    for experience in experiences:
        groups.setdefault(None if is_pooled else experience.run_id, []).append(experience)
    found: dict[int, float] = {}
    for members in groups.values():
        values = UTILITIES[utility](minimised([e.result for e in members], objectives), np.asarray(weights))
        found |= {id(e): float(value) for e, value in zip(members, values, strict=True)}
    return found
