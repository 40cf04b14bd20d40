"""Candidates belong to their tree, and are spread or near as asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.evaluate.fake import analytic_space
from xautolm.prior.decisions import Choice
from xautolm.prior.encoding import Point, Tree, Variable, tree_of_domains, tree_of_space
from xautolm.records import Pipeline
from xautolm.search.candidates import draw, uniform, varied
from xautolm.space.params import Categorical, Float, Int

SPACE = analytic_space()
TREE = tree_of_space(SPACE)
GRID = Tree((Variable("f", Float(0.0, 1.0), step=0.25), Variable("i", Int(0, 100), step=20)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pipeline(point: Point) -> Pipeline:
    return Pipeline.from_dict(point)


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_draws_and_variations_are_points_of_the_space(seed: int) -> None:
    drawn = draw(TREE, rng(seed), 5)
    near = varied(TREE, drawn[0], rng(seed), 10)

    assert all(SPACE.contains(pipeline(point)) for point in [*drawn, *near])


def test_draws_are_uniform_in_the_coordinate_of_the_domain() -> None:
    tree = tree_of_domains({"log": Float(1e-6, 1.0, log=True), "int": Int(1, 4), "steps": Int(1, 1000, log=True)})

    points = draw(tree, rng(), 4000)

    assert np.mean([point["log"] < 1e-3 for point in points]) == pytest.approx(0.5, abs=0.03)
    assert [np.mean([p["int"] == i for p in points]) for i in (1, 2, 3, 4)] == pytest.approx([0.25] * 4, abs=0.03)
    assert np.mean([point["steps"] <= 31 for point in points]) == pytest.approx(0.55, abs=0.05)


def test_grids_are_kept() -> None:
    points = draw(GRID, rng(), 200)
    near = [p for point in points[:20] for p in varied(GRID, point, rng(), 10)]

    assert {point["f"] for point in points} == {0.0, 0.25, 0.5, 0.75, 1.0} >= {point["f"] for point in near}
    assert {point["i"] for point in points} == {0, 20, 40, 60, 80, 100} >= {point["i"] for point in near}


def test_marginals_and_fixed_values_are_used() -> None:
    tree = tree_of_domains({"a": Categorical(("x", "y")), "b": Float(0, 1)})

    points = draw(tree, rng(), 100, fixed={"b": 0.5}, marginals={tree.variables[0]: Choice(("x", "y"), (0.99, 0.01))})

    assert {point["b"] for point in points} == {0.5}
    assert sum(point["a"] == "x" for point in points) > 90
    assert {point["b"] for point in varied(tree, points[0], rng(), 20, fixed={"b": 0.25})} == {0.25}


def test_variations_are_near_but_not_the_same() -> None:
    tree = tree_of_domains({"x": Float(0, 1), "y": Float(0, 1), "c": Categorical(("a", "b", "c"))})
    point = {"x": 0.5, "y": 0.5, "c": "a"}

    near = varied(tree, point, rng(), 300)

    assert np.mean([abs(float(p["x"]) - 0.5) for p in near]) < 0.1
    assert sum(p == point for p in near) < 150
    assert {p["c"] for p in near} == {"a", "b", "c"}


def test_a_new_branch_is_drawn_and_the_old_one_left() -> None:
    tree = Tree(
        (
            Variable("method", Categorical(("full", "head"))),
            Variable("rate", Float(1e-5, 1e-3, log=True), parent="method", parent_values=("full",)),
            Variable("c", Float(0, 1), parent="method", parent_values=("head",)),
        )
    )
    for point in varied(tree, {"method": "full", "rate": 1e-4}, rng(), 100):
        assert set(point) == ({"method", "rate"} if point["method"] == "full" else {"method", "c"})


def test_a_domain_of_one_value_is_no_trouble() -> None:
    variables = [Variable("f", Float(1.0, 1.0)), Variable("l", Float(2.0, 2.0, log=True)), Variable("i", Int(3, 3))]
    tree = Tree(tuple(variables))

    assert (
        draw(tree, rng(), 2)
        == varied(tree, {"f": 1.0, "l": 2.0, "i": 3}, rng(), 2)
        == [{"f": 1.0, "l": 2.0, "i": 3}] * 2
    )
    assert uniform(variables[2], np.asarray([0.0, 0.999])) == [3, 3]
