"""Which experiences are read for a prior, in which order, and how far their tasks are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.store import ExperienceStore
from xautolm.prior.evidence import Rated, nearest, rate
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience, Pipeline, Profile

MakeExperience = Callable[..., Experience]
MakeProfile = Callable[..., Profile]


class Memory:
    """A store that remembers what was read of it."""

    def __init__(self, groups: dict[str, list[Experience]]) -> None:
        self._members = list(groups.values())
        self.asked: list[object] = []

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        self.asked = [kind, exclude_datasets]
        firsts = [members[0] for members in self._members]
        return [
            ExperienceGroup(
                i, 1, e.kind, e.dataset_id, e.fingerprint, e.sketch, e.profile, len(self._members[i]), 0
            )
            for i, e in enumerate(firsts)
            if e.dataset_id not in exclude_datasets
        ]  # fmt: skip

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        return [experience for group in groups for experience in self._members[group.task_id]][:limit]


@pytest.fixture
def store(experience: MakeExperience, profile: MakeProfile) -> Memory:
    def task(name: str, features: Profile, n: int, sketch: tuple[int, ...] = ()) -> list[Experience]:
        made = [experience(Pipeline("m", "head", {"c": 1.0 + i}), dataset=name, features=features) for i in range(n)]
        return [replace(e, sketch=sketch, profile=replace(e.profile)) for e in made]

    return Memory(
        {
            "far": task("far", profile(1_000_000, 50), 3),
            "near": task("near", profile(1200, 2), 3),
            "part": task("part", profile(500_000, 9), 2, sketch=tuple(range(50))),
        }
    )


def read(store: Memory, profile: Profile, **given: object) -> list[Rated]:
    return nearest(
        store,  # type: ignore[arg-type]
        "text-classification",
        profile,
        "fp-mine",
        tuple(range(100)),
        options=DistanceOptions.published(),
        **given,  # type: ignore[arg-type]
    )


def test_nearest_tasks_come_first_and_the_same_data_at_distance_0(store: Memory, profile: MakeProfile) -> None:
    rated = read(store, profile(1000, 2))
    assert [item.experience.dataset_id for item in rated] == ["part"] * 2 + ["near"] * 3 + ["far"] * 3
    assert [item.distance for item in rated[:2]] == [0.0, 0.0]
    assert 0 < rated[2].distance < rated[-1].distance
    assert rated[0].groups["task"] > 0, "the parts stay what the profiles say"
    assert set(rated[-1].groups) == {"task", "system"}


def test_what_is_farther_than_the_limit_is_not_read(store: Memory, profile: MakeProfile) -> None:
    rated = read(store, profile(1000, 2), limit=4)
    assert [item.experience.dataset_id for item in rated] == ["part"] * 2 + ["near"] * 2


def test_the_store_is_asked_for_one_kind_without_the_left_out_data_sets(store: Memory, profile: MakeProfile) -> None:
    rated = read(store, profile(1000, 2), exclude_datasets=("near",))
    assert store.asked == ["text-classification", ("near",)]
    assert {item.experience.dataset_id for item in rated} == {"part", "far"}
    assert read(Memory({}), profile()) == []


def test_experiences_in_memory_are_rated_as_those_of_a_store(store: Memory, profile: MakeProfile) -> None:
    everything = store.load_groups(store.groups())
    rated = rate(everything, profile(1000, 2), "fp-mine", tuple(range(100)), DistanceOptions.published())
    assert rated == read(store, profile(1000, 2))


def test_two_machines_of_one_task_have_distances_of_their_own(experience: MakeExperience, profile: MakeProfile) -> None:
    here = profile(1000, 2)
    small = experience(Pipeline("m", "head", {}), features=here)
    large = replace(small, profile=replace(here, system={"ram_gib": 512.0, "gpu_memory_gib": 80.0}))
    rated = rate([large, small], here, "fp-mine", (), DistanceOptions.published())
    assert [item.experience for item in rated] == [small, large]
    assert rated[0].distance == 0 < rated[1].distance


def test_a_real_store_gives_the_same_newest_first(tmp_path: Path, store: Memory, profile: MakeProfile) -> None:
    everything = store.load_groups(store.groups())
    numbered = [replace(e, result=replace(e.result, trial_id=i)) for i, e in enumerate(everything)]
    with ExperienceStore(f"sqlite:///{tmp_path / 'store.db'}") as real:
        real.add(numbered)
        rated = read(real, profile(1000, 2), limit=7)  # type: ignore[arg-type]
        assert [item.experience.result.trial_id for item in rated] == [7, 6, 5, 4, 3, 2, 1]
        by_data = {item.experience.dataset_id: (item.distance, item.groups) for item in rated}
    in_memory = read(store, profile(1000, 2))
    assert by_data == {item.experience.dataset_id: (item.distance, item.groups) for item in in_memory}
