"""Search spaces as numbers: what statistical models of trials are fed with.

A `Tree` lists the variables of a space and when each applies; an `Encoder` turns points of the tree into rows. It
serves our conditional `Space` (`tree_of_space`) and any plain dictionary of domains alike. Points are flat mappings
from a variable's name to its value, for our space those of `Pipeline.to_dict()`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from xautolm.records import ModelSpec, ParamValue
from xautolm.space.params import Categorical, Domain, Space

Array = npt.NDArray[np.float64]
Point = Mapping[str, ParamValue]

#: Numeric choices of which fewer are on offer are encoded as choices only: two points have no shape.
MIN_ORDINAL = 3


@dataclass(frozen=True, slots=True)
class Variable:
    """One decision of a space.

    Attributes:
        name: key of its value in a point. Variables of different branches may share one (`learning_rate` of two
            methods); at most one of them applies to a point.
        domain: its values.
        step: distance of the values of a gridded float or integer; None = every value of the domain.
        parent: name of the variable that it depends on; None = it always applies.
        parent_values: values of the parent under which it applies; None = whenever the parent does.
    """

    name: str
    domain: Domain
    step: float | None = None
    parent: str | None = None
    parent_values: tuple[ParamValue, ...] | None = None

    def applies(self, point: Point) -> bool:
        """Whether the variable belongs to a point, by its parent's value there."""
        if self.parent is None:
            return True
        return self.parent in point and (self.parent_values is None or point[self.parent] in self.parent_values)


@dataclass(frozen=True)
class Tree:
    """The variables of a space, parents before children.

    Attributes:
        variables: in the order in which they are decided.
        facts: variable -> choice -> named numbers about the choice (parameters of a model), all positive.
    """

    variables: tuple[Variable, ...]
    facts: Mapping[str, Mapping[ParamValue, Mapping[str, float]]] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(variable.name for variable in self.variables))

    def completed(self, point: Point) -> dict[str, ParamValue]:
        """The part of a point that applies, in the order of the tree."""
        kept: dict[str, ParamValue] = {}
        for variable in self.variables:
            if variable.name in point and variable.applies(kept):
                kept[variable.name] = point[variable.name]
        return kept


def tree_of_domains(domains: Mapping[str, Domain]) -> Tree:
    """A space in which every variable always applies."""
    return Tree(tuple(Variable(name, domain) for name, domain in domains.items()))


def tree_of_space(space: Space) -> Tree:
    """Our conditional space: the method, then its model and its hyperparameters, with the facts of the models."""
    variables = [Variable("method", Categorical(tuple(space.methods)))]
    for method, part in space.methods.items():
        branch = Variable("model", Categorical(part.models), parent="method", parent_values=(method,))
        variables.append(branch)
        variables += [replace(branch, name=name, domain=domain) for name, domain in part.params.items()]
    facts: dict[ParamValue, Mapping[str, float]] = {name: _model_facts(model) for name, model in space.models.items()}
    return Tree(tuple(variables), {"model": facts} if facts else None)


def _model_facts(model: ModelSpec) -> dict[str, float]:
    """What decides how large, slow and able a model is."""
    return {"parameters": model.n_params, "layers": model.n_layers, "hidden": model.hidden}


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a row.

    Attributes:
        name: of its variable.
        kind: `number` (a value scaled to [0, 1]), `choice` (1 when it was chosen), `active` (1 when the variable
            applies) or `fact`.
        group: columns of one group are one quantity to a model: all choices of a variable together, its number alone.
    """

    name: str
    kind: str
    group: int


class Encoder:
    """Turns points into rows of finite numbers.

    A number is scaled to [0, 1] over the union of the ranges that variables of its name have, in its logarithm when
    one of them is logarithmic. Numeric choices (batch size) are a number, in its logarithm when all are positive, and
    choices as well. Other choices are columns of zeros and ones. What does not apply, or is no value of the domain, is
    the middle of the range or no choice at all; a column says whether a variable applies where that can differ.

    Args:
        tree: the space.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._parts = [_merged(name, tree) for name in tree.names]
        self._facts = _scaled_facts(tree)
        self.columns = tuple(self._columns())

    def _columns(self) -> list[Column]:
        found: list[Column] = []
        group = -1
        for part in self._parts:
            group += 1
            if part.scale is not None:
                found.append(Column(part.name, "number", group))
                group += bool(part.choices)
            found += [Column(part.name, "choice", group)] * len(part.choices)
            for _ in self._facts.get(part.name, ((), {}))[0]:
                group += 1
                found.append(Column(part.name, "fact", group))
            if part.is_conditional:
                group += 1
                found.append(Column(part.name, "active", group))
        return found

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """Group of each column, (n_columns,)."""
        return np.asarray([column.group for column in self.columns], dtype=np.int64)

    def encode(self, points: Sequence[Point]) -> Array:
        """Rows of points, (n_points, n_columns), finite.

        >>> from xautolm.space.params import Float
        >>> domains = {"batch": Categorical((4, 8, 16)), "rate": Float(1e-6, 1e-2, log=True)}
        >>> Encoder(tree_of_domains(domains)).encode([{"batch": 8, "rate": 1e-4}]).round(3).tolist()
        [[0.5, 0.0, 1.0, 0.0, 0.5]]
        """
        blocks = [block for part in self._parts for block in self._blocks(part, points)]
        return np.column_stack(blocks) if blocks else np.zeros((len(points), 0))

    def _blocks(self, part: _Part, points: Sequence[Point]) -> list[Array]:
        values = [point.get(part.name) for point in points]
        blocks: list[Array] = []
        if part.scale is not None:
            blocks.append(np.asarray([part.scale.position(value) for value in values])[:, None])
        if part.choices:
            codes = np.asarray([part.code(value) for value in values], dtype=np.int64)
            blocks.append((codes[:, None] == np.arange(len(part.choices))).astype(float))
        if part.name in self._facts:
            names, table = self._facts[part.name]
            facts = [table.get(value, (0.5,) * len(names)) for value in values]
            blocks.append(np.asarray(facts, dtype=float).reshape(len(points), len(names)))
        if part.is_conditional:
            blocks.append(np.asarray([value is not None for value in values], dtype=float)[:, None])
        return blocks


