"""Proposals of any space: pure, new, careful with failures, apart from running trials, for any number of objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from xautolm.pareto import hypervolume
from xautolm.prior.decisions import Choice
from xautolm.prior.encoding import Point, Tree, tree_of_domains
from xautolm.search.candidates import draw
from xautolm.search.suggestion import Finished, Options, Suggester
from xautolm.space.params import Categorical, Float, Int

TREE = tree_of_domains(
    {"x": Float(0, 1), "rate": Float(1e-5, 1e-1, log=True), "batch": Categorical((4, 8, 16, 32, 64))}
)
Evaluate = Callable[[Point], tuple[float, ...] | None]


def bowl(point: Point) -> tuple[float, ...]:
    return ((float(point["x"]) - 0.3) ** 2 + 0.1 * (math.log10(float(point["rate"])) + 3) ** 2,)


def bounded(point: Point) -> tuple[float, ...] | None:
    """Better with a larger batch and x, until memory is out."""
    x, batch = float(point["x"]), float(point["batch"])
    return None if (0.2 + x) * batch > 24 else (-math.log2(batch) - 2 * x,)


def trade(point: Point) -> tuple[float, ...]:
    x = float(point["x"])
    off = 0.2 * (math.log10(float(point["rate"])) + 3) ** 2
    return (x**2 + off, (x - 1) ** 2 + off)


def search(suggester: Suggester, evaluate: Evaluate, n: int) -> list[Finished]:
    finished: list[Finished] = []
    for i in range(n):
        point = suggester.suggest(i, finished)
        values = evaluate(point)
        finished.append(Finished(i, point, values is not None, values))
    return finished


def best(finished: Sequence[Finished]) -> float:
    return min(trial.values[0] for trial in finished if trial.values is not None)


def test_it_finds_the_bottom_of_a_bowl_faster_than_draws() -> None:
    found = [best(search(Suggester(TREE, seed, 1), bowl, 30)) for seed in range(3)]
    drawn = [min(bowl(p)[0] for p in draw(TREE, np.random.default_rng(seed), 30)) for seed in range(3)]

    assert max(found) < 0.01
    assert np.mean(found) < 0.3 * np.mean(drawn)


def test_it_learns_what_fails_and_comes_near_the_boundary() -> None:
    for seed in range(2):
        finished = search(Suggester(TREE, seed, 1), bounded, 50)

        assert sum(not trial.succeeded for trial in finished[20:]) <= 6  # a third of uniform draws fail
        assert best(finished) <= -5.9  # the best that works is -6.35


def test_two_objectives_are_spread_over_the_front() -> None:
    found = [[t.values or () for t in search(Suggester(TREE, seed, 2), trade, 35)] for seed in range(2)]
    drawn = [[trade(point) for point in draw(TREE, np.random.default_rng(seed), 35)] for seed in range(2)]
    ours, uniform = (np.mean([hypervolume(points, (1.0, 1.0)) for points in runs]) for runs in (found, drawn))

    assert uniform + 0.04 < ours < 5 / 6  # the volume of the whole front


def test_three_objectives_work() -> None:
    finished = search(Suggester(TREE, 0, 3), lambda point: (*trade(point), bowl(point)[0]), 14)

    assert len(finished) == 14


def test_a_proposal_is_a_pure_function_whatever_was_asked_before() -> None:
    suggester = Suggester(TREE, 7, 1)
    finished = search(suggester, bounded, 24)

    again = [Suggester(TREE, 7, 1).suggest(i, finished[:i]) for i in (0, 3, 12, 20, 23)]
    backwards = [suggester.suggest(i, finished[:i]) for i in (23, 20, 12, 3, 0)]

    assert again == [finished[i].point for i in (0, 3, 12, 20, 23)]
    assert backwards == again[::-1]
    assert Suggester(TREE, 8, 1).suggest(23, finished[:23]) != again[-1]


def test_nothing_is_tried_twice_until_the_space_is_used_up() -> None:
    tree = tree_of_domains({"a": Int(1, 3), "b": Categorical(("x", "y"))})

    points = [tuple(trial.point.items()) for trial in search(Suggester(tree, 0, 1), lambda p: (float(p["a"]),), 9)]

    assert len(set(points[:6])) == 6
    assert set(points[6:]) <= set(points[:6])


def test_repeats_are_made_where_they_are_allowed() -> None:
    tree = tree_of_domains({"a": Categorical(("x", "y", "z"))})
    suggester = Suggester(tree, 0, 1, options=Options(may_repeat=True, n_start=2))

    points = [trial.point["a"] for trial in search(suggester, lambda p: (0.0 if p["a"] == "x" else 9.0,), 30)]

    assert points.count("x") > 10


def test_batches_are_diverse() -> None:
    suggester = Suggester(TREE, 0, 1)
    finished = search(suggester, bowl, 15)
    running: list[Point] = []
    for i in range(15, 21):
        running.append(suggester.suggest(i, finished, running))

    distances = [
        abs(float(a["x"]) - float(b["x"])) + abs(math.log10(float(a["rate"])) - math.log10(float(b["rate"]))) / 4
        for i, a in enumerate(running)
        for b in running[:i]
        if a["batch"] == b["batch"]
    ]
    assert len({tuple(point.items()) for point in running}) == 6
    assert min(distances, default=1.0) > 0.02


def test_fixed_values_are_kept() -> None:
    suggester = Suggester(TREE, 0, 1)
    finished = search(suggester, bowl, 12)

    points = [suggester.suggest(i, finished, fixed={"x": 0.75}) for i in range(12, 20)]
    first = suggester.suggest(0, [], fixed={"batch": 64})

    assert {point["x"] for point in points} == {0.75}
    assert first["batch"] == 64


def test_exploring_proposals_are_not_likely_to_fail() -> None:
    finished = search(Suggester(TREE, 0, 1), bounded, 40)
    explores = Suggester(TREE, 1, 1, options=Options(exploration=1.0, free=0.0))

    points = [explores.suggest(i, finished) for i in range(40, 60)]

    assert sum(bounded(point) is None for point in points) <= 3
    assert len({point["batch"] for point in points}) >= 3


def test_warm_marginals_are_where_it_starts() -> None:
    suggester = Suggester(
        TREE, 0, 1, marginals={TREE.variables[2]: Choice((4, 8, 16, 32, 64), (0.0, 0.0, 0.0, 1.0, 0.0))}
    )

    points = [trial.point["batch"] for trial in search(suggester, bowl, 8)]

    assert points.count(32) >= 4


@pytest.mark.parametrize("values", [None, (0.0,), (1e300,), (-1e300,)])
def test_trials_that_are_all_alike_still_lead_on(values: tuple[float, ...] | None) -> None:
    points = [trial.point for trial in search(Suggester(TREE, 0, 1), lambda point: values, 14)]

    assert len({tuple(point.items()) for point in points}) == 14


def test_stopped_trials_are_no_failures_and_partial_points_are_read() -> None:
    finished = [Finished(i, {"x": i / 10}, True, None) for i in range(5)]

    assert set(Suggester(TREE, 0, 1).suggest(5, finished)) == {"x", "rate", "batch"}


def test_a_broken_constraint_is_avoided() -> None:
    finished: list[Finished] = []
    suggester = Suggester(TREE, 0, 1)
    for i in range(36):
        point = suggester.suggest(i, finished)
        finished.append(Finished(i, point, True, (float(point["x"]),), (0.4 - float(point["x"]),)))

    kept = [trial for trial in finished if trial.slacks[0] <= 0]
    assert 0.4 <= min(float(trial.point["x"]) for trial in kept) < 0.45
    assert sum(trial.slacks[0] > 0 for trial in finished[-15:]) <= 5


def test_an_empty_tree_gives_empty_points() -> None:
    suggester = Suggester(Tree(()), 0, 1)

    assert [trial.point for trial in search(suggester, lambda point: (1.0,), 10)] == [{}] * 10
