"""Fronts, crowding and hypervolume against Optuna's and pymoo's, with ties and duplicates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from optuna._hypervolume import compute_hypervolume
from optuna.samplers.nsgaii._elite_population_selection_strategy import _calc_crowding_distance
from optuna.study._multi_objective import _fast_non_domination_rank

from xautolm.pareto import crowding_distance, fronts, hypervolume, non_dominated_sort


def tables(n_objectives: int, max_points: int = 12) -> st.SearchStrategy[np.ndarray]:
    """Points on a coarse grid, so that ties and duplicates are common."""
    shape = st.tuples(st.integers(1, max_points), st.just(n_objectives))
    return arrays(float, shape, elements=st.integers(0, 4).map(float))


many = st.integers(2, 4).flatmap(tables)
real = st.tuples(st.integers(2, 4), st.integers(1, 40), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random((drawn[1], drawn[0]))
)
either = st.one_of(many, real)
quick = settings(deadline=None, max_examples=60)


def ranks_of(sorted_fronts: list[list[int]]) -> list[int]:
    rank = {i: number for number, members in enumerate(sorted_fronts) for i in members}
    return [rank[i] for i in range(len(rank))]


@pytest.fixture(scope="module", autouse=True)
def pymoo_is_loaded() -> None:
    """Importing it takes a second, which is not a test's."""
    pytest.importorskip("pymoo", reason="a second opinion on fronts: pip install pymoo")
    import pymoo.indicators.hv
    import pymoo.operators.survival.rank_and_crowding.metrics
    import pymoo.util.nds.non_dominated_sorting  # noqa: F401


@quick
@given(either)
def test_fronts_are_those_of_optuna_and_pymoo(points: np.ndarray) -> None:
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    ours = non_dominated_sort(points)
    assert ours == list(fronts(points))
    assert ranks_of(ours) == _fast_non_domination_rank(points).tolist()
    assert ours == [sorted(map(int, members)) for members in NonDominatedSorting().do(points)]


@quick
@given(either)
def test_crowding_is_that_of_pymoo_also_among_ties(points: np.ndarray) -> None:
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    # pymoo takes the mean over the objectives, ours is the sum of the paper.
    np.testing.assert_allclose(crowding_distance(points), points.shape[1] * calc_crowding_distance(points), rtol=1e-12)


@quick
@given(real)
def test_crowding_is_that_of_optuna(points: np.ndarray) -> None:
    # Among ties Optuna's depends on the order of the objectives before, so here are none.
    trials = [optuna.trial.create_trial(values=point.tolist()) for point in points]
    for number, trial in enumerate(trials):
        trial.number = number
    theirs = _calc_crowding_distance(list(trials))
    np.testing.assert_allclose(crowding_distance(points), [theirs[i] for i in range(len(points))], rtol=1e-12)


@quick
@given(either, st.sampled_from([1.1, 3.0, 5.0]))
def test_hypervolume_is_that_of_optuna_and_pymoo(points: np.ndarray, corner: float) -> None:
    from pymoo.indicators.hv import HV

    reference = np.full(points.shape[1], corner)
    inside = points[(points <= reference).all(axis=1)]
    ours = hypervolume(points, reference)
    assert ours == pytest.approx(compute_hypervolume(inside, reference) if len(inside) else 0.0, rel=1e-9, abs=1e-12)
    assert ours == pytest.approx(HV(ref_point=reference)(points), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n_objectives", "n_points"), [(2, 200), (3, 60), (4, 30), (5, 20)])
def test_hypervolume_of_a_large_front_is_that_of_optuna_and_pymoo(n_objectives: int, n_points: int) -> None:
    from pymoo.indicators.hv import HV

    rng = np.random.default_rng(n_objectives)
    points = np.abs(rng.normal(size=(n_points, n_objectives)))
    points = 1.0 - points / np.linalg.norm(points, axis=1, keepdims=True)
    points = np.vstack([points, points[:5]])  # duplicates
    points[::3, 0] = points[0, 0]  # ties
    reference = np.full(n_objectives, 1.1)
    ours = hypervolume(points, reference)
    assert ours == pytest.approx(compute_hypervolume(points, reference), rel=1e-9)
    assert ours == pytest.approx(HV(ref_point=reference)(points), rel=1e-9)


@quick
@given(either)
def test_hypervolume_never_falls_with_a_point_and_does_not_care_about_order_or_duplicates(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 4.5)
    volumes = [hypervolume(points[: n + 1], reference) for n in range(len(points))]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(volumes))
    assert hypervolume(points[::-1], reference) == pytest.approx(volumes[-1])
    assert hypervolume(np.vstack([points, points]), reference) == pytest.approx(volumes[-1])
