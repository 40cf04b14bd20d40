"""Which past experiences speak about the current task, and how near the tasks are that they were made on.

A store holds many experiences of few tasks, so that tasks are compared first and experiences are read only of the
nearest ones. Experiences of the same data (or of a part of it) count as distance 0, whatever the profiles say.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xautolm.experience.groups import ExperienceGroup, group_of_members
from xautolm.prior.similarity import GROUPS, DistanceOptions, combined, distance_parts, is_same_data
from xautolm.records import Experience, Profile

#: Experiences that a prior reads at most; a hundred runs of 200 trials.
LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Rated:
    """An experience and how far its task is from the current one.

    Attributes:
        distance: of its task and machine; 0 for the same data.
        groups: the parts of the distance (`task`, `semantic`, `system`), without those that cannot be told.
    """

    experience: Experience
    distance: float
    groups: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RatedGroup:
    """All experiences of one task on one machine, and how far it is from the current one; as in `Rated`.

    Attributes:
        is_same_data: whether it is the current data, or largely a part of it.
    """

    group: ExperienceGroup
    distance: float
    groups: Mapping[str, float]
    is_same_data: bool


class Source(Protocol):
    """What evidence needs of an experience store."""

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        """The tasks and machines of which there are experiences."""

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        """Their experiences, group by group."""


def nearest(
    store: Source,
    kind: str | None,
    profile: Profile,
    fingerprint: str,
    sketch: Sequence[int],
    *,
    options: DistanceOptions,
    exclude_datasets: Sequence[str] = (),
    limit: int = LIMIT,
) -> list[Rated]:
    """The experiences of the nearest tasks.

    Args:
        store: an `ExperienceStore`, or one with the starter (`experience.starter.Together`).
        kind: task kind; experiences of one kind teach only that kind.
        profile: of the current task and machine.
        fingerprint: of the current data.
        sketch: bottom-k sketch of the current data, for recognising its subsets.
        options: how profiles are compared.
        exclude_datasets: `dataset_id`s that are left out.
        limit: experiences to read at most; what is farther is not read.

    Returns:
        Nearest tasks first, the newest experience of a task first.

    Raises:
        StoreError: the database failed.
    """
    near = rate_groups(store.groups(kind, exclude_datasets), profile, fingerprint, sketch, options)
    return load_rated(store, near, limit)


def rate_groups(
    groups: Sequence[ExperienceGroup],
    profile: Profile,
    fingerprint: str,
    sketch: Sequence[int],
    options: DistanceOptions,
) -> list[RatedGroup]:
    """Measure how far groups of experiences are from a task; nearest first, then by name."""
    parts = distance_parts(profile, [group.profile for group in groups], options)
    total = combined(parts, options)
    rated = []
    for i, group in enumerate(groups):
        known = {name: float(parts[name][i]) for name in GROUPS if np.isfinite(parts[name][i])}
        is_same = is_same_data(fingerprint, sketch, group.fingerprint, group.sketch)
        rated.append(RatedGroup(group, 0.0 if is_same else float(total[i]), known, is_same))
    return sorted(rated, key=lambda item: (item.distance, item.group.dataset_id, item.group.task_id))


def load_rated(store: Source, near: Sequence[RatedGroup], limit: int = LIMIT) -> list[Rated]:
    """Read the experiences of rated groups, in their order, `limit` at most."""
    keys = _Keys()
    by_key = {keys.of(item.group): item for item in reversed(near)}
    rated = []
    for experience in store.load_groups([item.group for item in near], limit):
        item = by_key[keys.of(experience)]
        rated.append(Rated(experience, item.distance, item.groups))
    return rated


def rate(
    experiences: Iterable[Experience],
    profile: Profile,
    fingerprint: str,
    sketch: Sequence[int],
    options: DistanceOptions,
) -> list[Rated]:
    """The same for experiences that are in memory already; nearest tasks first, the order of a task is kept."""
    tasks: dict[Hashable, list[Experience]] = {}
    keys = _Keys()
    for experience in experiences:
        tasks.setdefault(keys.of(experience), []).append(experience)
    groups = [group_of_members(i, members) for i, members in enumerate(tasks.values())]
    members_of = dict(enumerate(tasks.values()))
    near = rate_groups(groups, profile, fingerprint, sketch, options)
    return [
        Rated(experience, item.distance, item.groups) for item in near for experience in members_of[item.group.task_id]
    ]


class _Keys:
    """What says that an experience belongs to a group: the same data and the same profile.

    Experiences of one group share their profile in memory, so that it is looked into once.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Hashable] = {}

    def of(self, item: ExperienceGroup | Experience) -> Hashable:
        seen = (item.kind, item.dataset_id, item.fingerprint, id(item.profile), id(item.sketch))
        if seen not in self._known:
            profile = item.profile
            features = (tuple(sorted(profile.task.items())), tuple(sorted(profile.system.items())))
            schemas = (profile.schema, profile.system_schema)
            self._known[seen] = (item.kind, item.dataset_id, item.fingerprint, item.sketch, *schemas, *features,
                                 profile.semantic)  # fmt: skip
        return self._known[seen]