@dataclass(frozen=True, slots=True)
class _Scale:
    """A number's way to [0, 1]; `low` and `span` are in the logarithm when `log`."""

    low: float
    span: float
    log: bool

    def position(self, value: ParamValue | None) -> float:
        """Where a value lies; the middle for what is no number here, never far outside the range."""
        if value is None or isinstance(value, str) or not math.isfinite(value) or (self.log and value <= 0):
            return 0.5
        number = math.log(value) if self.log else float(value)
        return min(max((number - self.low) / self.span, -0.5), 1.5)


@dataclass(frozen=True)
class _Part:
    """What all variables of one name are encoded as."""

    name: str
    scale: _Scale | None
    choices: tuple[ParamValue, ...]
    is_conditional: bool

    @cached_property
    def _codes(self) -> dict[tuple[bool, ParamValue], int]:
        return {(isinstance(choice, bool), choice): i for i, choice in enumerate(self.choices)}

    def code(self, value: ParamValue | None) -> int:
        """Index of a choice, -1 for none of them; True and 1 are different, 1 and 1.0 are not."""
        return -1 if value is None else self._codes.get((isinstance(value, bool), value), -1)


def _merged(name: str, tree: Tree) -> _Part:
    variables = [variable for variable in tree.variables if variable.name == name]
    domains = [variable.domain for variable in variables]
    offered = [domain.choices for domain in domains if isinstance(domain, Categorical)]
    choices = tuple({(isinstance(c, bool), c): c for part in offered for c in part}.values())
    numbers = [float(c) for c in choices if not isinstance(c, bool | str)]
    ranges = [domain for domain in domains if not isinstance(domain, Categorical)]
    is_numeric = len(numbers) == len(choices) and (bool(ranges) or len(numbers) >= MIN_ORDINAL)
    ends = [*numbers, *(float(end) for domain in ranges for end in (domain.low, domain.high))]
    wants_log = any(domain.log for domain in ranges) or not ranges
    scale = _scale(ends, wants_log) if is_numeric else None
    return _Part(name, scale, choices, not _always_applies(variables, tree))


def _always_applies(variables: Sequence[Variable], tree: Tree) -> bool:
    """Whether every point has a value for a name: it has no parent, or a branch for each choice of its parent."""
    first = variables[0]
    if first.parent is None:
        return True
    above = [variable for variable in tree.variables if variable.name == first.parent]
    covered = {
        value for variable in variables if variable.parent == first.parent for value in variable.parent_values or ()
    }
    domains = [variable.domain for variable in above]
    is_covered = all(isinstance(domain, Categorical) and covered.issuperset(domain.choices) for domain in domains)
    return is_covered and _always_applies(above, tree)


def _scale(ends: Sequence[float], wants_log: bool) -> _Scale:
    log = wants_log and min(ends) > 0
    low, high = (math.log(min(ends)), math.log(max(ends))) if log else (min(ends), max(ends))
    return _Scale(low, high - low or 1.0, log)


def _scaled_facts(tree: Tree) -> dict[str, tuple[tuple[str, ...], dict[ParamValue | None, tuple[float, ...]]]]:
    """Variable -> (names of its facts, choice -> their logarithms scaled to [0, 1])."""
    scaled = {}
    for variable, by_choice in (tree.facts or {}).items():
        names = tuple(dict.fromkeys(name for facts in by_choice.values() for name in facts))
        scales = [_scale([facts[name] for facts in by_choice.values()], True) for name in names]
        table: dict[ParamValue | None, tuple[float, ...]] = {
            choice: tuple(scale.position(facts[name]) for name, scale in zip(names, scales, strict=True))
            for choice, facts in by_choice.items()
        }
        scaled[variable] = (names, table)
    return scaled
