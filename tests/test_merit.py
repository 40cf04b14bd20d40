"""Figures of merit against brute force."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xautolm.merit import anytime_volumes, held, mean_until, time_to_reach, unit_square, win_ratio
from xautolm.pareto import hypervolume

quick = settings(deadline=None, max_examples=60)


def tables(n_objectives: int, min_points: int = 1, *, failures: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Points on a coarse grid, so that ties and duplicates are common; a failure has NaN in it."""
    shape = st.tuples(st.integers(min_points, 9), st.just(n_objectives))
    values = st.integers(0, 4).map(float)
    return arrays(float, shape, elements=st.one_of(values, st.just(math.nan)) if failures else values)


pairs = st.integers(2, 4).flatmap(lambda k: st.tuples(tables(k), tables(k, min_points=0)))
curves = st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 50)), min_size=1, max_size=8).map(
    lambda steps: (np.maximum.accumulate([v for v, _ in steps]), np.cumsum([gap for _, gap in steps]))
)


@quick
@given(pairs)
def test_wins_are_points_that_no_rival_weakly_dominates(both: tuple[np.ndarray, np.ndarray]) -> None:
    points, rivals = both
    wins = [not any(all(r <= p for r, p in zip(rival, point, strict=True)) for rival in rivals) for point in points]
    assert win_ratio(points, rivals) == pytest.approx(sum(wins) / len(wins))


def test_a_search_wins_nothing_against_itself_and_everything_against_nobody() -> None:
    points = [(1.0, 3.0), (2.0, 2.0)]
    assert (win_ratio(points, points), win_ratio(points, [])) == (0.0, 1.0)
    assert math.isnan(win_ratio([], points))


@quick
@given(st.integers(2, 4).flatmap(lambda k: tables(k, min_points=0, failures=True)))
def test_the_anytime_curve_is_the_hypervolume_of_every_beginning(points: np.ndarray) -> None:
    reference = (3.5,) * (points.shape[1] or 2)
    curve = anytime_volumes(points, reference)
    worked = [[point for point in points[: n + 1] if not np.isnan(point).any()] for n in range(len(points))]
    assert curve.tolist() == pytest.approx([hypervolume(beginning, reference) for beginning in worked])
    assert all(later >= earlier for earlier, later in pairwise(curve))


@quick
@given(curves, st.floats(0.1, 300))
def test_the_area_is_that_of_a_fine_grid(curve: tuple[np.ndarray, np.ndarray], horizon: float) -> None:
    values, ends = curve
    grid = (np.arange(20_000) + 0.5) / 20_000 * horizon
    assert mean_until(values, ends, horizon) == pytest.approx(held(values, ends, grid).mean(), abs=1e-3)


@quick
@given(curves)
def test_a_trial_counts_from_the_moment_it_ended(curve: tuple[np.ndarray, np.ndarray]) -> None:
    values, ends = curve
    assert held(values, ends, ends).tolist() == values.tolist()
    assert held(values, ends, np.nextafter(ends, 0.0)).tolist() == [0.0, *values[:-1]]


@quick
@given(curves, st.floats(0, 1))
def test_a_target_is_reached_when_a_trial_first_ended_at_or_above_it(
    curve: tuple[np.ndarray, np.ndarray], target: float
) -> None:
    values, ends = curve
    expected = next((end for value, end in zip(values, ends, strict=True) if value >= target - 1e-12), math.inf)
    assert time_to_reach(values, ends, target) == expected


def test_the_unit_square_clips_and_refuses_scales_that_are_none() -> None:
    points = unit_square([1.0, 0.2, math.nan], [1e-3, 1e9, 10.0], constant=0.5, time_limit_s=100.0)
    assert points[:2].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert math.isnan(points[2, 0])
    for constant, limit in ((1.0, 100.0), (0.5, 1.0)):
        with pytest.raises(ValueError, match="expected `constant` < 1 < `time_limit_s`"):
            unit_square([0.5], [1.0], constant, limit)
    with pytest.raises(ValueError, match="positive"):
        mean_until([0.5], [1.0], 0.0)
