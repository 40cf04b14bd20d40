"""How far past tasks are from the current one, by their meta-features.

Three groups of features: task 0.4, semantic 0.3 and system 0.3 (published weights). A group that one of the
two profiles lacks is left out and the other weights are scaled up, so a distance is always finite. Features
are compared by name: of profiles with different schemas, those that both have count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from xautolm.data.fingerprint import sketch_containment
from xautolm.prior.normalisers import Normalizer, normalised
from xautolm.records import Profile

Array = npt.NDArray[np.float64]
Metric = Literal["euclidean", "cosine", "manhattan"]

#: Two data sets are the same data when more than this share of the smaller one is in the other.
SAME_DATA_CONTAINMENT = 0.1
#: Parts of a distance, in the order in which they are shown.
GROUPS = ("task", "semantic", "system")
#: The features that the published system compares (`method.md` section 4).
PUBLISHED_FEATURES = frozenset(
    {
        *("n_train", "n_classes", "label_entropy_bits", "min_class_share", "max_class_share", "imbalance"),
        *("mean_chars", "std_chars", "cv_chars", "tree_landmark"),
        *("physical_cores", "logical_cores", "max_frequency_ghz", "ram_gib", "gpu_memory_gib"),
    }
)
#: Squares of what is smaller are finite.
_LARGEST = 1e100


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
        features: names of the task and system features that count; None = all.
        is_per_feature: whether the distances of task and system are divided by the root of the number of features
            (Euclidean) or by the number (Manhattan), so that a group does not weigh more for having more features.
    """

    task_weight: float = 0.4
    semantic_weight: float = 0.3
    system_weight: float = 0.3
    normalizers: tuple[Normalizer, ...] = ("log", "clip", "min-max")
    metric: Metric = "euclidean"
    semantic_metric: Metric = "cosine"
    features: frozenset[str] | None = None
    is_per_feature: bool = True

    @classmethod
    def published(cls) -> DistanceOptions:
        """The distance of the paper's code: its features, normalisers and weights (`method.md` 1.3)."""
        return cls(normalizers=("log", "min-max"), features=PUBLISHED_FEATURES, is_per_feature=False)

    @property
    def weights(self) -> Mapping[str, float]:
        """Group -> weight."""
        return {"task": self.task_weight, "semantic": self.semantic_weight, "system": self.system_weight}


def is_same_data(fingerprint: str, sketch: Sequence[int], other_fingerprint: str, other: Sequence[int]) -> bool:
    """Whether two data sets are the same rows, or one is largely part of the other."""
    return fingerprint == other_fingerprint or sketch_containment(sketch, other) > SAME_DATA_CONTAINMENT


def distances(current: Profile, others: Sequence[Profile], options: DistanceOptions | None = None) -> Array:
    """Distance of each profile to the current one, (n_others,), finite and not negative.

    A profile that shares no group with the current one is put at the largest distance of the others, or at 1.

    >>> near, far, here = (Profile("t/1", {"n": n}, "s/1", {}) for n in (20.0, 1000.0, 10.0))
    >>> distances(here, [near, far]).round(2).tolist()
    [0.14, 1.0]
    """
    options = options or DistanceOptions()
    return combined(distance_parts(current, others, options), options)


def distance_parts(
    current: Profile, others: Sequence[Profile], options: DistanceOptions | None = None
) -> Mapping[str, Array]:
    """The distances of the three groups before they are weighted.

    Returns:
        `task`, `semantic` and `system` -> distance of each profile to the current one, (n_others,); NaN where one of
        the two lacks the group.
    """
    measure = Comparison([*others, current], options or DistanceOptions())
    return {group: parts[:-1] for group, parts in measure.parts(len(others)).items()}


def distance_table(profiles: Sequence[Profile], options: DistanceOptions | None = None) -> Array:
    """Distances between all profiles, (n, n); row i holds the distances to profile i."""
    options = options or DistanceOptions()
    measure = Comparison(profiles, options)
    rows = [combined(measure.parts(i), options) for i in range(len(profiles))]
    return np.vstack(rows) if rows else np.zeros((0, 0))


def combined(parts: Mapping[str, Array], options: DistanceOptions) -> Array:
    """Weighted mean of the groups that are there (not NaN), (n,), always finite.

    >>> parts = {"task": np.array([1.0, 2.0]), "semantic": np.array([0.0, np.nan])}
    >>> combined(parts, DistanceOptions(task_weight=1, semantic_weight=3)).tolist()
    [0.25, 2.0]
    """
    total, weight = np.zeros(len(parts["task"])), np.zeros(len(parts["task"]))
    for group, distance in parts.items():
        known = np.isfinite(distance)
        total[known] += options.weights[group] * distance[known]
        weight[known] += options.weights[group]
    comparable = weight > 0
    total[comparable] /= weight[comparable]
    total[~comparable] = total[comparable].max() if comparable.any() else 1.0
    return total


