"""How far past tasks are from the current one, by their meta-features.

Three groups of features: task 0.4, semantic 0.3 and system 0.3 (published weights). A group that one of the two
profiles lacks is left out and other weights are scaled up, so a distance is always finite. Features are compared by
name: of profiles with different schemas, those that both have count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from xautolm.data.fingerprint import sketch_containment
from xautolm.metafeatures import PUBLISHED_CLASSIFICATION, PUBLISHED_GENERATION
from xautolm.prior.normalisers import Normalizer, normalised
from xautolm.records import Profile

Array = npt.NDArray[np.float64]
Metric = Literal["euclidean", "cosine", "manhattan"]

#: Two data sets are the same data when more than this share of the smaller one is in the other.
SAME_DATA_CONTAINMENT = 0.1
#: Parts of a distance, in the order in which they are shown.
GROUPS = ("task", "semantic", "system")
#: The machine's features that the published system compares (`method.md` section 4).
PUBLISHED_SYSTEM = ("physical_cores", "logical_cores", "max_frequency_ghz", "ram_gib", "gpu_memory_gib")
PUBLISHED_FEATURES = frozenset((*PUBLISHED_CLASSIFICATION, *PUBLISHED_GENERATION, *PUBLISHED_SYSTEM))
#: Features that are 0 where texts were not embedded; such a 0 is no measurement.
EMBEDDING_FEATURES = frozenset({"neighbour_landmark", "neighbour_correlation", "embedding_similarity"})
#: Difference between tasks of different kinds in a feature that only one kind has: that of a share of 0 to one of 1.
MISSING_GAP = 1.0
#: Squares of what is smaller are finite.
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class DistanceOptions:
    """How profiles are compared.

    Attributes:
        task_weight: weight of the task features; like the next two relative to the groups that are available.
        semantic_weight: weight of the mean text embedding.
        system_weight: weight of the machine features.
        normalizers: applied in order to the task and to the system features, over all profiles together; `fixed`
            does not look at the others. The embedding is not normalised: its direction is what carries meaning.
        metric: distance between task and between system features.
        semantic_metric: distance between mean embeddings.
        features: names of the task and system features that count; None = all.
        is_per_feature: whether the distances of task and system are divided by the root of the number of features
            (Euclidean) or by the number (Manhattan), so that a group does not weigh more for having more features.
        task_unit: what counts as 1 in the task features; like the next two about what unrelated tasks are apart, so
            that a group that is missing makes a task neither nearer nor farther.
        semantic_unit: the same of the mean embedding.
        system_unit: the same of the machine features: a laptop and a server with a GPU are about 1.6 apart.
    """

    task_weight: float = 0.4
    semantic_weight: float = 0.3
    system_weight: float = 0.3
    normalizers: tuple[Normalizer, ...] = ("fixed",)
    metric: Metric = "euclidean"
    semantic_metric: Metric = "cosine"
    features: frozenset[str] | None = None
    is_per_feature: bool = True
    task_unit: float = 0.25
    semantic_unit: float = 0.65
    system_unit: float = 0.5

    @classmethod
    def published(cls) -> DistanceOptions:
        """The distance of the paper's code: its features, normalisers and weights (`method.md` 1.3)."""
        return cls(
            normalizers=("log", "min-max"),
            features=PUBLISHED_FEATURES,
            is_per_feature=False,
            task_unit=1.0,
            semantic_unit=1.0,
            system_unit=1.0,
        )

    @property
    def weights(self) -> Mapping[str, float]:
        """Group -> weight."""
        return {"task": self.task_weight, "semantic": self.semantic_weight, "system": self.system_weight}


def is_same_data(fingerprint: str, sketch: Sequence[int], other_fingerprint: str, other: Sequence[int]) -> bool:
    """Whether two data sets are the same rows, or one is largely part of the other."""
    return fingerprint == other_fingerprint or sketch_containment(sketch, other) > SAME_DATA_CONTAINMENT


def distances(current: Profile, others: Sequence[Profile], options: DistanceOptions | None = None) -> Array:
    """Distance of each profile to the current one, (n_others,), finite and not negative.

    By default 0 is the same task on the same machine, and two unrelated tasks of one kind are about 1 apart.

    >>> near, far, here = (Profile("t/1", {"n": n}, "s/1", {}) for n in (20.0, 1000.0, 10.0))
    >>> distances(here, [near, far]).round(2).tolist()
    [0.4, 2.67]
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

    Features and embedding both describe the task: when one is missing the other has the weight of both, so that the
    machine does not gain by it. A task of which neither can be compared is put at the largest distance of the others,
    or at 1, however similar its machine is.

    Args:
        parts: group -> distances, (n,); a group that is not there is missing everywhere.
        options: the weights.

    >>> parts = {"task": np.array([1.0, 2.0]), "semantic": np.array([0.0, np.nan]), "system": np.array([0.0, 0.0])}
    >>> combined(parts, DistanceOptions(task_weight=0.4, semantic_weight=0.1, system_weight=0.5)).tolist()
    [0.4, 1.0]
    """
    n = len(next(iter(parts.values())))
    known = {group: _known(parts, group, options, n) for group in GROUPS}
    handed = {"task": "semantic", "semantic": "task"}
    total, weight = np.zeros(n), np.zeros(n)
    for group, distance in parts.items():
        other = handed.get(group)
        extra = options.weights[other] * ~known[other] if other else 0.0
        share = np.where(known[group], options.weights[group] + extra, 0.0)
        total += share * np.where(known[group], distance, 0.0)
        weight += share
    comparable = known["task"] | known["semantic"]
    total[comparable] /= weight[comparable]
    total[~comparable] = total[comparable].max() if comparable.any() else 1.0
    return total


