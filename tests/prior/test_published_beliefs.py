"""The probabilistic model as published: its test vectors, and each of its defects on its own."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.prior.model import SearchModel
from xautolm.prior.published import COLLAPSING, SHARED_MODELS, UNBOUNDED, RawChoice, RawFlag, RawNumber
from xautolm.records import Pipeline
from xautolm.space.params import Categorical, Float, Int, MethodSpace, Space

EVERY_DEFECT = frozenset({UNBOUNDED, COLLAPSING, SHARED_MODELS})


@pytest.fixture
def published() -> Space:
    params = {"epochs": Int(1, 10), "optimizer": Categorical(("adamw", "sgd")), "clip": Categorical((False, True))}
    default = {"epochs": 3, "optimizer": "adamw", "clip": False}
    parts = [MethodSpace(name, ("a", "b", "c"), params, default) for name in ("full", "lora")]
    other = MethodSpace("generative", ("t5", "gpt2"), params, default)
    return Space({}, {part.method: part for part in (*parts, other)})


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.05, (0.36508, 0.31746, 0.31746)), (-0.02, (0.31973, 0.34014, 0.34014))]
)
def test_choice_vectors(alpha: float, expected: tuple[float, ...]) -> None:
    moved = RawChoice(("a", "b", "c"), (1 / 3,) * 3).updated(["a"], alpha)
    assert moved.weights == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize(("alpha", "expected"), [(0.05, (5.375, 8.55)), (-0.02, (5.55, 9.18))])
def test_number_vectors(alpha: float, expected: tuple[float, float]) -> None:
    moved = RawNumber.uniform(Int(1, 10)).updated([3], alpha)
    assert (moved.mean, moved.dev) == pytest.approx(expected)


@pytest.mark.parametrize(("alpha", "expected"), [(0.05, 0.525), (-0.02, 0.49)])
def test_flag_vectors(alpha: float, expected: float) -> None:
    assert RawFlag().updated([True], alpha).p == pytest.approx(expected)


def test_method_weights_start_at_one_are_not_normalised_and_never_exactly_zero(published: Space) -> None:
    model = SearchModel.published(published, EVERY_DEFECT)
    moved = model.updated([Pipeline("a", "full", {})], 0.05).beliefs["method"]
    assert isinstance(moved, RawChoice)
    assert moved.weights == (1.05, 1.0, 1.0)
    assert moved.updated(["full"], -1.05).weights == (0.001, 1.0, 1.0)


def test_eight_failures_make_a_weight_negative_and_draws_biased() -> None:  # defect 1
    belief = RawChoice(tuple("abcdefg"), (1 / 7,) * 7)
    for _ in range(8):
        belief = belief.updated(["a"], -0.02)
    assert belief.weights[0] < 0
    assert belief.probabilities[0] == 0


@pytest.mark.parametrize(
    ("weights", "drawn"), [((-0.2, 1.0, 1.0), (0.0, 0.45, 0.55)), ((1.0, -0.2, 1.0), (0.45, 0.0, 0.55))]
)
def test_negative_weights_are_drawn_as_random_choices_draws_them(
    weights: tuple[float, ...], drawn: tuple[float, ...]
) -> None:
    belief = RawChoice(("a", "b", "c"), weights)
    assert belief.probabilities == pytest.approx(drawn, abs=0.01)
    rng = np.random.default_rng(0)
    counts = Counter(belief.sample(rng) for _ in range(4000))
    assert [counts[choice] / 4000 for choice in "abc"] == pytest.approx(drawn, abs=0.03)


def test_a_flag_may_leave_its_range() -> None:  # defect 1
    belief = RawFlag()
    for _ in range(60):
        belief = belief.updated([True], -0.02)
    assert belief.p < 0
    assert not any(belief.sample(np.random.default_rng(seed)) for seed in range(20))


def test_sixty_replays_collapse_a_number() -> None:  # defect 3
    belief = RawNumber.uniform(Int(1, 10))
    for _ in range(60):
        belief = belief.updated([3], 0.05)
    assert belief.dev == pytest.approx(0.41, abs=0.005)


def test_a_cold_integer_is_drawn_at_the_ends_as_published() -> None:
    belief = RawNumber.uniform(Int(1, 10))
    shares = [math.exp(belief.log_probability(value)) / 10 for value in range(1, 11)]
    assert sum(shares) == pytest.approx(1.0)
    assert (shares[0], shares[-1]) == pytest.approx((0.35, 0.31), abs=0.01)  # method.md 1.9
    rng = np.random.default_rng(0)
    counts = Counter(belief.sample(rng) for _ in range(4000))
    assert [counts[value] / 4000 for value in range(1, 11)] == pytest.approx(shares, abs=0.03)


def test_methods_of_one_family_share_their_models(published: Space) -> None:  # defect 7
    model = SearchModel.published(published, {SHARED_MODELS}).updated([Pipeline("a", "full", {})], 0.5)
    as_lora = model.log_probability(Pipeline("a", "lora", {}))
    assert as_lora > model.log_probability(Pipeline("b", "lora", {}))
    assert model.log_probability(Pipeline("t5", "generative", {})) == pytest.approx(
        model.log_probability(Pipeline("gpt2", "generative", {}))
    )
    separate = SearchModel.published(published, frozenset()).updated([Pipeline("a", "full", {})], 0.5)
    assert separate.log_probability(Pipeline("a", "lora", {})) == pytest.approx(
        separate.log_probability(Pipeline("b", "lora", {}))
    )
    assert {model.sample(np.random.default_rng(seed)).model for seed in range(60)} == {"a", "b", "c", "t5", "gpt2"}


def test_two_methods_move_a_shared_belief_once(published: Space) -> None:
    model = SearchModel.published(published, EVERY_DEFECT)
    merged = model.updated([Pipeline("a", "full", {}), Pipeline("a", "lora", {})], 0.05).beliefs["full.model"]
    assert isinstance(merged, RawChoice)
    assert merged.weights == RawChoice(("a", "b", "c"), (1 / 3,) * 3).updated(["a", "a"], 0.05).weights


def test_what_a_pipeline_leaves_open_is_drawn(published: Space) -> None:  # defect 4
    model = SearchModel.published(published, EVERY_DEFECT)
    stranger = Pipeline("bert", "full", {"epochs": 40, "optimizer": "sgd"})
    drawn = [model.completed(stranger, np.random.default_rng(seed)) for seed in range(20)]
    assert all(published.contains(pipeline) for pipeline in drawn)
    assert {pipeline.params["optimizer"] for pipeline in drawn} == {"sgd"}
    assert len({pipeline.model for pipeline in drawn}) == 3
    assert model.completed(Pipeline("a", "carp", {}), np.random.default_rng(0)).method in published.methods


def test_without_defects_it_is_the_repaired_model(published: Space) -> None:
    assert SearchModel.published(published, frozenset()) == SearchModel.uniform(published)


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(EVERY_DEFECT))),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 10), st.booleans(), st.floats(-0.5, 0.5)), max_size=12),
)
def test_any_updates_leave_a_model_that_can_be_drawn_from_and_kept(
    defects: set[int], updates: list[tuple[str, int, bool, float]]
) -> None:
    params = {"epochs": Int(1, 10), "clip": Categorical((False, True)), "rate": Float(1e-5, 1e-3, log=True)}
    part = MethodSpace("full", ("a", "b", "c"), params, {"epochs": 3, "clip": False, "rate": 1e-4})
    space = Space({}, {"full": part, "lora": MethodSpace("lora", part.models, params, part.default)})
    model = SearchModel.published(space, defects)
    for name, epochs, clip, alpha in updates:
        model = model.updated([Pipeline(name, "full", {"epochs": epochs, "clip": clip, "rate": 1e-4})], alpha)
    assert SearchModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False))) == model
    for seed in range(5):
        pipeline = model.sample(np.random.default_rng(seed))
        assert space.contains(pipeline)
        assert math.isfinite(model.log_probability(pipeline))
    json.dumps(model.describe(), allow_nan=False)
