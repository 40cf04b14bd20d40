"""What candidates are worth: better, likelier, cheaper, less known, and away from what runs."""

from __future__ import annotations

import numpy as np
import pytest

from xautolm.search.acquisition import Prediction, Standing, away_from, likely, worth


def prediction(
    mean: list[list[float]], *, p_ok: list[float] | None = None, sd: float = 0.1, cost: list[float] | None = None
) -> Prediction:
    n = len(mean)
    sds = np.full((n, len(mean[0])), sd)
    return Prediction(np.asarray(p_ok or [0.9] * n), np.asarray(mean), sds, np.asarray(cost or [1.0] * n))


ONE = Standing.of(np.asarray([[0.5], [0.8]]))
TWO = Standing.of(np.asarray([[0.2, 0.8], [0.8, 0.2], [0.9, 0.9]]))


def test_the_standing_is_the_front_with_a_reference_beyond_its_ends() -> None:
    assert ONE.front.tolist() == [[0.5]]
    assert sorted(TWO.front.tolist()) == [[0.2, 0.8], [0.8, 0.2]]
    assert TWO.reference == pytest.approx([0.86, 0.86])
    assert (Standing.of(np.asarray([[0.3, 0.3]])).reference > 0.3).all()


@pytest.mark.parametrize(("standing", "better", "worse"), [(ONE, [0.3], [0.6]), (TWO, [0.3, 0.3], [0.7, 0.7])])
def test_a_better_mean_is_worth_more(standing: Standing, better: list[float], worse: list[float]) -> None:
    value = worth(prediction([worse, better]), standing)

    assert value[1] > value[0]


def test_worth_is_gain_times_probability_over_cost() -> None:
    base, halved, dear = worth(prediction([[0.4]] * 3, p_ok=[0.8, 0.4, 0.8], cost=[1.0, 1.0, 3.0]), ONE)

    assert base - halved == pytest.approx(np.log(2))
    assert base - dear == pytest.approx(np.log(3))


def test_optimism_prefers_what_is_not_known() -> None:
    known = Prediction(np.full(2, 0.9), np.asarray([[0.49], [0.7]]), np.asarray([[0.01], [0.1]]), np.ones(2))

    assert worth(known, ONE).argmax() == 0
    assert worth(known, ONE, optimism=8.0).argmax() == 1


def test_what_is_likely_to_fail_is_taken_only_when_all_is() -> None:
    some = worth(prediction([[0.1], [0.45]], p_ok=[0.3, 0.9]), ONE, least_p=0.5)
    none = worth(prediction([[0.1], [0.45]], p_ok=[0.3, 0.4]), ONE, least_p=0.5)

    assert some[0] == -np.inf < some[1]
    assert none[0] > none[1] > -np.inf


def test_while_nothing_works_the_likeliest_is_worth_most() -> None:
    assert worth(prediction([[0.9], [0.1]], p_ok=[0.4, 0.2]), None).argmax() == 0


def test_candidates_near_running_trials_lose_their_worth() -> None:
    rows, groups = np.asarray([[0.1, 0.1], [0.2, 0.1], [0.9, 0.9]]), np.asarray([0, 1])

    factor = away_from(rows, np.asarray([[0.1, 0.1]]), groups, 0.1)

    assert factor[0] == 0
    assert 0 < factor[1] < 0.5
    assert factor[2] > 0.99
    assert away_from(rows, np.zeros((0, 2)), groups, 0.1).tolist() == [1.0, 1.0, 1.0]


def test_a_share_of_the_draws_is_likely_in_any_case() -> None:
    assert likely(np.asarray([0.9, 0.2, 0.8]), 0.7, 0.2) == [0, 2]
    assert likely(np.asarray([0.1, 0.3, 0.2, 0.05, 0.01]), 0.7, 0.2) == [1]
