"""What earlier trials teach about estimates: on which machines, and of which trials."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xautolm.prior.anatomy import ModelBook
from xautolm.prior.costs import Setting, work_of
from xautolm.prior.residuals import learn_residuals
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialResult
from xautolm.space.feasibility import DEFAULT_SPEED
from xautolm.space.residuals import MAX_WEIGHT, memory_key, time_key

HERE = Profile(
    "classification/2", {"n_train": 1000.0, "n_classes": 2.0, "mean_chars": 200.0}, "system/2",
    {"gpu_memory_gib": 0.0}, None, "a processor, 2 cores",
)  # fmt: skip
FULL = Pipeline(
    "bert-base-uncased", "full",
    {"learning_rate": 5e-5, "batch_size": 16, "epochs": 2, "max_length": 128, "train_fraction": 1.0, "dropout": 0.1},
)  # fmt: skip
HEAD = Pipeline("bert-base-uncased", "head", {"c": 1.0, "max_length": 128, "train_fraction": 1.0})
BOOK = ModelBook()


def trial(
    experience, pipeline: Pipeline = FULL, factor: float = 2.0, profile: Profile = HERE, cached_s: float = 0.0
) -> Experience:
    blank = replace(experience(pipeline), profile=profile)
    model = BOOK.find(pipeline.model)
    assert model is not None
    work = work_of(pipeline.method, pipeline.params, model, Setting.of(blank), DEFAULT_SPEED)
    assert work is not None
    cost = Cost(time_s=factor * work.time_s, cached_s=cached_s, peak_mem_mib=factor * work.memory_mib)
    return replace(blank, result=TrialResult(0, "ok", pipeline, {"f1": 0.5}, cost, 0))


def learn(*experiences: Experience):
    return learn_residuals(experiences, BOOK, HERE, DEFAULT_SPEED)


def test_a_factor_that_all_trials_share_is_learned(experience) -> None:
    learned = learn(*[trial(experience)] * 40)
    (memory,) = [value for key, value in learned.items() if key.startswith("memory full")]
    assert memory.factor == pytest.approx(2.0, rel=0.15)
    assert learned[time_key("full")].factor == pytest.approx(2.0, rel=0.15)
    assert memory.weight == MAX_WEIGHT, "a run's own trials can still correct it"


def test_seconds_of_other_machines_say_nothing_but_their_memory_does(experience) -> None:
    learned = learn(trial(experience, profile=replace(HERE, system_name="another, 64 cores")))
    assert [key.split()[0] for key in learned] == ["memory"]


def test_cards_say_nothing_about_processors(experience) -> None:
    assert learn(trial(experience, profile=replace(HERE, system={"gpu_memory_gib": 24.0}))) == {}


def test_a_head_on_cached_features_says_nothing_about_memory(experience) -> None:
    fresh, cached = trial(experience, HEAD), trial(experience, HEAD, cached_s=3.0)
    assert any(key.startswith("memory head") for key in learn(fresh))
    assert list(learn(cached)) == [time_key("head")]


def test_published_and_failed_trials_are_left_out(experience) -> None:
    done = trial(experience)
    failed = replace(done, result=replace(done.result, status="oom", scores={}))
    assert learn(replace(done, space_version="published/1"), failed) == {}
    assert memory_key("full", "state") == "memory full state"
