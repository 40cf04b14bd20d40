"""How far past tasks are from the current one, by their meta-features.

Three groups of features: task 0.4, semantic 0.3 and system 0.3 (published weights). A group that one of the
two profiles lacks is left out and the other weights are scaled up, so a distance is always finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from xautolm.data.fingerprint import sketch_containment
from xautolm.records import Profile

Array = npt.NDArray[np.float64]
Normalizer = Literal["log", "min-max", "standard"]
Metric = Literal["euclidean", "cosine", "manhattan"]

#: Two data sets are the same data when more than this share of the smaller one is in the other.
SAME_DATA_CONTAINMENT = 0.1


@dataclass(frozen=True, slots=True)
class DistanceOptions:
    """How profiles are compared.

    Attributes:
        task_weight: weight of the task features; like the next two relative to the groups that are available.
        semantic_weight: weight of the mean text embedding.
        system_weight: weight of the machine features.
        normalizers: applied in order to the task and to the system features, over all profiles together.
            The embedding is not normalised: its direction is what carries meaning.
        metric: distance between task and between system features.
        semantic_metric: distance between mean embeddings.
    """

    task_weight: float = 0.4
    semantic_weight: float = 0.3
    system_weight: float = 0.3
    normalizers: tuple[Normalizer, ...] = ("log", "min-max")
    metric: Metric = "euclidean"
    semantic_metric: Metric = "cosine"


def is_same_data(fingerprint: str, sketch: Sequence[int], other_fingerprint: str, other: Sequence[int]) -> bool:
    """Whether two data sets are the same rows, or one is largely part of the other."""
    return fingerprint == other_fingerprint or sketch_containment(sketch, other) > SAME_DATA_CONTAINMENT


def distances(
    current: Profile, others: Sequence[Profile], options: DistanceOptions | None = None
) -> npt.NDArray[np.float64]:
    """Distance of each profile to the current one, (n_others,), finite and not negative.

    A profile that shares no group with the current one is put at the largest distance of the others, or at 1.
    """
    options = options or DistanceOptions()
    groups = (
        (options.task_weight, _feature_distances(current, others, _task_features, options)),
        (options.system_weight, _feature_distances(current, others, _system_features, options)),
        (options.semantic_weight, _semantic_distances(current, others, options)),
    )
    total, weight = np.zeros(len(others)), np.zeros(len(others))
    for group_weight, distance in groups:
        known = np.isfinite(distance)
        total[known] += group_weight * distance[known]
        weight[known] += group_weight
    comparable = weight > 0
    total[comparable] /= weight[comparable]
    total[~comparable] = total[comparable].max() if comparable.any() else 1.0
    return total


def normalised(rows: Array, normalizers: Sequence[Normalizer]) -> Array:
    """Apply normalisers in order, column by column; constant columns become 0.

    Args:
        rows: (n_rows, n_features), finite.
        normalizers: names from `NORMALIZERS`.

    >>> normalised(np.array([[1.0, 7.0], [3.0, 7.0]]), ["min-max"]).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    for name in normalizers:
        rows = NORMALIZERS[name](rows)
    return rows


def _log(rows: Array) -> Array:
    return np.asarray(np.sign(rows) * np.log1p(np.abs(rows)))


def _min_max(rows: Array) -> Array:
    low = rows.min(axis=0)
    return _divided(rows - low, rows.max(axis=0) - low)


def _standard(rows: Array) -> Array:
    return _divided(rows - rows.mean(axis=0), rows.std(axis=0))


def _divided(rows: Array, scale: Array) -> Array:
    """Rows over a column scale; a column that does not vary (up to rounding) becomes 0."""
    varies = scale > 1e-12
    return np.where(varies, rows / np.where(varies, scale, 1.0), 0.0)


NORMALIZERS: Mapping[Normalizer, Callable[[Array], Array]] = MappingProxyType(
    {"log": _log, "min-max": _min_max, "standard": _standard}
)


def vector_distances(rows: Array, point: Array, metric: Metric) -> Array:
    """Distance of each row to a point, (n_rows,). Cosine distance of a zero vector: 0 to another one, else 1.

    >>> vector_distances(np.array([[0.0, 2.0], [0.0, 0.0]]), np.array([3.0, 0.0]), "cosine").tolist()
    [1.0, 1.0]
    """
    if metric == "euclidean":
        return np.asarray(np.sqrt(((rows - point) ** 2).sum(axis=1)))
    if metric == "manhattan":
        return np.asarray(np.abs(rows - point).sum(axis=1))
    lengths, length = np.sqrt((rows**2).sum(axis=1)), float(np.sqrt((point**2).sum()))
    both = lengths * length > 0
    cosine = (rows @ point) / np.where(both, lengths * length, 1.0)
    neither = (lengths == 0) & (length == 0)
    return np.where(both, np.clip(1.0 - cosine, 0.0, 2.0), np.where(neither, 0.0, 1.0))


def _task_features(profile: Profile) -> tuple[str, Mapping[str, float]]:
    return profile.schema, profile.task


def _system_features(profile: Profile) -> tuple[str, Mapping[str, float]]:
    return profile.system_schema, profile.system


def _feature_distances(
    current: Profile,
    others: Sequence[Profile],
    group: Callable[[Profile], tuple[str, Mapping[str, float]]],
    options: DistanceOptions,
) -> Array:
    """Distances in one group of named features; NaN for profiles of another schema."""
    schema, features = group(current)
    result = np.full(len(others), np.nan)
    same = [i for i, other in enumerate(others) if group(other)[0] == schema and features]
    if not same:
        return result
    names = sorted(features)
    table = [[group(others[i])[1].get(name, np.nan) for name in names] for i in same]
    rows = _imputed(np.asarray([*table, [features[name] for name in names]], dtype=float))
    rows = normalised(rows, options.normalizers)
    result[same] = vector_distances(rows[:-1], rows[-1], options.metric)
    return result


def _imputed(rows: Array) -> Array:
    """Replace what is not finite by the column's median; keep squares of what is finite finite."""
    finite = np.isfinite(rows)
    medians = [float(np.median(c[f])) if f.any() else 0.0 for c, f in zip(rows.T, finite.T, strict=True)]
    return np.clip(np.where(finite, rows, np.asarray(medians)), -1e100, 1e100)


def _semantic_distances(current: Profile, others: Sequence[Profile], options: DistanceOptions) -> Array:
    """Distances of the mean embeddings; NaN where one is missing or has another length."""
    result = np.full(len(others), np.nan)
    point = current.semantic
    if not point or not np.isfinite(point).all():
        return result
    for i, other in enumerate(others):
        if other.semantic and len(other.semantic) == len(point):
            row = np.asarray([other.semantic], dtype=float)
            result[i] = vector_distances(row, np.asarray(point, dtype=float), options.semantic_metric)[0]
    return result
