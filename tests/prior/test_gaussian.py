"""Gaussian processes: derivatives, what few trials teach, and data that teach nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from xautolm.prior import gaussian
from xautolm.prior.gaussian import Classification, Regression
from xautolm.prior.kernels import FittingKernel, Kernel

#: A number, three choices of one variable, two numbers.
GROUPS = np.asarray([0, 1, 1, 1, 2, 3])


def rows_of(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    numbers, choice = rng.random((n, 3)), rng.integers(0, 3, n)
    return np.column_stack([numbers[:, 0], np.eye(3)[choice], numbers[:, 1:]])


@pytest.mark.parametrize("model", [Regression, Classification])
def test_the_evidence_has_the_derivatives_it_claims(model: type, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(25)
    targets = np.sin(4 * rows[:, 0]) + rows[:, 4] if model is Regression else rows[:, 0] + rows[:, 4] > 0.9
    kept: list[Callable[[np.ndarray], tuple[float, np.ndarray]]] = []

    def keep(evidence: Callable[[np.ndarray], tuple[float, np.ndarray]], prior: object) -> np.ndarray:
        kept.append(evidence)
        return model.usual(GROUPS)

    monkeypatch.setattr(gaussian, "_most_probable", keep)
    theta = model.fit(rows, targets, GROUPS) - 0.4
    steps = 1e-4 * np.eye(len(theta))
    numeric = [(kept[0](theta + step)[0] - kept[0](theta - step)[0]) / 2e-4 for step in steps]

    assert kept[0](theta)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_both_kernels_agree_and_are_positive() -> None:
    rows, theta = rows_of(30), Classification.usual(GROUPS)

    matrix = FittingKernel(rows, GROUPS).matrix(theta)

    assert Kernel(rows, GROUPS).between(theta, rows) == pytest.approx(matrix, abs=1e-8)
    assert Kernel(rows, GROUPS).variances(theta, rows) == pytest.approx(np.diag(matrix))
    assert np.linalg.eigvalsh(matrix).min() > -1e-8


def test_main_effects_are_learned_from_few_trials_and_doubt_grows_away_from_them() -> None:
    def value(rows: np.ndarray) -> np.ndarray:
        return (rows[:, 0] - 0.4) ** 2 + rows[:, 1:4] @ np.asarray([0.0, 0.3, 0.6]) + 0.2 * rows[:, 4]

    rows, others = rows_of(30), rows_of(200, seed=1)
    theta = Regression.fit(rows, value(rows), GROUPS)
    model = Regression(rows, value(rows), GROUPS, theta)

    mean, doubt = model.predict(others)
    own_mean, own_doubt = model.predict(rows)

    assert np.sqrt(np.mean((mean - value(others)) ** 2)) < 0.1 * value(others).std()
    assert own_mean == pytest.approx(value(rows), abs=0.02)
    assert doubt.mean() > own_doubt.mean() > 0


def test_a_threshold_on_a_sum_is_learned_from_few_trials() -> None:
    def works(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows[:, 0] + rows[:, 4] < 1.1)

    rows, others = rows_of(40), rows_of(300, seed=1)
    model = Classification(rows, works(rows), GROUPS, Classification.fit(rows, works(rows), GROUPS))

    p_ok = model.predict(others)

    clear = np.abs(others[:, 0] + others[:, 4] - 1.1) > 0.2
    assert np.mean((p_ok > 0.5)[clear] == works(others)[clear]) > 0.97
    assert ((p_ok > 0) & (p_ok < 1)).all()


def test_few_trials_give_no_certainty() -> None:
    rows = rows_of(2)

    p_ok = Classification(rows, np.asarray([True, False]), GROUPS, Classification.usual(GROUPS)).predict(
        rows_of(100, 1)
    )

    assert 0.1 < p_ok.min() < p_ok.max() < 0.95


@pytest.mark.parametrize("n", [1, 2, 60])
def test_trials_that_are_all_alike_give_finite_answers(n: int) -> None:
    rows = np.repeat(rows_of(1), n, axis=0)
    values, works = np.full(n, 3.0), np.zeros(n, dtype=bool)

    mean, doubt = Regression(rows, values, GROUPS, Regression.fit(rows, values, GROUPS)).predict(rows_of(5, 1))
    p_ok = Classification(rows, works, GROUPS, Classification.fit(rows, works, GROUPS)).predict(rows_of(5, 1))

    assert mean == pytest.approx([3.0] * 5)
    assert np.isfinite(doubt).all()
    assert (doubt > 0).all()
    assert ((p_ok > 0) & (p_ok < 0.75)).all()
