"""The memory baseline: which experiences it takes, as published and repaired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xautolm.prior.evidence import rate
from xautolm.prior.knn import KnnOptions, build_knn_prior
from xautolm.prior.model import SearchModel
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Pipeline, Prior, Profile
from xautolm.space.params import Space

MakePipeline = Callable[..., Pipeline]
MakeExperience = Callable[..., Experience]
MakeProfile = Callable[..., Profile]


@pytest.fixture
def build(space: Space, profile: MakeProfile) -> Callable[..., Prior]:
    def run(experiences: list[Experience], **options: object) -> Prior:
        rated = rate(experiences, profile(), "fp-mine", (), DistanceOptions())
        return build_knn_prior(space, rated, profile(), KnnOptions(**options))  # type: ignore[arg-type]

    return run


def likelihood(prior: Prior, pipeline: Pipeline) -> float:
    assert prior.model is not None
    return SearchModel.from_dict(prior.model).log_probability(pipeline)


def test_nothing_to_learn_from_gives_a_cold_prior(build: Callable[..., Prior]) -> None:
    assert build([]).n_experiences == 0
    assert build([], as_published=True).n_experiences == 0


@pytest.mark.parametrize("as_published", [False, True])
def test_k_of_each_are_taken_with_equal_rates(
    as_published: bool, build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    good = [experience(pipeline("s", epochs=e), f1=0.9, time_s=10.0 + e) for e in range(1, 11)]
    failed = [experience(pipeline("l", epochs=e), status="oom") for e in range(1, 11)]
    assert build([*good, *failed], k=4, as_published=as_published).n_experiences == 8
    prior = build([*good, *failed], k=10, as_published=as_published)
    assert (prior.kind, prior.n_experiences) == ("knn", 20)
    assert likelihood(prior, pipeline("s")) > likelihood(prior, pipeline("l"))


def test_published_takes_fast_trials_and_repaired_useful_ones(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    fast = [experience(pipeline("s", epochs=e), f1=0.2, time_s=100.0 + e) for e in range(1, 4)]
    good = [experience(pipeline("m", epochs=e), f1=0.9, time_s=160.0 + e) for e in range(1, 4)]
    slow = [experience(pipeline("l", epochs=e), f1=0.8, time_s=5000.0) for e in range(1, 4)]
    published = build([*fast, *good, *slow], k=3, as_published=True)
    repaired = build([*fast, *good, *slow], k=3)
    assert likelihood(published, pipeline("s")) > likelihood(published, pipeline("m"))
    assert likelihood(repaired, pipeline("m")) > likelihood(repaired, pipeline("s"))


def test_published_learns_from_the_farthest_failures_and_repaired_from_the_nearest(
    build: Callable[..., Prior], pipeline: MakePipeline, experience: MakeExperience, profile: MakeProfile
) -> None:
    near = [experience(pipeline("s"), status="oom", dataset="near", features=profile(1100)) for _ in range(2)]
    far = [experience(pipeline("l"), status="oom", dataset="far", features=profile(900_000)) for _ in range(2)]
    assert [n.dataset_id for n in build([*near, *far], k=2, as_published=True).neighbours] == ["far"]
    assert [n.dataset_id for n in build([*near, *far], k=2).neighbours] == ["near"]
