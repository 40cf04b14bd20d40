"""What past experience says, as plain records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from xautolm.experience.groups import ExperienceGroup
from xautolm.prior.evidence import Rated, rate_groups
from xautolm.prior.explanation import THIS_TASK, Decision, counted, decisions, near_tasks, task_table
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import ReferenceOptions, replay, weighed
from xautolm.prior.similarity import DistanceOptions, distances
from xautolm.records import Experience, Pipeline, Profile
from xautolm.space.params import Space

MakeProfile = Callable[..., Profile]
MakeExperience = Callable[..., Experience]


@pytest.fixture
def group(profile: MakeProfile) -> Callable[..., ExperienceGroup]:
    def make(task_id: int, name: str, rows: float, *, system_id: int = 1, **facts: object) -> ExperienceGroup:
        given = {"kind": "text-classification", "fingerprint": f"fp-{name}", "sketch": (), **facts}
        return ExperienceGroup(
            task_id, system_id, dataset_id=name, profile=profile(rows), n_experiences=5, n_ok=3, **given
        )  # type: ignore[arg-type]

    return make


def test_a_task_on_two_machines_is_one_line_at_its_nearest(
    group: Callable[..., ExperienceGroup], profile: MakeProfile
) -> None:
    groups = [group(1, "a", 9000.0), group(2, "a", 1100.0, system_id=2), group(3, "b", 5000.0)]
    groups.append(group(4, "a", 2000.0, kind="question-answering"))
    rated = rate_groups(groups, profile(1000), "fp-mine", (), DistanceOptions())
    near = near_tasks(rated)
    assert [(task.dataset_id, task.kind) for task in near] == [
        ("a", "text-classification"),
        ("a", "question-answering"),
        ("b", "text-classification"),
    ]
    assert (near[0].n_experiences, near[0].n_ok, near[0].n_machines) == (10, 6, 2)
    assert near[0].distance == pytest.approx(distances(profile(1000), [g.profile for g in groups])[1])
    assert set(near[0].groups) == {"task", "system"}


def test_weights_are_the_learning_rates_of_what_counts(
    space: Space,
    group: Callable[..., ExperienceGroup],
    experience: MakeExperience,
    pipeline: Callable[..., Pipeline],
    profile: MakeProfile,
) -> None:
    made = [
        experience(pipeline("s"), dataset="a", f1=0.9, time_s=5.0),
        experience(pipeline("m"), dataset="a", f1=0.3, time_s=50.0),  # utility 0: changes nothing
        experience(pipeline("l"), dataset="a", status="oom"),
        experience(Pipeline("gone", "carp", {}), dataset="b"),
    ]
    rated = [Rated(e, 0.0, {}) for e in made]
    _, used = replay(space, weighed(rated), ReferenceOptions())
    near = near_tasks(
        rate_groups([group(1, "a", 1000.0), group(2, "b", 1000.0)], profile(1000), "x", (), DistanceOptions()), used
    )
    assert (near[0].n_positive, near[0].n_negative) == (1, 1)
    assert near[0].weight_positive == pytest.approx(0.05)
    assert near[0].weight_negative == pytest.approx(-0.02)
    assert (near[1].n_positive, near[1].n_negative, near[1].weight_positive) == (0, 0, 0)
    assert [(item.dataset_id, item.weight > 0) for item in counted(used)] == [("a", True), ("a", False)]


def test_table_starts_with_this_task_and_holds_the_listed_distances(
    group: Callable[..., ExperienceGroup], profile: MakeProfile
) -> None:
    groups = [group(i, f"t{i}", 500.0 * 2**i) for i in range(20)]
    rated = rate_groups(groups, profile(1000), "fp-mine", (), DistanceOptions())
    names, table = task_table(profile(1000), rated, DistanceOptions())
    assert names[0] == THIS_TASK
    assert len(names) == len(table) == 15
    assert list(table[0][1:]) == pytest.approx([item.distance for item in rated[:14]])
    assert all(table[i][j] == pytest.approx(table[j][i]) for i in range(15) for j in range(15))
    assert task_table(profile(1000), [], DistanceOptions()) == ((THIS_TASK,), ((0.0,),))


def test_decisions_start_with_the_method_and_the_model_over_all_methods(
    space: Space, pipeline: Callable[..., Pipeline]
) -> None:
    cold = SearchModel.uniform(space)
    warm = cold.updated([Pipeline("s", "head", {"c": 0.001})], 0.5)
    listed = decisions(cold, warm)
    assert [d.handle for d in listed][:3] == ["method", "model", "full.model"]
    model = listed[1]
    assert model.before["weights"] == pytest.approx({"s": 1 / 3, "m": 1 / 3, "l": 1 / 3})
    head = 1 / 1.5  # weight of the method after the update
    s_in_head = (1 / 3 + 0.5) / 1.5
    assert model.after["weights"]["s"] == pytest.approx(head * s_in_head + (1 - head) / 3)
    assert sum(model.after["weights"].values()) == pytest.approx(1.0)
    shifts = {d.handle: d.shift for d in listed}
    assert shifts["full.batch_size"] == 0
    assert shifts["method"] == pytest.approx(head - 0.5)
    assert 0 < shifts["head.c"] <= 1
    json.dumps([d.before for d in listed], allow_nan=False)


def test_shift_of_a_logarithmic_number_is_measured_on_the_logarithm() -> None:
    before = {"kind": "float", "p10": 1e-5, "p50": 1e-4, "p90": 1e-3}
    moved = Decision("full.learning_rate", before, {**before, "p50": 1e-3})
    assert moved.shift == pytest.approx(0.5)
    plain = {"kind": "int", "p10": 2, "p50": 5, "p90": 8}
    assert Decision("full.epochs", plain, {**plain, "p50": 8}).shift == pytest.approx(0.5)
    same = replace(moved, after=before)
    assert same.shift == 0
