"""Regressions with beliefs: they start at the belief, end at the data, and stay finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.prior.regressions import Coefficients, linear, logistic, logit, sigmoid

BELIEF = Coefficients.believed([0.5, -1.0], [1.0, 0.5])


def test_without_data_the_belief_stays() -> None:
    empty = np.zeros((0, 2))
    assert linear(empty, np.zeros(0), np.zeros(0), BELIEF).mean == pytest.approx(BELIEF.mean)
    assert logistic(empty, np.zeros(0), np.zeros(0), BELIEF).mean == pytest.approx(BELIEF.mean)


def test_many_observations_overrule_the_belief() -> None:
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(3000), rng.normal(size=3000)])
    truth = np.array([1.0, 2.0])
    values = linear(design, design @ truth + 0.1 * rng.normal(size=3000), np.full(3000, 0.01), BELIEF)
    assert values.mean == pytest.approx(truth, abs=0.02)
    mean, sd = values.at(design[:2])
    assert mean == pytest.approx(design[:2] @ truth, abs=0.05)
    assert (sd < 0.02).all()
    outcomes = (rng.random(3000) < sigmoid(design @ truth)).astype(float)
    assert logistic(design, outcomes, np.ones(3000), BELIEF).mean == pytest.approx(truth, abs=0.25)


def test_an_offset_is_taken_as_known() -> None:
    ones = np.ones((500, 1))
    flat = Coefficients.believed([0.0], [5.0])
    outcomes = np.tile([1.0, 0.0], 250)
    moved = logistic(ones, outcomes, np.ones(500), flat, offset=np.full(500, 2.0))
    assert float(moved.mean[0]) == pytest.approx(-2.0, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.booleans(), st.floats(1e-6, 1e6)), max_size=20),
)
def test_anything_finite_gives_something_finite(observed: list[tuple[float, float, bool, float]]) -> None:
    design = np.array([[a, b] for a, b, _, _ in observed]).reshape(-1, 2)
    outcomes = np.array([float(y) for _, _, y, _ in observed])
    weights = np.array([w for *_, w in observed])
    for found in (logistic(design, outcomes, weights, BELIEF), linear(design, outcomes, weights, BELIEF)):
        assert np.isfinite(found.mean).all()
        assert np.isfinite(found.covariance).all()


def test_probabilities_are_never_certain() -> None:
    assert 0 < sigmoid(np.array([-1e9]))[0] < 1e-3
    assert logit(sigmoid(np.array([-3.0, 0.0, 4.0]))) == pytest.approx([-3.0, 0.0, 4.0])
