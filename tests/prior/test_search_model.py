"""The probabilistic model: published test vectors, repaired defects, and invariants after any updates."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xautolm.prior.decisions import FLOOR_DIVISOR, MIN_DEV_SHARE, Choice, Numeric, published_update
from xautolm.prior.model import SearchModel
from xautolm.records import Pipeline
from xautolm.space.params import Categorical, Float, Int, MethodSpace, Space


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.05, (0.36508, 0.31746, 0.31746)), (-0.02, (0.31973, 0.34014, 0.34014))]
)
def test_categorical_vectors_of_the_published_rule(alpha: float, expected: tuple[float, ...]) -> None:
    assert Choice.uniform(("a", "b", "c")).updated(["a"], alpha).weights == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize(("alpha", "expected"), [(0.05, (5.375, 8.55)), (-0.02, (5.55, 9.18))])
def test_numeric_vectors_of_the_published_rule(alpha: float, expected: tuple[float, float]) -> None:
    assert published_update(5.5, 9.0, [3], alpha) == pytest.approx(expected)


def test_successes_move_a_number_by_the_published_rule() -> None:
    start = Numeric.uniform(Int(1, 10))
    assert (start.mean, start.dev) == (5.5, 9.0)
    moved = start.updated([3], 0.05)
    assert (moved.mean, moved.dev) == pytest.approx((5.375, 8.55))
    several = start.updated([2, 4, 9], 0.05)
    assert (several.mean, several.dev) == pytest.approx(published_update(5.5, 9.0, [2, 4, 9], 0.05))


def test_log_numbers_move_in_the_exponent() -> None:
    moved = Numeric.uniform(Float(1e-5, 1e-3, log=True)).updated([1e-5], 0.5)
    assert (moved.mean, moved.dev) == pytest.approx((-4.5, 1.0))


def test_eight_failures_leave_a_choice_possible() -> None:  # defect 1
    belief = Choice.uniform(tuple("abcdefg"))
    for _ in range(50):
        belief = belief.updated(["a"], -0.02)
    assert belief.weights[0] == pytest.approx(1 / (FLOOR_DIVISOR * 7), rel=0.1)
    assert belief.weights[0] > 0


def test_replays_of_one_value_do_not_collapse_a_number() -> None:  # defect 3
    belief = Numeric.uniform(Int(1, 10))
    for _ in range(500):
        belief = belief.updated([3], 0.05)
    assert belief.dev == pytest.approx(MIN_DEV_SHARE * 10)
    rng = np.random.default_rng(0)
    assert len({belief.sample(rng) for _ in range(200)}) >= 3


def test_failures_lower_the_density_where_they_were_and_nowhere_else() -> None:  # defect 3
    start = Numeric.uniform(Float(0.0, 1.0))
    belief = start
    for _ in range(30):
        belief = belief.updated([0.9], -0.02)
    assert (belief.mean, belief.dev) == (start.mean, start.dev)
    assert belief.log_probability(0.9) < start.log_probability(0.9) - 1
    assert belief.log_probability(0.3) > start.log_probability(0.3)
    rng = np.random.default_rng(0)
    share = np.mean([float(belief.sample(rng)) > 0.8 for _ in range(2000)])  # type: ignore[arg-type]
    assert 0.02 < share < 0.13


def test_numbers_are_drawn_from_the_truncated_normal_and_not_clamped() -> None:
    rng = np.random.default_rng(0)
    belief = Numeric.uniform(Int(1, 10))
    counts = Counter(belief.sample(rng) for _ in range(4000))
    assert set(counts) == set(range(1, 11))
    # Clamping the published normal puts about a third of the mass on each end.
    assert max(counts.values()) / 4000 < 0.14
    assert min(counts.values()) / 4000 > 0.07
    centred = Numeric(Float(0.0, 1.0), mean=0.3, dev=0.1)
    draws = np.asarray([centred.sample(rng) for _ in range(4000)], dtype=float)
    assert draws.mean() == pytest.approx(0.3, abs=0.01)
    assert draws.std() == pytest.approx(0.1, abs=0.01)


def test_the_models_of_one_method_say_nothing_about_another(space: Space, pipeline: Callable[..., Pipeline]) -> None:
    model = SearchModel.uniform(space)
    for _ in range(20):
        model = model.updated([pipeline("l")], -0.02, {"model"})
    full, head = model.beliefs["full.model"], model.beliefs["head.model"]
    assert isinstance(full, Choice)
    assert full.weights[2] < 0.1
    assert head == Choice.uniform(("s", "m", "l"))


def test_decisions_that_do_not_resolve_are_skipped(space: Space) -> None:  # defect 4
    cold = SearchModel.uniform(space)
    stranger = Pipeline("gone", "full", {"learning_rate": 0.5, "batch_size": 256, "epochs": 2.5, "removed": 1})
    assert cold.resolved(stranger) == {"method": "full"}
    assert cold.resolved(Pipeline("s", "adapter", {"batch_size": 8})) == {}
    assert cold.updated([Pipeline("s", "adapter", {})], 0.05) is cold
    # The same number in another type is the same choice; a truth value is not a number.
    old = Pipeline("s", "full", {"batch_size": 8.0, "epochs": 2.0, "class_weighting": 1})
    resolved = cold.resolved(old)
    assert resolved == {"method": "full", "full.model": "s", "full.batch_size": 8, "full.epochs": 2}
    assert type(resolved["full.epochs"]) is int


def test_only_the_named_handles_change(space: Space, pipeline: Callable[..., Pipeline]) -> None:
    cold = SearchModel.uniform(space)
    blamed = cold.updated([pipeline()], -0.02, {"model", "batch_size"})
    changed = {h for h in cold.beliefs if cold.beliefs[h] != blamed.beliefs[h]}
    assert changed == {"full.model", "full.batch_size"}


def test_samples_are_points_of_the_space_and_survive_json(space: Space, pipeline: Callable[..., Pipeline]) -> None:
    model = SearchModel.uniform(space).updated([pipeline("l", epochs=9)], 0.4).updated([pipeline()], -0.3)
    text = json.dumps(model.to_dict(), sort_keys=True)
    again = SearchModel.from_dict(json.loads(text)).aligned(space)
    assert again == model
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        sample = model.sample(one)
        assert space.contains(sample)
        assert again.sample(two) == sample


def test_a_model_from_another_space_keeps_only_what_is_the_same(
    space: Space, pipeline: Callable[..., Pipeline]
) -> None:
    warm = SearchModel.uniform(space).updated([pipeline("l")], 0.5)
    head = MethodSpace("head", ("s", "xl"), {"c": Float(1e-3, 1e2, log=True)}, {"c": 1.0})
    wider = Space({}, {"full": space.methods["full"], "head": head})
    aligned = warm.aligned(wider)
    assert aligned.beliefs["full.model"] == warm.beliefs["full.model"]
    assert aligned.beliefs["head.model"] == Choice.uniform(("s", "xl"))
    assert list(aligned.beliefs) == list(SearchModel.uniform(wider).beliefs)


def test_log_probability_ranks_what_was_reinforced_first(space: Space, pipeline: Callable[..., Pipeline]) -> None:
    good, bad = pipeline("s", batch_size=8), pipeline("l", batch_size=32)
    warm = SearchModel.uniform(space).updated([good], 0.3).updated([bad], -0.1)
    assert warm.log_probability(good) > warm.log_probability(pipeline()) > warm.log_probability(bad)


@pytest.mark.parametrize(
    "domain", [Float(0.5, 0.5), Int(4, 4), Int(1, 1, log=True), Float(1e-4, 1e-4, log=True), Categorical((7,))]
)
def test_a_range_of_one_value_gives_that_value(domain: Float | Int | Categorical) -> None:
    only = Space({}, {"full": MethodSpace("full", ("s",), {"x": domain}, {})})
    model = SearchModel.uniform(only)
    value = model.sample(np.random.default_rng(0)).params["x"]
    point = Pipeline("s", "full", {"x": value})
    assert only.contains(point)
    updated = model.updated([point], 0.5).updated([point], -0.5)
    assert updated.sample(np.random.default_rng(1)) == point
    assert math.isfinite(updated.log_probability(point))
    updated.describe()


@st.composite
def updates(draw: st.DrawFn) -> list[tuple[list[Pipeline], float]]:
    numbers = st.one_of(st.floats(1e-5, 1e-3), st.floats(allow_nan=True), st.integers(-5, 10**6))
    pipelines = st.builds(
        lambda method, model, lr, batch, epochs: Pipeline(
            model, method, {"learning_rate": lr, "batch_size": batch, "epochs": epochs, "c": lr}
        ),
        st.sampled_from(["full", "head", "gone"]),
        st.sampled_from(["s", "m", "l", "gone"]),
        numbers,
        st.sampled_from([8, 16, 32, 64, "8", True]),
        st.integers(-1, 12),
    )
    alphas = st.floats(-1.0, 1.0)
    return draw(st.lists(st.tuples(st.lists(pipelines, max_size=4), alphas), max_size=12))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=updates(), seed=st.integers(0, 100))
def test_any_updates_leave_a_proper_distribution(
    space: Space, sequence: list[tuple[list[Pipeline], float]], seed: int
) -> None:
    model = SearchModel.uniform(space)
    for pipelines, alpha in sequence:
        model = model.updated(pipelines, alpha)
    for belief in model.beliefs.values():
        if isinstance(belief, Choice):
            assert sum(belief.weights) == pytest.approx(1)
            assert min(belief.weights) >= 1 / (FLOOR_DIVISOR * len(belief.weights)) / (1 + 1 / FLOOR_DIVISOR) - 1e-12
        else:
            low, high = belief.limits
            assert low <= belief.mean <= high
            assert MIN_DEV_SHARE * (high - low) <= belief.dev < math.inf
            assert 0 < min(belief.thinning) <= max(belief.thinning) == 1
    sample = model.sample(np.random.default_rng(seed))
    assert space.contains(sample)
    assert math.isfinite(model.log_probability(sample))
    json.dumps(model.to_dict(), allow_nan=False)
