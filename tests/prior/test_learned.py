"""Learned predictors: right about tasks they have not seen, taught by each failure what it says, broken by nothing."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prior.learned_trials import (
    MODELS,
    SLOWNESS,
    TIME_LIMIT_S,
    draw,
    ended,
    rated,
    setting,
    trial,
    trials,
)
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.audit import area_under_curve, rank_correlation
from xautolm.prior.costs import Setting
from xautolm.prior.forest import ForestOptions
from xautolm.prior.learned import LearnedOptions, learn
from xautolm.prior.lessons import Lessons
from xautolm.prior.physics import INPUTS, Physicist
from xautolm.prior.predictors import Forecast, Predictors, read_predictors
from xautolm.records import Experience, Objective, ParamValue, Pipeline, Profile, Status

F1 = Objective("f1", "maximize")
PHYSICIST = Physicist(ModelBook())
#: Few trees: the tests are about what is learned, not about how well.
QUICK = LearnedOptions(
    forest=ForestOptions(n_trees=25), ranks=ForestOptions(n_trees=50), checks=ForestOptions(n_trees=10), n_folds=2
)


def lessons_of(experiences: list[Experience]) -> Lessons:
    return Lessons.of(rated(experiences), PHYSICIST, F1)


def learned(experiences: list[Experience]) -> Predictors:
    return learn(lessons_of(experiences), QUICK)


def forecast(predictors: Predictors, pipelines: list[Pipeline], here: Setting | None = None) -> Forecast:
    return predictors.predict([PHYSICIST.row(pipeline, here or setting()) for pipeline in pipelines])


def is_finite(seen: Forecast) -> bool:
    return all(np.isfinite(getattr(seen, field.name)).all() for field in fields(seen))


@pytest.fixture(scope="module")
def past() -> list[Experience]:
    """120 trials of two tasks of 2,000 and 4,000 rows."""
    return [*trials(60, "a", 2000.0, seed=1), *trials(60, "b", 4000.0, seed=2)]


@pytest.fixture(scope="module")
def predictors(past: list[Experience]) -> Predictors:
    return learned(past)


@pytest.fixture(scope="module")
def unseen() -> tuple[list[Pipeline], list[tuple[Status, float, float, float]]]:
    """Pipelines for a task of 3,000 rows, and how they end there."""
    rng = np.random.default_rng(9)
    pipelines = [draw(rng) for _ in range(150)]
    return pipelines, [ended(pipeline, 3000.0, rng) for pipeline in pipelines]


def test_it_foresees_an_unseen_task(predictors: Predictors, unseen: tuple[list[Pipeline], list[tuple]]) -> None:  # type: ignore[type-arg]
    pipelines, ends = unseen
    seen = forecast(predictors, pipelines, setting(3000.0))
    worked = np.asarray([end[0] == "ok" for end in ends])
    auc = area_under_curve(seen.p_ok, worked)
    assert auc is not None
    assert auc > 0.95
    times, scores = (np.asarray([end[i] for end in ends]) for i in (1, 3))
    assert (rank_correlation(seen.log_time, times) or 0) > 0.95
    assert (rank_correlation(seen.quality, scores) or 0) > 0.8
    assert abs(float(np.mean(seen.log_time - np.log(times)))) < 0.2  # the slowness was learned
    within = np.abs(seen.log_time - np.log(times)) < 1.64 * seen.log_time_sd
    assert within.mean() > 0.85


def test_probabilities_mean_what_they_say(predictors: Predictors, unseen: tuple[list[Pipeline], list[tuple]]) -> None:  # type: ignore[type-arg]
    pipelines, ends = unseen
    seen = forecast(predictors, pipelines, setting(3000.0))
    worked = np.asarray([end[0] == "ok" for end in ends])
    assert abs(float(seen.p_ok.mean()) - worked.mean()) < 0.1
    assert worked[seen.p_ok > 0.9].mean() > 0.85
    assert worked[seen.p_ok < 0.1].mean() < 0.15
    share = worked.mean()
    assert np.mean((seen.p_ok - worked) ** 2) < 0.5 * share * (1 - share)


def test_a_task_ten_times_larger_takes_ten_times_as_long(predictors: Predictors, past: list[Experience]) -> None:
    """No past trial took so long, so a forest alone could not tell."""
    pipelines = [e.result.pipeline for e in past[:20]]
    small, large = (forecast(predictors, pipelines, setting(n)) for n in (2000.0, 40_000.0))
    factor = np.exp(np.median(large.log_time - small.log_time))
    assert 8 < factor < 25
    assert (large.p_ok <= small.p_ok + 0.05).all()


def test_time_outs_say_that_it_takes_longer_than_the_limit(past: list[Experience]) -> None:
    without = learned([e for e in past if e.result.status != "timeout"])
    slow = [e.result.pipeline for e in past if e.result.status == "timeout"]
    assert len(slow) > 5
    taught = forecast(learned(past), slow)
    assert np.mean(taught.log_time) >= np.mean(forecast(without, slow).log_time)
    assert np.mean(taught.log_time > math.log(0.8 * TIME_LIMIT_S)) > 0.7


def test_memory_is_learned_from_what_was_measured() -> None:
    def doubled_peak(e: Experience) -> Experience:
        cost = replace(e.result.cost, peak_mem_mib=2 * (e.result.cost.peak_mem_mib or 0.0))
        return replace(e, result=replace(e.result, cost=cost))

    twice = [doubled_peak(e) for e in trials(40, "a")]
    pipelines = [e.result.pipeline for e in twice if e.result.is_ok]
    once, doubled = (forecast(learned(made), pipelines) for made in (trials(40, "a"), twice))
    assert np.median(doubled.log_memory - once.log_memory) == pytest.approx(math.log(2), abs=0.1)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        ("oom", "oom_train", 0.0),
        ("timeout", "time_limit", 0.0),
        ("diverged", "nan", 0.0),
        ("invalid", "settings", 0.0),
        ("crashed", "unknown", 0.0),
        ("crashed", "bug", None),
        ("crashed", "killed", None),
        ("crashed", "disk", None),
        ("unavailable", "load", None),
        ("invalid", "unsupported", None),
        ("stopped", "dominated", None),
    ],
)
def test_failures_teach_by_their_kind(status: Status, kind: str, says: float | None) -> None:
    made = lessons_of([trial(0, draw(np.random.default_rng(0)), status=status, kind=kind)])
    assert math.isnan(made.worked[0]) if says is None else made.worked[0] == says
    assert math.isfinite(made.log_time[0]) == (status == "timeout")
    assert (made.timed_out[0], made.out_of_memory[0]) == (status == "timeout", status == "oom")


def test_bugs_and_missing_files_change_no_prediction(past: list[Experience]) -> None:
    rng = np.random.default_rng(5)
    bugs = [trial(i, draw(rng), status="crashed", kind="bug", task="c") for i in range(30)]
    pipelines = [e.result.pipeline for e in past[:30]]
    with_bugs, without = forecast(learned([*past, *bugs]), pipelines), forecast(learned(past), pipelines)
    assert np.abs(with_bugs.p_ok - without.p_ok).mean() < 0.02
    assert np.abs(with_bugs.log_time - without.log_time).mean() < 0.05


def test_quality_is_the_rank_inside_a_task() -> None:
    easy = [trial(i, draw(np.random.default_rng(i)), f1=0.9 + i / 1000, task="easy") for i in range(4)]
    hard = [trial(i, draw(np.random.default_rng(i)), f1=0.1 + i / 1000, task="hard") for i in range(4)]
    assert lessons_of([*easy, *hard]).quality.tolist() == [0.125, 0.375, 0.625, 0.875] * 2


def test_more_rows_are_never_expected_to_be_worse() -> None:
    """Even where past trials were worse with more of them: that is noise, or something else that differed."""
    rng, past = np.random.default_rng(4), []
    for i in range(60):
        drawn, share = draw(rng), float(rng.choice([0.25, 0.5, 1.0]))
        worse_with_more = replace(drawn, params={**drawn.params, "train_fraction": share})
        past.append(trial(i, worse_with_more, f1=0.9 - 0.4 * share + 0.02 * rng.normal()))
    row, column = PHYSICIST.row(draw(rng), setting()), INPUTS.index("train_fraction")
    rows = [[*row[:column], share, *row[column + 1 :]] for share in (0.25, 0.5, 1.0)]
    assert np.diff(learned(past).predict(rows).quality).min() >= 0.0


def test_far_tasks_and_repeats_count_less() -> None:
    near, far = trials(3, "near"), trials(3, "far", seed=1)
    made = Lessons.of([*rated(near, 0.1), *rated(far, 5.0)], PHYSICIST, F1)
    assert made.weights[:3].min() > made.weights[3:].max() > 0
    repeated = Lessons.of(rated([*near, *near[:1] * 9]), PHYSICIST, F1)
    assert repeated.weights[0] == pytest.approx(repeated.weights[1] / 10)


def test_json_gives_equal_predictors_back(predictors: Predictors, past: list[Experience]) -> None:
    again = Predictors.from_dict(json.loads(json.dumps(predictors.to_dict(), allow_nan=False)))
    pipelines = [e.result.pipeline for e in past]
    one, two = forecast(predictors, pipelines), forecast(again, pipelines)
    for field in fields(one):
        assert (getattr(one, field.name) == getattr(two, field.name)).all()
    assert again.ladder == predictors.ladder


def test_predictors_of_another_version_are_refused(predictors: Predictors) -> None:
    old = {**predictors.to_dict(), "inputs": ["log_batch"]}
    with pytest.raises(ValueError, match="another version"):
        Predictors.from_dict(old)


def test_a_run_goes_on_without_predictors_that_cannot_be_read(predictors: Predictors) -> None:
    whole = predictors.to_dict()
    assert read_predictors(whole) is not None
    damaged = {**whole, "works": {**whole["works"], "value": "AAAA"}}
    for value in (None, {}, {**whole, "inputs": ["log_batch"]}, {**whole, "time": None}, damaged):
        assert read_predictors(value) is None


def test_the_same_trials_give_the_same_predictors(past: list[Experience]) -> None:
    assert learned(past[:40]).to_dict() == learned(past[:40]).to_dict()


def test_without_experience_the_estimates_decide() -> None:
    cold = learned([])
    small = Pipeline(MODELS[3], "full", {"batch_size": 4, "max_length": 64, "epochs": 1, "learning_rate": 1e-4})
    huge = Pipeline(MODELS[1], "full", {"batch_size": 256, "max_length": 512, "epochs": 8, "learning_rate": 1e-4})
    seen = forecast(cold, [small, huge])
    assert is_finite(seen)
    assert seen.p_ok[0] > 0.7
    assert seen.p_ok[1] < 0.2
    assert seen.log_time[1] > seen.log_time[0]
    assert seen.quality.tolist() == [0.5, 0.5]


ONE = trials(1, "a")
STRANGE: dict[str, list[Experience]] = {
    "one": ONE,
    "two": trials(2, "a"),
    "ten thousand times the same": ONE * 10_000,
    "all failed": [trial(i, draw(np.random.default_rng(i)), status="oom") for i in range(30)],
    "all unexplained": [trial(i, draw(np.random.default_rng(i)), status="crashed", kind="bug") for i in range(30)],
    "all equal scores": [trial(i, draw(np.random.default_rng(i)), f1=0.5) for i in range(30)],
    "no scores": [trial(i, draw(np.random.default_rng(i)), f1=math.nan) for i in range(10)],
    "infinite": [trial(i, draw(np.random.default_rng(i)), f1=math.inf, time_s=math.inf) for i in range(10)],
    "unknown models": [trial(i, Pipeline("nobody/knows", "full", {"batch_size": 8})) for i in range(10)],
    "older space": [
        replace(
            trial(i, Pipeline("bert-base-uncased", "carp", {"shots": i, "prompt": "short"})),
            space_version="0",
            profile=Profile("classification/0", {}, "system/0", {}),
            time_limit_s=None,
            memory_limit_mib=None,
        )
        for i in range(10)
    ],
    "one task each": [trial(i, draw(np.random.default_rng(i)), task=f"t{i}") for i in range(12)],
}


@pytest.mark.parametrize("name", list(STRANGE))
def test_strange_stores_give_finite_predictions(name: str) -> None:
    predictors = learned(STRANGE[name])
    pipelines = [draw(np.random.default_rng(i)) for i in range(20)]
    pipelines += [Pipeline("nobody/knows", "carp", {}), Pipeline("gpt2", "lora", {"batch_size": "many"})]
    for here in (setting(), Setting(Profile("x", {}, "y", {}), math.nan, math.nan)):
        seen = forecast(predictors, pipelines, here)
        assert is_finite(seen)
        assert ((seen.p_ok > 0) & (seen.p_ok < 1)).all()
        assert ((seen.quality >= 0) & (seen.quality <= 1)).all()
        assert (seen.log_time_sd > 0).all()
    json.dumps(predictors.to_dict(), allow_nan=False)


def test_ten_thousand_times_the_same_failure_does_not_condemn_everything() -> None:
    big = Pipeline(MODELS[1], "full", {"batch_size": 256, "max_length": 512, "epochs": 8, "learning_rate": 1e-4})
    small = Pipeline(MODELS[3], "full", {"batch_size": 4, "max_length": 64, "epochs": 1, "learning_rate": 1e-4})
    seen = forecast(learned([trial(i, big, status="oom") for i in range(10_000)]), [big, small])
    assert seen.p_ok[0] < 0.2
    assert seen.p_ok[1] > 0.3


hyper: st.SearchStrategy[ParamValue] = st.one_of(
    st.integers(-5, 10**9), st.floats(), st.booleans(), st.text(max_size=3)
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*MODELS, "acme/x-7b", "nobody/knows"]),
            st.sampled_from(["full", "lora", "head", "partial", "carp"]),
            st.dictionaries(st.sampled_from(["batch_size", "epochs", "learning_rate", "max_length", "new"]), hyper),
            st.sampled_from(["ok", "oom", "timeout", "diverged", "crashed", "unavailable", "stopped"]),
            st.floats(),
            st.floats(0, 1e9),
        ),
        max_size=8,
    )
)
def test_no_store_makes_a_prediction_that_is_not_finite(
    store: list[tuple[str, str, dict[str, ParamValue], Status, float, float]],
) -> None:
    made = [
        trial(i, Pipeline(model, method, params), status=status, f1=f1, time_s=seconds, task=f"t{i % 3}")
        for i, (model, method, params, status, f1, seconds) in enumerate(store)
    ]
    pipelines = [draw(np.random.default_rng(0)), *(e.result.pipeline for e in made)]
    tiny = ForestOptions(n_trees=3)
    predictors = learn(lessons_of(made), LearnedOptions(forest=tiny, ranks=tiny, checks=tiny, n_folds=2))
    assert is_finite(forecast(predictors, pipelines))


def test_the_slowness_of_the_machine_is_what_was_learned(predictors: Predictors) -> None:
    assert predictors.time.base == pytest.approx(math.log(SLOWNESS), abs=0.15)
