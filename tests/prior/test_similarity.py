"""Distances between tasks: finite whatever the features, with weights over the groups that are there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xautolm.prior.similarity import DistanceOptions, distances, is_same_data, normalised
from xautolm.records import Profile

MakeProfile = Callable[..., Profile]


def test_nearer_task_has_the_smaller_distance_and_the_same_task_none(profile: MakeProfile) -> None:
    current = profile(1000, 2)
    d = distances(current, [profile(1000, 2), profile(1500, 2), profile(100_000, 40)])
    assert d[0] == 0
    assert 0 < d[1] < d[2]


def test_missing_embedding_rescales_the_other_weights(profile: MakeProfile) -> None:  # defect 11
    far = profile(100_000, 40, semantic=(0.0, 1.0))
    near = profile(1200, 2, semantic=(1.0, 0.1))
    without = distances(profile(1000, 2), [far, near])
    with_embedding = distances(profile(1000, 2, semantic=(1.0, 0.0)), [far, near])
    assert np.isfinite(without).all()
    task_only = distances(profile(1000, 2), [far, near], DistanceOptions(system_weight=0.0))
    assert without == pytest.approx(task_only * 0.4 / 0.7)
    assert with_embedding[0] == pytest.approx(without[0] * 0.7 + 0.3 * 1.0)


def test_profile_without_a_common_schema_is_put_farthest(profile: MakeProfile) -> None:
    stranger = replace(profile(), schema="generation/1", system_schema="system/0")
    d = distances(profile(1000, 2), [profile(2000, 2), stranger, profile(9000, 9)])
    assert d[1] == d[2] > d[0]
    assert distances(profile(), [stranger]).tolist() == [1.0]
    assert distances(profile(), []).tolist() == []


@pytest.mark.parametrize("normalizer", ["log", "min-max", "standard"])
def test_constant_columns_do_not_count(normalizer: str) -> None:
    rows = np.array([[5.0, 1.0], [5.0, 2.0], [5.0, 4.0]])
    out = normalised(rows, [normalizer])  # type: ignore[list-item]
    assert np.isfinite(out).all()
    assert len(set(out[:, 0])) == 1


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.tuples(finite, st.floats(), st.floats(-1, 1), st.booleans()), min_size=2, max_size=6),
    metric=st.sampled_from(["euclidean", "cosine", "manhattan"]),
    normalizers=st.lists(st.sampled_from(["log", "min-max", "standard"]), max_size=3),
)
def test_distances_are_always_finite_and_not_negative(
    profile: MakeProfile, values: list[tuple[float, float, float, bool]], metric: str, normalizers: list[str]
) -> None:
    profiles = [profile(a, b, semantic=(c, 0.0) if has else None) for a, b, c, has in values]
    options = DistanceOptions(metric=metric, normalizers=tuple(normalizers))  # type: ignore[arg-type]
    d = distances(profiles[0], profiles[1:], options)
    assert d.shape == (len(profiles) - 1,)
    assert all(math.isfinite(x) and x >= 0 for x in d)


def test_same_data_is_known_by_fingerprint_or_by_a_tenth_of_the_rows() -> None:
    rows = tuple(range(100))
    assert is_same_data("a", (), "a", ())
    assert is_same_data("a", rows, "b", tuple(range(80, 180)))
    assert not is_same_data("a", rows, "b", tuple(range(95, 195)))
