"""The published warm start: who teaches, who is blamed, how much, and that nothing breaks it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from xautolm.prior.blame import blamed
from xautolm.prior.decisions import Choice
from xautolm.prior.evidence import rate
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import ReferenceOptions, build_reference_prior
from xautolm.records import Experience, Pipeline, Prior, Profile, Status
from xautolm.space.params import Space

MakePipeline = Callable[..., Pipeline]
MakeExperience = Callable[..., Experience]
MakeProfile = Callable[..., Profile]


@pytest.fixture
def build(space: Space, profile: MakeProfile) -> Callable[..., Prior]:
    def run(experiences: list[Experience], **options: object) -> Prior:
        settings = ReferenceOptions(**options)  # type: ignore[arg-type]
        rated = rate(experiences, profile(), "fp-mine", tuple(range(100)), settings.distance)
        return build_reference_prior(space, rated, settings)

    return run


def weight(prior: Prior, handle: str, choice: object) -> float:
    assert prior.model is not None
    belief = SearchModel.from_dict(prior.model).beliefs[handle]
    assert isinstance(belief, Choice)
    return belief.weights[belief.choices.index(choice)]  # type: ignore[arg-type]


def test_no_experience_gives_a_cold_prior(build: Callable[..., Prior]) -> None:
    assert build([]) == Prior("none", 0, 0.0)


def test_good_pipelines_gain_and_failed_ones_lose(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    good = [experience(pipeline("s", epochs=e), f1=0.9, time_s=5.0) for e in range(1, 9)]
    poor = [experience(pipeline("m", epochs=e), f1=0.3, time_s=50.0) for e in range(1, 9)]
    failed = [experience(pipeline("l"), status="oom", kind="oom_train") for _ in range(8)]
    prior = build([*good, *poor, *failed])
    assert weight(prior, "full.model", "s") > weight(prior, "full.model", "m") > weight(prior, "full.model", "l")
    assert prior.n_experiences == 16  # the worst of a run has utility 0 and changes nothing
    assert (prior.kind, prior.weight) == ("reference", 1.0)
    assert [(n.dataset_id, n.n_positive, n.n_negative) for n in prior.neighbours] == [("other", 8, 8)]
    json.dumps(prior.model, allow_nan=False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("unavailable", "OSError"),
        ("interrupted", "disk"),
        ("stopped", "dominated"),
        ("crashed", "hang"),
        ("crashed", "RuntimeError"),
        ("ok", ""),
    ],
)
def test_what_is_not_the_pipelines_fault_teaches_nothing(
    status: Status, kind: str, build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    f1 = math.nan if status == "ok" else 0.0
    assert build([experience(pipeline(), status=status, kind=kind, f1=f1)]).n_experiences == 0


@pytest.mark.parametrize(
    ("status", "kind", "named", "spared"),
    [
        ("oom", "oom_train", "batch_size", "learning_rate"),
        ("timeout", "time_limit", "epochs", "learning_rate"),
        ("diverged", "nan", "learning_rate", "max_length"),
        ("invalid", "settings", "model", "batch_size"),
    ],
)
def test_only_the_interacting_decisions_are_blamed(  # defect 6
    status: Status, kind: str, named: str, spared: str, pipeline: MakePipeline, experience: MakeExperience
) -> None:
    names = blamed(experience(pipeline(), status=status, kind=kind).result)
    assert named in names
    assert spared not in names


def test_a_hundred_failures_weigh_no_more_than_the_limit(  # defect 2
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    failures = [experience(pipeline("l"), status="oom") for _ in range(50)]
    fifty, five_hundred = build(failures, beta_scale=0.0), build(failures * 10, beta_scale=0.0)
    assert weight(five_hundred, "full.batch_size", 8) == pytest.approx(weight(fifty, "full.batch_size", 8), rel=0.05)
    assert weight(five_hundred, "full.model", "l") > 0.02


def test_one_experience_cannot_decide_alone(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    prior = build([experience(pipeline("l"), status="oom")])
    assert prior.n_experiences == 1
    assert 0.28 < weight(prior, "full.model", "l") < 1 / 3


def test_near_tasks_count_more_and_own_data_most(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience, profile: MakeProfile
) -> None:
    far = profile(1_000_000, 50)
    runs = [
        experience(pipeline("s"), dataset="far", features=far),
        experience(pipeline("m"), dataset="near", features=profile(20_000, 5)),
        experience(pipeline("l"), dataset="subset", features=far, sketch=tuple(range(90, 140))),
    ]
    prior = build(runs)
    by_name = {n.dataset_id: n.distance for n in prior.neighbours}
    assert by_name["subset"] == 0 < by_name["near"] < by_name["far"]
    assert [n.dataset_id for n in prior.neighbours] == ["subset", "near", "far"]
    s, m, l_ = (weight(prior, "full.model", model) for model in "sml")
    assert l_ > m > s
    ignoring_distance = build(runs, beta_scale=0.0)
    assert weight(ignoring_distance, "full.model", "s") > s


def test_neighbours_tell_the_parts_of_their_distance(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience, profile: MakeProfile
) -> None:
    far = replace(profile(1_000_000, 50), system={"ram_gib": 64.0, "gpu_memory_gib": 0.0})
    prior = build([experience(pipeline("s"), dataset="far", features=far), experience(pipeline("m"))])
    near, distant = prior.neighbours
    assert near.groups == {"task": 0.0, "system": 0.0}
    assert distant.distance == pytest.approx(0.7 * distant.groups["task"] + 0.3 * distant.groups["system"])
    assert Prior.from_dict(json.loads(json.dumps(prior.to_dict()))) == prior


def test_the_order_in_which_experiences_are_read_does_not_matter(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    read = []
    for i in range(12):
        made = experience(pipeline("sml"[i % 3], epochs=1 + i % 4), status="ok" if i % 2 else "oom", f1=0.8)
        read.append(replace(made, result=replace(made.result, trial_id=i)))
    assert build(read) == build(read[::-1])
    assert build(read, k_positive=3) == build(read[::-1], k_positive=3)


def test_only_the_nearest_are_used_when_k_is_given(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience, profile: MakeProfile
) -> None:
    far = experience(pipeline("l"), dataset="far", features=profile(1_000_000, 50))
    near = experience(pipeline("s"), dataset="near")
    assert [n.dataset_id for n in build([far, near], k_positive=1).neighbours] == ["near"]


def test_experience_of_another_space_teaches_what_resolves(
    space: Space, build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience, profile: MakeProfile
) -> None:
    stranger = Pipeline("bert-large", "full", {"batch_size": 8, "optimizer": "sgd"})
    old = replace(profile(), schema="classification/0", system_schema="system/0")
    prior = build([experience(stranger, features=old), experience(Pipeline("x", "carp", {}))])
    assert prior.n_experiences == 1
    cold = SearchModel.informed(space, ReferenceOptions().default_share)
    assert weight(prior, "full.batch_size", 8) > math.exp(cold.beliefs["full.batch_size"].log_probability(8))
    assert weight(prior, "full.model", "s") == pytest.approx(1 / 3)


def test_ten_thousand_identical_experiences_are_quick_and_bounded(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    prior = build([experience(pipeline("s"))] * 10_000)
    assert prior.n_experiences == 10_000
    assert 1 / 3 < weight(prior, "full.model", "s") < 0.7