class Comparison:
    """Profiles side by side, normalised together once and measured from any of them.

    Args:
        profiles: what is compared.
        options: how.
    """

    def __init__(self, profiles: Sequence[Profile], options: DistanceOptions) -> None:
        self._options = options
        self._task = _table([profile.task for profile in profiles], options)
        self._system = _table([profile.system for profile in profiles], options)
        self._semantic = _embeddings([profile.semantic for profile in profiles])

    def parts(self, i: int) -> Mapping[str, Array]:
        """Group -> distance of every profile to profile `i`, (n_profiles,), NaN where it cannot be told."""
        options = self._options
        return {
            "task": _shared_distances(self._task, i, options.metric, options.is_per_feature),
            "semantic": _shared_distances(self._semantic, i, options.semantic_metric, is_per_feature=False),
            "system": _shared_distances(self._system, i, options.metric, options.is_per_feature),
        }


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
    return _cosine(rows @ point, lengths, np.full(len(rows), length))


def _cosine(products: Array, lengths: Array, other_lengths: Array) -> Array:
    both = lengths * other_lengths
    neither = (lengths == 0) & (other_lengths == 0)
    cosine = products / np.where(both > 0, both, 1.0)
    return np.where(both > 0, np.clip(1.0 - cosine, 0.0, 2.0), np.where(neither, 0.0, 1.0))


def _shared_distances(rows: Array, i: int, metric: Metric, is_per_feature: bool) -> Array:
    """Distance of each row to row `i` over the columns that both have; NaN where they share none.

    Args:
        rows: (n, n_columns), NaN = absent.
        i: the row to measure from.
        metric: which distance.
        is_per_feature: see `DistanceOptions`.

    Returns:
        (n,). A distance over part of the columns is scaled to what it would be over all columns of row `i`.
    """
    rows = rows[:, np.isfinite(rows[i])]
    point, has = rows[i], np.isfinite(rows)
    n_shared, n_columns = has.sum(axis=1), rows.shape[1]
    filled = np.where(has, rows, point)
    if metric == "cosine":
        rows = np.where(has, rows, 0.0)
        found = _cosine(rows @ point, np.sqrt((rows**2).sum(axis=1)), np.sqrt(has @ (point**2)))
    else:
        found = vector_distances(filled, point, metric)
        scale = n_columns / np.maximum(n_shared, 1) / (n_columns if is_per_feature and n_columns else 1)
        found = found * (np.sqrt(scale) if metric == "euclidean" else scale)
    return np.where(n_shared > 0, found, np.nan)


def _table(features: Sequence[Mapping[str, float]], options: DistanceOptions) -> Array:
    """Normalised features, (n_profiles, n_names), NaN where a profile lacks one or has no finite value of it."""
    names = dict.fromkeys(name for mapping in features for name in mapping)
    wanted = [name for name in names if options.features is None or name in options.features]
    rows = np.asarray([[mapping.get(name, np.nan) for name in wanted] for mapping in features], dtype=float)
    rows = rows.reshape(len(features), len(wanted))
    rows = np.where(np.isfinite(rows), np.clip(rows, -_LARGEST, _LARGEST), np.nan)
    return normalised(rows[:, np.isfinite(rows).any(axis=0)], options.normalizers)


def _embeddings(semantics: Sequence[tuple[float, ...] | None]) -> Array:
    """Mean embeddings, (n_profiles, n_dimensions), one block of columns per length.

    A profile without embedding, or with one that is not finite, has NaN everywhere; embeddings of different models
    differ in length, so that they stand in columns of their own and are never compared.
    """
    sizes = sorted({len(semantic) for semantic in semantics if semantic})
    starts = dict(zip(sizes, np.cumsum([0, *sizes]).tolist(), strict=False))
    rows = np.full((len(semantics), sum(sizes)), np.nan)
    for i, semantic in enumerate(semantics):
        if semantic:
            values = np.asarray(semantic, dtype=float)
            start = starts[len(values)]
            rows[i, start : start + len(values)] = values if np.isfinite(values).all() else np.nan
    return np.asarray(np.clip(rows, -_LARGEST, _LARGEST))
