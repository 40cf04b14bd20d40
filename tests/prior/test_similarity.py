"""Distances between tasks: finite whatever the features, over what two profiles share, robust against absurd rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xautolm.metafeatures import PUBLISHED_CLASSIFICATION
from xautolm.metafeatures.machine import system_features
from xautolm.prior.normalisers import normalised
from xautolm.prior.similarity import (
    GROUPS,
    PUBLISHED_FEATURES,
    DistanceOptions,
    combined,
    distance_parts,
    distance_table,
    distances,
    is_same_data,
)
from xautolm.records import Profile

MakeProfile = Callable[..., Profile]
#: Without units, so that figures can be worked out by hand.
PLAIN = DistanceOptions(task_unit=1.0, semantic_unit=1.0, system_unit=1.0)
BOTH_FORMS = [DistanceOptions(), DistanceOptions.published()]


@pytest.mark.parametrize("options", BOTH_FORMS, ids=["full", "published"])
def test_nearer_task_has_the_smaller_distance_and_the_same_task_none(
    profile: MakeProfile, options: DistanceOptions
) -> None:
    current = profile(1000, 2)
    d = distances(current, [profile(1000, 2), profile(1500, 2), profile(100_000, 40)], options)
    assert d[0] == 0
    assert 0 < d[1] < d[2]


def test_missing_embedding_leaves_its_weight_to_the_task_features(profile: MakeProfile) -> None:  # defect 11
    here = profile(1000, 2, semantic=(1.0, 0.0))
    far = profile(100_000, 40, semantic=(0.0, 1.0))
    away = replace(far, system={"ram_gib": 512.0, "gpu_memory_gib": 0.0})
    without = replace(away, semantic=None)
    parts = distance_parts(here, [away, without])
    task, system = parts["task"][0], parts["system"][0]
    d = distances(here, [away, without])
    assert d[0] == pytest.approx(0.4 * task + 0.3 * parts["semantic"][0] + 0.3 * system)
    assert d[1] == pytest.approx(0.7 * task + 0.3 * system)
    no_machine = replace(without, system={})
    assert distances(here, [no_machine])[0] == pytest.approx(task)
    no_features = replace(away, task={})
    assert distances(here, [no_features])[0] == pytest.approx(0.7 * parts["semantic"][0] + 0.3 * system)
    switched_off = DistanceOptions(semantic_weight=0.0)
    assert distances(here, [away], switched_off)[0] == pytest.approx((0.4 * task + 0.3 * system) / 0.7)


def test_parts_are_what_the_distance_is_made_of(profile: MakeProfile) -> None:
    others = [profile(100_000, 40, semantic=(0.0, 1.0)), profile(1200, 2)]
    parts = distance_parts(profile(1000, 2, semantic=(1.0, 0.0)), others)
    assert set(parts) == set(GROUPS)
    assert parts["semantic"][0] == pytest.approx(1.0 / DistanceOptions().semantic_unit)
    assert math.isnan(parts["semantic"][1])
    assert parts["system"].tolist() == [0.0, 0.0]
    expected = 0.4 * parts["task"][0] + 0.3 * parts["semantic"][0]
    assert combined(parts, DistanceOptions())[0] == pytest.approx(expected)


def test_profile_without_a_common_feature_is_put_farthest(profile: MakeProfile) -> None:
    stranger = replace(profile(), task={"n_pages": 7.0}, system={"n_disks": 2.0})
    d = distances(profile(1000, 2), [profile(2000, 2), stranger, profile(9000, 9)])
    assert d[1] == d[2] > d[0]
    assert distances(profile(), [stranger]).tolist() == [1.0]
    assert distances(profile(), []).tolist() == []
    assert distances(profile(), [profile()], DistanceOptions(0, 0, 0)).tolist() == [1.0]


def test_the_same_machine_does_not_make_unknown_tasks_near(profile: MakeProfile) -> None:
    stranger = replace(profile(), schema="generation/1", task={"n_pages": 7.0})
    d = distances(profile(1000, 2), [profile(2000, 2), stranger, profile(9000, 9)])
    assert d[1] == d[2] > d[0] > 0
    embedded = replace(stranger, semantic=(1.0, 0.1))
    by_meaning = distances(profile(1000, 2, semantic=(1.0, 0.0)), [profile(9000, 9), embedded])
    assert by_meaning[1] < by_meaning[0], "an embedding tells enough"


def test_schemas_of_different_age_and_kind_are_compared_over_the_names_they_share() -> None:
    old = Profile("classification/1", {"n_train": 100.0, "n_classes": 2.0}, "system/1", {"ram_gib": 8.0})
    new = replace(old, schema="classification/2", task={**old.task, "vocabulary": 900.0}, system_schema="system/2")
    answers = Profile("generation/1", {"n_train": 100.0, "mean_prompt_chars": 50.0}, "system/2", {"ram_gib": 64.0})
    far = replace(new, task={"n_train": 1e5, "n_classes": 2000.0, "vocabulary": 9e5})
    parts = distance_parts(new, [old, answers, far], PLAIN)
    # Two of the three features exist in one kind of task only; a feature of an older release is not held against it.
    assert parts["task"].tolist() == pytest.approx([0.0, math.sqrt(2 / 3), 1.0])
    assert parts["system"].tolist() == pytest.approx([0.0, math.log(8) / math.log(1000), 0.0])


def test_distance_over_some_of_the_features_is_scaled_to_all_of_them(profile: MakeProfile) -> None:
    """Without it a profile would look nearer for every feature that it lacks."""
    here = Profile("t/2", {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, "s/1", {})
    whole = replace(here, task=dict.fromkeys("abcd", 1.0))
    part = replace(here, schema="t/1", task={"a": 1.0})
    unscaled = replace(PLAIN, normalizers=(), is_per_feature=False)
    assert distance_parts(here, [whole, part], unscaled)["task"].tolist() == [2.0, 2.0]
    manhattan = replace(unscaled, metric="manhattan")
    assert distance_parts(here, [whole, part], manhattan)["task"].tolist() == [4.0, 4.0]
    for metric in ("euclidean", "manhattan"):
        per_feature = replace(unscaled, metric=metric, is_per_feature=True)
        assert distance_parts(here, [whole, part], per_feature)["task"].tolist() == [1.0, 1.0]


def test_what_only_an_embedding_could_tell_is_not_taken_for_a_measured_zero() -> None:
    embedded = Profile("c/2", {"n_train": 9.0, "neighbour_landmark": 0.8}, "s/1", {}, (1.0, 0.0))
    without = replace(embedded, task={"n_train": 9.0, "neighbour_landmark": 0.0}, semantic=None)
    assert distance_parts(without, [embedded])["task"].tolist() == [0.0]
    assert distance_parts(embedded, [without])["task"].tolist() == [0.0]
    really_none = replace(embedded, task={"n_train": 9.0, "neighbour_landmark": 0.0})
    assert distance_parts(embedded, [really_none])["task"][0] > 0.5


def test_cosine_over_shared_features_leaves_the_others_out() -> None:
    here = Profile("t/2", {"a": 1.0, "b": 0.0, "c": 5.0}, "s/1", {})
    other = Profile("t/1", {"a": 2.0, "b": 2.0}, "s/1", {})
    parts = distance_parts(here, [other], replace(PLAIN, metric="cosine", normalizers=()))
    assert parts["task"][0] == pytest.approx(1 - math.sqrt(0.5))


def test_published_form_sees_the_published_features_only() -> None:
    names = {*PUBLISHED_CLASSIFICATION, *list(system_features())[:5]}
    assert names <= PUBLISHED_FEATURES
    here = Profile("classification/2", {"n_train": 10.0, "vocabulary": 1.0}, "system/2", {"speed": 1.0})
    other = replace(here, task={"n_train": 10.0, "vocabulary": 99.0}, system={"speed": 9.0})
    parts = distance_parts(here, [other], DistanceOptions.published())
    assert parts["task"].tolist() == [0.0]
    assert math.isnan(parts["system"][0])


def test_published_form_is_the_published_arithmetic() -> None:
    """Three tasks by hand: log, min-max over all of them, Euclidean; 0.4 task + 0.3 semantic + 0.3 system."""
    make = lambda n, ram, semantic: Profile("c/1", {"n_train": n}, "s/1", {"ram_gib": ram}, semantic)  # noqa: E731
    here, a, b = make(99, 7, (1.0, 0.0)), make(999, 7, (0.0, 1.0)), make(9999, 63, (1.0, 0.0))
    task = [0.5, 1.0]  # log1p: 2, 3 and 4 times ln 10
    system = [0.0, 1.0]
    expected = [0.4 * task[0] + 0.3 * 1.0 + 0.3 * system[0], 0.4 * task[1] + 0.3 * 0.0 + 0.3 * system[1]]
    assert distances(here, [a, b], DistanceOptions.published()) == pytest.approx(expected)


@pytest.mark.parametrize("absurd", [1e9, 1e300, -1e300])
def test_one_absurd_row_does_not_flatten_the_others(profile: MakeProfile, absurd: float) -> None:
    here = profile(1000, 2)
    others = [profile(500 * 2.0**i, 2 + i) for i in range(8)]
    with_absurd = [*others, profile(absurd, absurd)]
    before, after = distances(here, others), distances(here, with_absurd)
    assert after[:-1] == pytest.approx(before)
    assert before.max() < after[-1] < 20
    clipped = DistanceOptions(normalizers=("log", "clip", "min-max"))
    published = DistanceOptions.published()
    shrunk = {
        name: float((distances(here, with_absurd, form)[:-1] / distances(here, others, form)).max())
        for name, form in (("clipped", clipped), ("published", published))
    }
    assert shrunk["clipped"] > 0.35 > shrunk["published"], "as published, all others look alike"


def test_distance_does_not_depend_on_what_else_is_in_the_store(profile: MakeProfile) -> None:
    here, there = profile(1000, 2), profile(1200, 3)
    alone = distances(here, [there])[0]
    assert distances(here, [there, profile(900_000, 400), profile(10, 2)])[0] == pytest.approx(alone)
    assert alone < 0.2, "two near tasks are near, also when there are no others"
    published = DistanceOptions.published()
    assert distances(here, [there], published)[0] > 3 * alone, "the published form stretches them to the whole range"


def test_table_is_symmetric_with_a_diagonal_of_zeros(profile: MakeProfile) -> None:
    profiles = [profile(10.0**i, i, semantic=(1.0, float(i))) for i in range(1, 5)]
    table = distance_table(profiles)
    assert table == pytest.approx(table.T)
    assert np.diag(table) == pytest.approx([0.0] * 4)
    assert table[0, 1:] == pytest.approx(distances(profiles[0], profiles[1:]))
    assert distance_table([]).shape == (0, 0)


def test_embeddings_of_different_models_are_never_compared(profile: MakeProfile) -> None:
    parts = distance_parts(
        profile(semantic=(1.0, 0.0)),
        [profile(semantic=(1.0, 0.0, 0.0)), profile(semantic=(math.nan, 1.0)), profile(semantic=())],
    )
    assert np.isnan(parts["semantic"]).all()


@pytest.mark.parametrize("normalizer", ["log", "min-max", "standard", "fixed", "clip", "rank"])
def test_constant_columns_do_not_count_and_absent_values_stay_absent(normalizer: str) -> None:
    rows = np.array([[5.0, 1.0], [5.0, 2.0], [5.0, np.nan]])
    out = normalised(rows, [normalizer])  # type: ignore[list-item]
    assert np.isnan(out).tolist() == np.isnan(rows).tolist()
    assert len(set(out[:, 0])) == 1
    assert out[1, 1] > out[0, 1]


def test_clip_leaves_ordinary_columns_alone() -> None:
    rng = np.random.default_rng(0)
    columns = np.column_stack([rng.normal(size=200), rng.random(200), rng.integers(0, 2, 200)])
    assert (normalised(columns, ["clip"]) == columns).all()


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.tuples(finite, st.floats(), finite, st.booleans(), st.booleans()), min_size=2, max_size=6),
    metric=st.sampled_from(["euclidean", "cosine", "manhattan"]),
    normalizers=st.lists(st.sampled_from(["log", "min-max", "standard", "fixed", "clip", "rank"]), max_size=4),
    is_per_feature=st.booleans(),
)
def test_distances_are_always_finite_and_not_negative(
    profile: MakeProfile,
    values: list[tuple[float, float, float, bool, bool]],
    metric: str,
    normalizers: list[str],
    is_per_feature: bool,
) -> None:
    profiles = []
    for a, b, c, has, is_short in values:
        one = profile(a, b, semantic=(c, 0.0) if has else None)
        profiles.append(replace(one, task={"n_train": a}) if is_short else one)
    options = DistanceOptions(metric=metric, normalizers=tuple(normalizers), is_per_feature=is_per_feature)  # type: ignore[arg-type]
    d = distances(profiles[0], profiles[1:], options)
    assert d.shape == (len(profiles) - 1,)
    assert all(math.isfinite(x) and x >= 0 for x in d)


def test_same_data_is_known_by_fingerprint_or_by_a_tenth_of_the_rows() -> None:
    rows = tuple(range(100))
    assert is_same_data("a", (), "a", ())
    assert is_same_data("a", rows, "b", tuple(range(80, 180)))
    assert not is_same_data("a", rows, "b", tuple(range(95, 195)))
