"""Fronts and hypervolume against brute force; order and ties of the recommendation."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xautolm.pareto import (
    best_first,
    crowding_distance,
    dominates,
    front,
    hypervolume,
    non_dominated_sort,
    recommend,
)
from xautolm.records import Constraint, Cost, Objective, Pipeline, TrialResult

F1_TIME = (Objective("f1", "maximize"), Objective("time", "minimize"))


def grid_points(n_objectives: int) -> st.SearchStrategy[np.ndarray]:
    """Points on a coarse grid, so that ties and duplicates are common."""
    shape = st.tuples(st.integers(1, 9), st.just(n_objectives))
    return arrays(float, shape, elements=st.integers(0, 4).map(float))


def result(trial_id: int, f1: float, time_s: float, status: str = "ok") -> TrialResult:
    scores = {"f1": f1} if status == "ok" else {}
    return TrialResult(trial_id, status, Pipeline("m", "full"), scores, Cost(time_s), seed=0)  # type: ignore[arg-type]


@given(grid_points(3))
def test_sort_agrees_with_repeated_brute_force(points: np.ndarray) -> None:
    left = set(range(len(points)))
    for members in non_dominated_sort(points):
        expected = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        assert set(members) == expected
        left -= expected
    assert not left


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_hypervolume_agrees_with_counting_cells(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    for _ in range(20):
        points = rng.integers(0, 6, size=(rng.integers(1, 7), n_objectives)).astype(float)
        cells = itertools.product(range(5), repeat=n_objectives)
        expected = sum(any((point <= cell).all() for point in points) for cell in cells)
        assert hypervolume(points, (5.0,) * n_objectives) == pytest.approx(expected)


def test_hypervolume_grows_with_better_points_unlike_the_published_one() -> None:
    good = [(0.05, 0.5), (0.1, 0.1), (0.5, 0.05)]
    bad = [(0.6, 0.9), (0.7, 0.7), (0.9, 0.6)]
    assert hypervolume([(0.0, 0.0)], (1, 1)) == 1.0
    assert hypervolume(good, (1, 1)) > hypervolume(bad, (1, 1)) > 0
    assert hypervolume([], (1, 1)) == 0.0


def test_crowding_is_given_to_the_point_itself_and_not_to_its_rank() -> None:
    # Given unsorted: the lonely middle point is index 0, the crowded ones are 2 and 3.
    distance = crowding_distance([(5.0, 5.0), (0.0, 10.0), (9.0, 1.0), (9.5, 0.5), (10.0, 0.0)])
    assert distance[0] == pytest.approx(0.9 + 0.9)
    assert math.isinf(distance[1])
    assert math.isinf(distance[4])
    assert distance[0] > distance[2] > distance[3]


@pytest.mark.parametrize("points", [[(1.0, 1.0)], [(1.0, 1.0)] * 4, [(1.0, 2.0), (2.0, 1.0)]])
def test_best_first_is_a_permutation_for_degenerate_fronts(points: list[tuple[float, float]]) -> None:
    assert sorted(best_first(points)) == list(range(len(points)))


def test_nan_points_are_refused() -> None:
    with pytest.raises(ValueError, match="without NaN"):
        non_dominated_sort([(1.0, math.nan)])


def test_front_is_cheapest_first_without_failures_dominated_and_equal_points() -> None:
    results = [
        result(0, 0.9, 50),
        result(1, 0.5, 5),
        result(2, 0.5, 6),
        result(3, 0.9, 50),
        result(4, 0.0, 1, status="oom"),
        result(5, 0.7, 20),
        result(6, math.nan, 1),
    ]
    assert front(results, F1_TIME) == (1, 5, 0)
    assert front([], F1_TIME) == ()


outcomes = st.tuples(
    st.sampled_from([0.1, 0.5, 0.9, math.nan]),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([None, 5.0, 25.0]),
    st.sampled_from(["ok", "ok", "ok", "oom"]),
)
limits = st.lists(
    st.sampled_from([Constraint("f1", True, 0.5), Constraint("latency", False, 10.0), Constraint("time", False, 2.0)]),
    max_size=2,
)


@given(st.lists(outcomes, max_size=8), limits, st.sampled_from([F1_TIME, F1_TIME[::-1], F1_TIME[:1]]))
def test_front_and_recommendation_agree_with_brute_force(
    drawn: list[tuple[float, float, float | None, str]],
    constraints: list[Constraint],
    objectives: tuple[Objective, ...],
) -> None:
    results = [
        replace(result(i, f1, time_s, status), cost=Cost(time_s, latency_ms=latency))
        for i, (f1, time_s, latency, status) in enumerate(drawn)
    ]

    def value(r: TrialResult, name: str) -> float:
        found = {"f1": r.scores.get("f1"), "time": r.cost.time_s, "latency": r.cost.latency_ms}[name]
        return math.nan if found is None else found

    def keeps(r: TrialResult) -> bool:
        return all(value(r, c.name) >= c.bound if c.is_minimum else value(r, c.name) <= c.bound for c in constraints)

    def point(r: TrialResult) -> tuple[float, ...]:
        return tuple(value(r, o.name) * (-1 if o.direction == "maximize" else 1) for o in objectives)

    ok = [r for r in results if r.status == "ok"]
    eligible = [r for r in ok if keeps(r)] or ok
    scored = [r for r in eligible if not any(math.isnan(x) for x in point(r))]
    best = [r for r in scored if not any(dominates(point(other), point(r)) for other in scored)]
    first = [r for r in best if not any(point(o) == point(r) and o.trial_id < r.trial_id for o in best)]

    found = front(results, objectives, constraints)
    assert sorted(found) == [r.trial_id for r in first]
    times = [results[i].cost.time_s for i in found]
    assert times == sorted(times) or "time" not in {o.name for o in objectives}
    chosen = recommend(results, objectives, constraints)
    assert (chosen is None) == (not scored)
    if chosen is not None:
        assert point(results[chosen])[0] == min(point(r)[0] for r in scored)
        assert keeps(results[chosen]) or not any(keeps(r) for r in ok)


def test_recommendation_prefers_quality_then_cost_then_the_lower_id() -> None:
    assert recommend([result(3, 0.9, 40), result(1, 0.9, 50), result(2, 0.9, 40), result(0, 0.8, 1)], F1_TIME) == 2
    assert recommend([result(0, 0.9, 1, status="timeout")], F1_TIME) is None


def trial(trial_id: int, f1: float, time_s: float, latency_ms: float | None) -> TrialResult:
    pipeline, cost = Pipeline("m", "head", {}), Cost(time_s, latency_ms=latency_ms)
    return TrialResult(trial_id, "ok", pipeline, {"f1": f1}, cost, seed=0)


FAST = (Constraint("latency", False, 20.0),)


def test_a_pipeline_that_breaks_a_constraint_is_neither_on_the_front_nor_recommended() -> None:
    results = [trial(0, 0.9, 5.0, 30.0), trial(1, 0.8, 4.0, 10.0), trial(2, 0.95, 9.0, None)]

    assert front(results, F1_TIME, FAST) == (1,)
    assert recommend(results, F1_TIME, FAST) == 1
    assert recommend(results, F1_TIME) == 2


def test_when_every_pipeline_breaks_a_constraint_all_of_them_count() -> None:
    results = [trial(0, 0.9, 5.0, 30.0), trial(1, 0.8, 4.0, 40.0)]

    assert front(results, F1_TIME, FAST) == (1, 0)
    assert recommend(results, F1_TIME, FAST) == 0
