"""Points of a tree to choose among: draws from marginals, and variations of good points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xautolm.prior.encoding import Point, Tree, Variable
from xautolm.records import ParamValue
from xautolm.space.params import Categorical, Float, Int

Array = npt.NDArray[np.float64]

#: A varied point changes each variable with this probability at least.
_LEAST_CHANGE = 0.15
#: Steps of numbers are normal with a deviation between these shares of the range, evenly in the logarithm.
_SMALL_STEP, _LARGE_STEP = 0.01, 0.3
#: Share of the changes of a numeric choice that go to a neighbour.
_TO_NEIGHBOUR = 0.7


class Marginal(Protocol):
    """A distribution of the values of one variable (`prior.decisions.Choice`, `Numeric`)."""

    def sample(self, rng: np.random.Generator) -> ParamValue:
        """One value."""
        ...


def draw(
    tree: Tree,
    rng: np.random.Generator,
    n: int,
    *,
    fixed: Point | None = None,
    marginals: Mapping[Variable, Marginal] | None = None,
) -> list[dict[str, ParamValue]]:
    """Independent draws, variable by variable.

    Args:
        tree: the space.
        rng: source of randomness.
        n: how many.
        fixed: values that are given.
        marginals: distributions of variables; other variables are uniform.
    """
    points: list[dict[str, ParamValue]] = [{} for _ in range(n)]
    for variable in tree.variables:
        chosen = [point for point in points if variable.applies(point)]
        for point, value in zip(chosen, _values(variable, rng, len(chosen), fixed, marginals), strict=True):
            point[variable.name] = value
    return points


def _values(
    variable: Variable,
    rng: np.random.Generator,
    n: int,
    fixed: Point | None,
    marginals: Mapping[Variable, Marginal] | None,
) -> Sequence[ParamValue]:
    if fixed and variable.name in fixed:
        return [fixed[variable.name]] * n
    if marginals and variable in marginals:
        return [_fitted(variable, marginals[variable].sample(rng)) for _ in range(n)]
    return uniform(variable, rng.random(n))


def uniform(variable: Variable, quantiles: Array) -> list[ParamValue]:
    """Values at quantiles in [0, 1) of the uniform distribution (of the logarithm in a log domain).

    >>> uniform(Variable("n", Int(1, 4)), np.array([0.0, 0.3, 0.99]))
    [1, 2, 4]
    """
    domain = variable.domain
    if isinstance(domain, Categorical):
        return [domain.choices[int(quantile * len(domain.choices))] for quantile in quantiles.tolist()]
    low, high = _ends(variable)
    positions = (low + quantiles * (high - low)).tolist()
    return [_value(variable, position) for position in positions]


def _ends(variable: Variable) -> tuple[float, float]:
    """Ends of the coordinate in which a number is uniform; on a grid each value owns half a step on either side."""
    domain = variable.domain
    if isinstance(domain, Categorical):
        raise TypeError(f"`{variable.name}` is no number")
    margin = (variable.step or (1.0 if isinstance(domain, Int) else 0.0)) / 2.0
    low, high = float(domain.low), float(domain.high)
    if not domain.log:
        return low - margin, high + margin
    return math.log(low - margin if low > margin else low), math.log(high + margin)


def _value(variable: Variable, position: float) -> ParamValue:
    """The value at a coordinate of `_ends`."""
    domain = variable.domain
    is_log = not isinstance(domain, Categorical) and domain.log
    return _fitted(variable, math.exp(position) if is_log else position)


def _fitted(variable: Variable, value: ParamValue) -> ParamValue:
    """The nearest value that the variable has."""
    domain = variable.domain
    if isinstance(domain, Categorical) or isinstance(value, str):
        return value
    low, high, number = float(domain.low), float(domain.high), float(value)
    if variable.step:
        number = low + round((number - low) / variable.step) * variable.step
    number = min(max(number, low), high)
    return round(number) if isinstance(domain, Int) else number


def varied(
    tree: Tree, point: Point, rng: np.random.Generator, n: int, *, fixed: Point | None = None
) -> list[dict[str, ParamValue]]:
    """Points near another one: some of its variables moved, numbers mostly by a little.

    Args:
        tree: the space.
        point: of the space, or of a similar one; what it lacks here is drawn.
        rng: source of randomness.
        n: how many; some may equal the point where the space is small.
        fixed: values that are given.
    """
    scales = np.exp(rng.uniform(math.log(_SMALL_STEP), math.log(_LARGE_STEP), n)).tolist()
    moves = rng.random((n, len(tree.variables))) < max(1.0 / max(len(point), 1), _LEAST_CHANGE)
    return [_varied(tree, point, rng, row, scale, fixed or {}) for row, scale in zip(moves, scales, strict=True)]


def _varied(
    tree: Tree, point: Point, rng: np.random.Generator, moves: npt.NDArray[np.bool_], scale: float, fixed: Point
) -> dict[str, ParamValue]:
    found: dict[str, ParamValue] = {}
    for variable, moves_it in zip(tree.variables, moves.tolist(), strict=True):
        name = variable.name
        if not variable.applies(found):
            continue
        if name in fixed:
            found[name] = fixed[name]
        elif name not in point or not variable.domain.contains(point[name]):
            found[name] = uniform(variable, rng.random(1))[0]
        else:
            found[name] = _moved(variable, point[name], rng, scale) if moves_it else point[name]
    return found


def _moved(variable: Variable, value: ParamValue, rng: np.random.Generator, scale: float) -> ParamValue:
    domain = variable.domain
    if isinstance(domain, Categorical):
        ordered = sorted(choice for choice in domain.choices if not isinstance(choice, bool | str))
        if len(ordered) == len(domain.choices) and rng.random() < _TO_NEIGHBOUR:
            index = [float(choice) for choice in ordered].index(float(value))
            return ordered[min(max(index + (1 if rng.random() < 0.5 else -1), 0), len(ordered) - 1)]
        return domain.choices[int(rng.integers(len(domain.choices)))]
    low, high = _ends(variable)
    position = math.log(float(value)) if domain.log else float(value)
    width = max(scale * (high - low), _grid_width(variable, position, value))
    return _value(variable, min(max(position + width * float(rng.normal()), low), high))


def _grid_width(variable: Variable, position: float, value: ParamValue) -> float:
    """Distance to the next value of a grid, so that small steps leave it sometimes."""
    domain = variable.domain
    step = variable.step or (0.0 if isinstance(domain, Float) else 1.0)
    if not step or isinstance(domain, Categorical):
        return 0.0
    return math.log(float(value) + step) - position if domain.log else step
