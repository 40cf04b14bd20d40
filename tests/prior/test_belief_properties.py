"""Whatever is learned, in whatever order: weights stay positive and sum to 1, draws stay in the space."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xautolm.prior.decisions import FLOOR_DIVISOR, MIN_DEV_SHARE, MIN_REPULSION, Belief, Choice, Numeric
from xautolm.prior.evidence import Rated
from xautolm.prior.model import SearchModel
from xautolm.prior.published import COLLAPSING, SHARED_MODELS, UNBOUNDED, RawBelief, RawChoice, RawFlag
from xautolm.prior.reference import DEFECTS, ReferenceOptions, cold_model, replay, weighed
from xautolm.records import FAILURES, Cost, Experience, Objective, Pipeline, Prior, Profile, TrialError, TrialResult
from xautolm.search.nspe import SEARCH_DEFECTS, Nspe, NspeOptions
from xautolm.space.params import Categorical, Float, Int, MethodSpace, Space

PARAMS = {
    "learning_rate": Float(1e-5, 1e-3, log=True),
    "dropout": Float(0.0, 0.5),
    "batch_size": Categorical((8, 16, 32)),
    "epochs": Int(1, 10, log=True),
    "n_layers": Int(1, 4),
    "pooling": Categorical(("mean", "first")),
    "weighting": Categorical((False, True)),
    "only": Categorical((7,)),
}
DEFAULT = {"learning_rate": 1e-4, "dropout": 0.1, "batch_size": 16, "epochs": 3, "n_layers": 2}
DEFAULT |= {"pooling": "mean", "weighting": False, "only": 7}
HEAD = MethodSpace("head", ("s", "m"), {"c": Float(1e-3, 1e2, log=True)}, {"c": 1.0})
FULL = MethodSpace("full", ("s", "m", "l"), PARAMS, DEFAULT)
SPACE = Space({}, {"full": FULL, "partial": replace(FULL, method="partial"), "head": HEAD})
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
PROFILE = Profile("classification/1", {"n_train": 100.0}, "system/1", {"ram_gib": 8.0})

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
#: Published rates are at most 0.05; a rate above 1 overshoots and one of 60 leaves nothing of what was there.
rates = st.one_of(st.floats(-0.1, 0.1), st.sampled_from([-1.0, -0.5, 1.0]), st.floats(-60.0, 60.0))
odd_numbers = st.one_of(st.floats(1e-5, 1e-3), st.floats(), st.integers(-5, 10**6))
pipelines = st.builds(
    lambda method, model, rate, batch, epochs, weighting: Pipeline(
        model,
        method,
        {**DEFAULT, "learning_rate": rate, "dropout": rate, "c": rate, "batch_size": batch, "epochs": epochs}
        | ({} if weighting is None else {"weighting": weighting}),
    ),
    st.sampled_from(["full", "partial", "head", "gone"]),
    st.sampled_from(["s", "m", "l", "gone"]),
    odd_numbers,
    st.sampled_from([8, 16, 32, 64, "8", True]),
    st.integers(-1, 12),
    st.sampled_from([False, True, 1, "True", None]),
)
names = st.one_of(st.none(), st.sets(st.sampled_from(["method", "model", "c", *PARAMS])))
steps = st.lists(st.tuples(st.lists(pipelines, max_size=4), rates, names), max_size=12)


def check(model: SearchModel, seed: int = 0) -> None:
    """The model is a distribution over the space: drawn from, judged, written and read again."""
    for belief in model.beliefs.values():
        check_belief(belief)
    for i in range(3):
        drawn = model.sample(np.random.default_rng(seed + i))
        assert SPACE.contains(drawn)
        assert math.isfinite(model.log_probability(drawn))
    assert SearchModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False))) == model
    json.dumps(model.describe(), allow_nan=False)


def check_belief(belief: Belief | RawBelief) -> None:
    if isinstance(belief, Choice):
        floor = 1 / (FLOOR_DIVISOR * len(belief.choices)) / (1 + 1 / FLOOR_DIVISOR)
        assert math.fsum(belief.weights) == pytest.approx(1)
        assert min(belief.weights) >= floor - 1e-12
        assert math.fsum(math.exp(belief.log_probability(choice)) for choice in belief.choices) == pytest.approx(1)
    elif isinstance(belief, Numeric):
        low, high = belief.limits
        assert low <= belief.mean <= high
        assert MIN_DEV_SHARE * (high - low) <= belief.dev < math.inf
        assert MIN_REPULSION <= min(belief.thinning) <= max(belief.thinning) == 1
        assert min(belief._masses) >= 0
        assert math.fsum(belief._masses) == pytest.approx(1)
    elif isinstance(belief, RawChoice):  # weights of any sign are the published defect, probabilities are not
        assert min(belief.probabilities) >= 0
        assert math.fsum(belief.probabilities) == pytest.approx(1)
    elif isinstance(belief, RawFlag):
        assert math.isfinite(belief.p)
    else:
        assert math.isfinite(belief.mean)
        assert math.isfinite(belief.dev)


@quick
@given(steps, st.floats(0.0, 0.9), st.integers(0, 100))
def test_any_updates_leave_the_model_a_distribution(
    sequence: Sequence[tuple[list[Pipeline], float, set[str] | None]], default_share: float, seed: int
) -> None:
    model = SearchModel.informed(SPACE, default_share)
    for observed, alpha, handles in sequence:
        model = model.updated(observed, alpha, handles)
        check(model, seed)
    check(model.aligned(SPACE), seed)


@quick
@given(steps, st.sets(st.sampled_from([UNBOUNDED, COLLAPSING, SHARED_MODELS])), st.integers(0, 100))
def test_any_updates_leave_probabilities_also_with_published_defects(
    sequence: Sequence[tuple[list[Pipeline], float, set[str] | None]], defects: set[int], seed: int
) -> None:
    model = SearchModel.published(SPACE, defects)
    for observed, alpha, handles in sequence:
        model = model.updated(observed, alpha, handles)
        check(model, seed)
    check(model.aligned(SPACE), seed)


@st.composite
def rated(draw: st.DrawFn) -> list[Rated]:
    """Experiences of several tasks: successes, failures of any kind, scores and times that are odd."""
    found = []
    for i in range(draw(st.integers(0, 12))):
        status = draw(st.sampled_from(["ok", "ok", *sorted(FAILURES)]))
        scores = {"f1": draw(st.sampled_from([0.0, 0.5, 0.9, 1.0, math.nan, math.inf]))} if status == "ok" else {}
        kind = draw(st.sampled_from(["settings", "oom_train", "bug"]))
        error = None if status == "ok" else TrialError(kind, "")
        cost = Cost(draw(st.sampled_from([0.0, 1.0, 1e9])))
        result = TrialResult(i, status, draw(pipelines), scores, cost, seed=0, error=error)  # type: ignore[arg-type]
        dataset = draw(st.sampled_from("abc"))
        experience = Experience(
            f"run-{dataset}", dataset, dataset, (), PROFILE, result, "1", {}, "", "machine", created_at=""
        )
        distance = draw(st.sampled_from([0.0, 1e-9, 0.3, 5.0, 1e6]))
        found.append(Rated(experience, distance, {}))
    return found


options = st.builds(
    ReferenceOptions,
    k_positive=st.sampled_from([None, 0, 1, 5]),
    k_negative=st.sampled_from([None, 0, 1, 5]),
    utility=st.sampled_from(["weighted_sum", "linear_front", "logarithmic_front"]),
    beta_scale=st.sampled_from([0.0, 0.5, 10.0]),
    positive_mass=st.sampled_from([1.0, math.inf]),
    negative_mass=st.sampled_from([1.0, math.inf]),
    max_positive_alpha=st.sampled_from([0.05, 1.0, 50.0]),
    max_negative_alpha=st.sampled_from([0.02, 1.0, 50.0]),
    default_share=st.sampled_from([0.0, 0.5]),
    defects=st.sets(st.sampled_from(sorted(DEFECTS))).map(frozenset),
)


@quick
@given(rated(), options, st.integers(0, 100))
def test_any_experience_with_any_options_leaves_the_prior_a_distribution(
    past: list[Rated], chosen: ReferenceOptions, seed: int
) -> None:
    check(cold_model(SPACE, chosen), seed)
    evidence = weighed(past, chosen)
    assert all(math.isfinite(item.alpha) and (item.alpha >= 0) == item.is_positive for item in evidence if item.alpha)
    model, used = replay(SPACE, evidence, chosen)
    check(model, seed)
    assert len(used) <= len(evidence)


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "oom", "stopped"]),
            st.one_of(st.floats(0, 1), st.just(math.nan)),
            st.floats(0.1, 1e4),
        ),
        max_size=15,
    ),
    st.sets(st.sampled_from(sorted(SEARCH_DEFECTS | {UNBOUNDED, COLLAPSING, SHARED_MODELS}))).map(frozenset),
    st.floats(0.01, 60.0),
    st.booleans(),
)
def test_the_published_search_stays_a_distribution_after_any_results(
    ends: list[tuple[str, float, float]], defects: frozenset[int], rate: float, is_warm: bool
) -> None:
    state = SearchModel.uniform(SPACE).updated([Pipeline("m", "full", DEFAULT)], 0.5).to_dict() if is_warm else None
    prior = Prior("reference" if is_warm else "none", int(is_warm), float(is_warm), state)
    chosen = NspeOptions(population=3, n_selected=2, n_uniform=1, learning_factor=rate, defects=defects)
    search = Nspe(SPACE, prior, OBJECTIVES, seed=1, options=chosen)
    seen: list[TrialResult] = []
    for i, (status, f1, time_s) in enumerate(ends):
        pipeline = search.ask(i, seen)
        assert SPACE.contains(pipeline)
        scores = {"f1": f1} if status == "ok" else {}
        seen.append(TrialResult(i, status, pipeline, scores, Cost(time_s), seed=0))  # type: ignore[arg-type]
    check(search.model_of(len(ends) // 3 + 1, seen))