def _known(parts: Mapping[str, Array], group: str, options: DistanceOptions, n: int) -> npt.NDArray[np.bool_]:
    """Which distances of a group can be told and count."""
    return np.isfinite(parts.get(group, np.full(n, np.nan))) & (options.weights[group] > 0)


class Comparison:
    """Profiles side by side, normalised together once and measured from any of them.

    Args:
        profiles: what is compared.
        options: how.
    """

    def __init__(self, profiles: Sequence[Profile], options: DistanceOptions) -> None:
        self._options = options
        kinds = np.asarray([profile.schema.partition("/")[0] for profile in profiles])
        self._kinds = np.unique(kinds, return_inverse=True)[1]
        self._task = _table([_measured(profile) for profile in profiles], options)
        self._system = _table([profile.system for profile in profiles], options)
        self._semantic = _embeddings([profile.semantic for profile in profiles])

    def parts(self, i: int) -> Mapping[str, Array]:
        """Group -> distance of every profile to profile `i`, (n_profiles,), NaN where it cannot be told."""
        options, is_other_kind = self._options, self._kinds != self._kinds[i]
        task = _shared_distances(self._task, i, options.metric, options.is_per_feature, is_other_kind)
        semantic = _shared_distances(self._semantic, i, options.semantic_metric, is_per_feature=False)
        system = _shared_distances(self._system, i, options.metric, options.is_per_feature)
        return {
            "task": task / options.task_unit,
            "semantic": semantic / options.semantic_unit,
            "system": system / options.system_unit,
        }


def _cosine(products: Array, lengths: Array, other_lengths: Array) -> Array:
    """Cosine distances, (n,); of a zero vector 0 to another one, else 1.

    >>> _cosine(np.array([0.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]), np.array([3.0, 3.0, 0.0])).tolist()
    [1.0, 1.0, 0.0]
    """
    both = lengths * other_lengths
    neither = (lengths == 0) & (other_lengths == 0)
    cosine = products / np.where(both > 0, both, 1.0)
    return np.where(both > 0, np.clip(1.0 - cosine, 0.0, 2.0), np.where(neither, 0.0, 1.0))


def _shared_distances(
    rows: Array, i: int, metric: Metric, is_per_feature: bool, is_other_kind: npt.NDArray[np.bool_] | None = None
) -> Array:
    """Distance of each row to row `i` over the columns that both have; NaN where they share none.

    Args:
        rows: (n, n_columns), NaN = absent.
        i: the row to measure from.
        metric: which distance.
        is_per_feature: see `DistanceOptions`.
        is_other_kind: (n,), rows of another kind of task; None = there are none.

    Returns:
        (n,). A distance over part of the columns is scaled to what it would be over all columns of row `i`. To a task
        of another kind each column of row `i` that it lacks counts as `MISSING_GAP` instead: such features are absent
        because the tasks differ, not because they were measured by another release.
    """
    rows = rows[:, np.isfinite(rows[i])]
    point, has = rows[i], np.isfinite(rows)
    n_shared, n_columns = has.sum(axis=1), max(1, rows.shape[1])
    shared = np.where(has, rows, 0.0)
    if metric == "cosine":
        mean = _cosine(shared @ point, np.sqrt((shared**2).sum(axis=1)), np.sqrt(has @ (point**2)))
    else:
        power = 2 if metric == "euclidean" else 1
        gaps = np.where(has, np.abs(shared - point) ** power, 0.0)
        mean = gaps.sum(axis=1) / np.maximum(n_shared, 1)
    if is_other_kind is not None:
        with_missing = (n_shared * mean + (n_columns - n_shared) * MISSING_GAP) / n_columns
        mean = np.where(is_other_kind, with_missing, mean)
    if metric != "cosine" and not is_per_feature:
        mean = mean * n_columns
    return np.where(n_shared > 0, np.sqrt(mean) if metric == "euclidean" else mean, np.nan)


def _measured(profile: Profile) -> Mapping[str, float]:
    """The task features without those that only an embedding gives, where there was none."""
    if profile.semantic is not None:
        return profile.task
    return {name: value for name, value in profile.task.items() if value != 0 or name not in EMBEDDING_FEATURES}


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
