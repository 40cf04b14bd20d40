"""How far a prior is believed after some results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.prior.guard import COLD, SLOPE, Trust, standardised, trust

NOTHING = np.zeros(0)


def test_before_the_first_result_it_is_believed() -> None:
    begun = trust(NOTHING, NOTHING, NOTHING, [])

    assert begun.quality == 1.0
    assert begun.slope == pytest.approx(SLOPE)
    assert begun.success > 0.8
    assert begun.weight > 0.9
    assert COLD.weight == 0.0


def test_ranks_without_any_relation_are_believed_less_with_every_result() -> None:
    rng = np.random.default_rng(0)
    ranks, scores = rng.standard_normal(60), rng.standard_normal(60)

    shares = [trust(ranks[:n], scores[:n], np.full(n, 0.9), [True] * n).quality for n in (0, 15, 60)]

    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5


def test_one_surprise_does_not_end_the_trust_in_success_and_many_do() -> None:
    def believed(worked: list[bool]) -> float:
        return trust(NOTHING, NOTHING, np.full(len(worked), 0.95), worked).success

    assert believed([True] * 10 + [False]) > 0.5
    assert believed([False] * 8) < 0.01


def test_a_prior_that_foretells_failures_is_believed_more() -> None:
    p_ok = np.asarray([0.95, 0.05] * 10)

    told = trust(NOTHING, NOTHING, p_ok, [True, False] * 10)

    assert told.success > Trust().success


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-1e6, 1e6), st.floats(0, 1), st.booleans()), max_size=30))
def test_any_results_give_finite_shares(rows: list[tuple[float, float, float, bool]]) -> None:
    ranks, scores, p_ok = (np.asarray([row[i] for row in rows], dtype=float) for i in range(3))

    found = trust(ranks, scores, p_ok, [row[3] for row in rows])

    assert 0.0 <= found.quality <= 1.0
    assert 0.0 <= found.success <= 1.0
    assert np.isfinite([found.intercept, found.slope]).all()


def test_scores_that_do_not_differ_are_standardised_to_nothing() -> None:
    assert standardised(np.full(4, 0.7)).tolist() == [0.0] * 4
