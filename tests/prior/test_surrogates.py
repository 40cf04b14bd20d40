"""Models of a run's own trials: a pure function of the trials, sane with few, failed, broken and strange ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from xautolm.prior.encoding import Encoder, tree_of_domains
from xautolm.prior.surrogates import OwnBeliefs, Surrogates, Trials, levelled, representatives, schedule, spread
from xautolm.space.params import Categorical, Float

ENCODER = Encoder(tree_of_domains({"x": Float(0, 1), "y": Float(0, 1), "kind": Categorical(("a", "b"))}))


def trials(
    n: int, *, failed: Sequence[int] = (), slacks: np.ndarray | None = None, n_objectives: int = 1, seed: int = 0
) -> Trials:
    """The objectives are x, then 1 - x."""
    rng = np.random.default_rng(seed)
    points = [{"x": float(x), "y": float(y), "kind": str(rng.choice(["a", "b"]))} for x, y in rng.random((n, 2))]
    rows = ENCODER.encode(points)
    values = np.column_stack([rows[:, 0], 1 - rows[:, 0]])[:, :n_objectives]
    succeeded = np.asarray([i not in failed for i in range(n)], dtype=bool)
    values[~succeeded] = np.nan
    return Trials(rows, succeeded, values, np.zeros((n, 0)) if slacks is None else slacks)


def predicted(beliefs: OwnBeliefs, x: float, y: float = 0.5, kind: str = "a") -> tuple[float, list[float], list[float]]:
    found = beliefs.predict([{"x": x, "y": y, "kind": kind}])
    return float(found.p_ok[0]), found.mean[0].tolist(), found.sd[0].tolist()


def test_each_objective_is_learned_in_its_own_scale() -> None:
    _, mean, doubt = predicted(Surrogates(ENCODER).learn(trials(30, n_objectives=2)), 0.25)

    assert mean == pytest.approx([0.25, 0.75], abs=0.05)
    assert all(0 < sd < 0.2 for sd in doubt)


def test_while_nothing_failed_success_is_the_same_everywhere_and_never_certain() -> None:
    few, many = (Surrogates(ENCODER).learn(trials(n)) for n in (2, 60))

    assert predicted(few, 0.1)[0] == predicted(few, 0.9)[0] == pytest.approx(5 / 6)
    assert predicted(few, 0.1)[0] < predicted(many, 0.1)[0] < 1


def test_where_trials_failed_success_is_unlikely() -> None:
    base = trials(40)
    failed = [i for i, x in enumerate(base.rows[:, 0]) if x > 0.6]

    beliefs = Surrogates(ENCODER).learn(trials(40, failed=failed))

    assert predicted(beliefs, 0.2)[0] > 0.9
    assert predicted(beliefs, 0.9)[0] < 0.15


def test_a_constraint_lowers_the_probability_where_it_is_broken_and_failures_do_not_hide_it() -> None:
    base = trials(40)
    slacks = (0.5 - base.rows[:, :1]).copy()  # kept where x >= 0.5
    slacks[[3, 5]] = np.nan

    beliefs = Surrogates(ENCODER).learn(trials(40, failed=[3, 5], slacks=slacks))

    assert predicted(beliefs, 0.9)[0] > 5 * predicted(beliefs, 0.1)[0]
    assert trials(40, slacks=slacks).is_feasible.tolist() == [not s > 0 for s in slacks[:, 0]]


def test_without_a_value_objectives_are_unknown_and_failure_is_learned() -> None:
    beliefs = Surrogates(ENCODER).learn(trials(12, failed=range(12)))

    p_ok, mean, doubt = predicted(beliefs, 0.5)

    assert p_ok < 0.5
    assert (mean, doubt) == ([0.0], [1.0])


def test_what_was_asked_before_changes_nothing() -> None:
    asked_often, fresh = Surrogates(ENCODER), Surrogates(ENCODER)
    for n in (10, 25, 11, 40):
        asked_often.learn(trials(n, failed=[2, 7]))

    again = asked_often.learn(trials(33, failed=[2, 7]))

    assert predicted(again, 0.3) == predicted(fresh.learn(trials(33, failed=[2, 7])), 0.3)


def test_newer_trials_count_before_hyperparameters_are_learned_anew() -> None:
    assert schedule(60) == schedule(61)
    surrogates = Surrogates(ENCODER)

    before = predicted(surrogates.learn(trials(60)), 0.5)
    after = predicted(surrogates.learn(trials(61)), 0.5)

    assert before != after


def test_learning_becomes_rare_but_never_stops() -> None:
    steps = [schedule(n) for n in range(1, 3000)]

    assert steps[:20] == list(range(1, 21))
    assert all(n - step <= 48 for n, step in enumerate(steps, start=1))
    assert len(set(steps)) < 200


def test_predictions_rest_on_a_bounded_number_of_trials() -> None:
    rng = np.random.default_rng(0)
    rows, values = rng.random((900, 3)), rng.random(900)

    chosen = representatives(rows, values, 100)

    assert len(chosen) <= 100
    assert set(np.argsort(values)[:33]) <= set(chosen.tolist())
    gaps = ((rows[:, None, :] - rows[None, spread(rows, 67), :]) ** 2).sum(axis=2).min(axis=1)
    assert np.sqrt(gaps.max()) < 0.4  # the rest covers the cube


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0, 0.0, 5.0], [-1e90, 0.0, 1e90], [2.0], [1e-300, 1.0, 1e300]])
def test_levelled_values_stay_finite_and_in_order(values: list[float]) -> None:
    found = levelled(np.asarray(values), may_be_log=True)

    assert np.isfinite(found).all()
    assert np.argsort(found, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
