"""Forests as arrays: the same answers as scikit-learn, through JSON, and as constrained."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xautolm.prior.forest import Forest, ForestOptions

SMALL = ForestOptions(n_trees=15)


def grown(n: int = 200, options: ForestOptions = SMALL, **given: object) -> tuple[Forest, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, 5))
    targets = rows[:, 0] + (rows[:, 1] > 0) + 0.1 * rng.normal(size=n)
    return Forest.grown(rows, targets, np.ones(n), options, seed=0, **given), rows, targets  # type: ignore[arg-type]


def test_it_predicts_what_scikit_learn_does() -> None:
    from sklearn.ensemble import RandomForestRegressor

    forest, rows, targets = grown()
    theirs = RandomForestRegressor(
        15, min_samples_leaf=1, max_features=1 / 3, max_depth=12, max_samples=200, random_state=0
    ).fit(rows, targets, sample_weight=np.ones(200))
    new = np.random.default_rng(1).normal(size=(50, 5))
    assert forest.predict(new) == pytest.approx(theirs.predict(new), abs=1e-6)
    assert np.corrcoef(forest.predict(rows), targets)[0, 1] > 0.9


def test_json_gives_the_same_forest_back() -> None:
    forest, rows, _ = grown()
    again = Forest.from_dict(json.loads(json.dumps(forest.to_dict())))
    assert (again.votes(rows) == forest.votes(rows)).all()


def test_a_constrained_input_only_lowers_the_prediction() -> None:
    forest, rows, _ = grown(signs=np.array([0, -1, 0, 0, 0]))
    line = np.repeat(rows[:1], 60, axis=0)
    line[:, 1] = np.linspace(-3, 3, 60)
    assert (np.diff(forest.predict(line)) <= 1e-9).all()


def test_the_size_is_bounded_whatever_the_number_of_rows() -> None:
    options = ForestOptions(n_trees=3, max_rows=300, max_leaves=50)
    forest, _, _ = grown(5000, options)
    assert len(forest.value) <= 3 * 2 * 50
    assert forest.depth <= options.max_depth


def test_rows_without_weight_do_not_count() -> None:
    rows = np.arange(20.0)[:, None]
    weights = np.where(rows[:, 0] < 10, 1.0, 1e-9)
    forest = Forest.grown(rows, np.where(rows[:, 0] < 10, 0.0, 9.0), weights, SMALL, seed=0)
    assert forest.predict(rows).max() < 1.0


def test_one_row_is_a_constant() -> None:
    forest = Forest.grown(np.zeros((1, 3)), np.array([2.5]), np.ones(1), SMALL, seed=0)
    assert forest.predict(np.ones((2, 3))).tolist() == [2.5, 2.5]
