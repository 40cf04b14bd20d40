"""Expected improvement against brute force, and the models of a run's own trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.pareto import hypervolume
from xautolm.prior.surrogates import spread
from xautolm.search.improvement import expected_improvement, improvement
from xautolm.search.own_trials import Gap, Success, learned_from

coordinate = st.floats(0, 1)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=6), coordinate, coordinate)
@settings(max_examples=25, deadline=None)
def test_growth_of_the_volume_agrees_with_sampling(points: list[tuple[float, float]], x: float, y: float) -> None:
    reference, deviation = np.asarray([1.2, 1.2]), np.asarray([[0.2, 0.1]])
    draws = np.asarray([[x, y]]) + deviation * np.random.default_rng(0).standard_normal((2000, 2))
    base = hypervolume(points, reference)
    sampled = np.mean([hypervolume([*points, draw], reference) - base for draw in draws])

    exact = expected_improvement(np.asarray([[x, y]]), deviation, np.asarray(points), reference)[0]

    assert exact == pytest.approx(sampled, abs=0.02)


def test_improvement_is_largest_where_the_mean_is_best_or_the_doubt_is() -> None:
    gains = improvement(np.asarray([0.0, 1.0, 1.0]), np.asarray([0.1, 0.1, 1.0]), 0.5)

    assert gains[0] > gains[2] > gains[1] >= 0


@pytest.mark.parametrize("mean", [(0.1, 0.1, 0.1), (0.3, 0.6, 0.2), (0.9, 0.9, 0.9)])
def test_growth_of_three_dimensional_volume_agrees_with_sampling(mean: tuple[float, float, float]) -> None:
    points, reference = [(0.5, 0.5, 0.5), (0.2, 0.8, 0.6)], np.ones(3)
    draws = np.asarray(mean) + 0.1 * np.random.default_rng(0).standard_normal((2000, 3))
    base = hypervolume(points, reference)
    sampled = np.mean([hypervolume([*points, draw], reference) - base for draw in draws])

    found = expected_improvement(np.asarray([mean]), np.full((1, 3), 0.1), np.asarray(points), reference)[0]

    assert found == pytest.approx(sampled, abs=0.02)


GROUPS = np.asarray([0, 1])


def test_a_gap_is_learned_where_there_are_trials_and_a_common_factor_everywhere() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((30, 2))
    gap = Gap(GROUPS, is_offset=True)

    gaps = 1.0 + 0.5 * rows[:, 0]
    near, doubt = gap.predict(rows, gaps, np.asarray([[0.9, 0.5], [0.1, 0.5]]), lambda n: gaps[:n])

    assert near == pytest.approx([1.45, 1.05], abs=0.1)
    assert (doubt > 0).all()


def test_a_gap_does_not_depend_on_when_it_was_asked_for() -> None:
    """Gaps that are seen in the light of all trials, as scores that are standardised: each step changes them all."""
    rng = np.random.default_rng(0)
    rows, candidates = rng.random((40, 2)), rng.random((5, 2))

    def gaps(n: int) -> npt.NDArray[np.float64]:
        return np.sin(3.0 * rows[:n, 0]) / n + rows[:n, 1]

    asked_often, asked_once = Gap(GROUPS, is_offset=False), Gap(GROUPS, is_offset=False)
    for n in range(3, 39):
        often = asked_often.predict(rows[:n], gaps(n), candidates, gaps)
    once = asked_once.predict(rows[:38], gaps(38), candidates, gaps)

    assert np.array_equal(often, once)


def test_success_is_learned_from_a_threshold() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((40, 2))
    worked = rows.sum(axis=1) < 1.2

    p_ok = Success(GROUPS).predict(rows, worked, np.asarray([[0.1, 0.1], [0.95, 0.95]]))

    assert p_ok[0] > 0.85
    assert p_ok[1] < 0.3


def test_rows_are_thinned_to_those_that_cover_the_rest() -> None:
    rows = np.concatenate([np.zeros((50, 1)), [[1.0]], [[2.0]], np.zeros((5, 1))])

    assert {50, 51, 56} <= set(spread(rows, 4).tolist())
    assert spread(rows[:3], 10).tolist() == [0, 1, 2]


def test_parameters_are_learned_ever_more_rarely() -> None:
    starts = [learned_from(n) for n in range(1, 500)]

    assert starts == sorted(starts)
    assert len(set(starts)) < 45
