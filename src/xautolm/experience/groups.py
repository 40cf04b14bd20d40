"""Experiences by task and machine: what a prior looks at first, before it reads the experiences of the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from xautolm.errors import StoreError
from xautolm.experience.schema import experiences, systems, tasks
from xautolm.records import Experience, Profile


@dataclass(frozen=True, slots=True)
class ExperienceGroup:
    """All experiences of one task on one machine, without the experiences themselves.

    Attributes:
        task_id: of the store it was read from; like `system_id` without meaning in another one.
        kind: task kind.
        n_experiences: of any status.
        n_ok: those with a score.
    """

    task_id: int
    system_id: int
    kind: str
    dataset_id: str
    fingerprint: str
    sketch: tuple[int, ...]
    profile: Profile
    n_experiences: int
    n_ok: int

    @property
    def key(self) -> tuple[int, int]:
        """Identity inside its store."""
        return self.task_id, self.system_id


class SharedParts:
    """Tasks and systems of a store, decoded once each; profiles are built when they are first asked for.

    Experiences that are rebuilt from it share their sketch and profile in memory.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Any]] = {}
        self._systems: dict[int, dict[str, Any]] = {}
        self._profiles: dict[tuple[int, int], Profile] = {}

    @classmethod
    def of(cls, group: ExperienceGroup) -> SharedParts:
        """The parts that the experiences of one group share."""
        shared = cls()
        names = ("kind", "dataset_id", "fingerprint", "sketch")
        shared.tasks[group.task_id] = {name: getattr(group, name) for name in names}
        shared._profiles[group.key] = group.profile
        return shared

    def read(self, connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> None:
        """Read the tasks for which `wanted` holds, and all systems; what is known already is kept.

        Raises:
            StoreError: a row is not what it must be.
        """
        for row in map(dict, connection.execute(sa.select(tasks).where(wanted)).mappings()):
            if row["task_id"] not in self.tasks:
                _check(row, f"Task {row['task_id']}", {"features": dict, "sketch": list, "semantic": list | None})
                self.tasks[row["task_id"]] = {**row, "sketch": tuple(row["sketch"])}
        for row in map(dict, connection.execute(sa.select(systems)).mappings()):
            _check(row, f"System {row['system_id']}", {"features": dict})
            self._systems.setdefault(row["system_id"], row)

    def profile(self, task_id: int, system_id: int) -> Profile:
        """The profile of a task on a machine.

        Raises:
            KeyError: they were not read.
        """
        key = (task_id, system_id)
        if key not in self._profiles:
            task, system = self.tasks[task_id], self._systems[system_id]
            self._profiles[key] = Profile(
                schema=task["schema_name"],
                task=task["features"],
                system_schema=system["schema_name"],
                system=system["features"],
                semantic=None if task["semantic"] is None else tuple(task["semantic"]),
                system_name=system["name"],
            )
        return self._profiles[key]


def _check(row: Mapping[str, Any], name: str, types: Mapping[str, Any]) -> None:
    for column, expected in types.items():
        if not isinstance(row[column], expected):
            raise StoreError(
                f"{name} of the experience store must have a profile that can be read, but its `{column}` is a "
                f"{type(row[column]).__name__}. Restore a copy of the store; `xautolm store check` finds all such rows."
            )


def count_groups(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> list[tuple[int, int, int, int]]:
    """Task, system, number of experiences and number of those that are ok; the first that came in comes first.

    Args:
        connection: in a transaction.
        wanted: condition on `tasks`.
    """
    n_ok = sa.func.sum(sa.case((experiences.c.status == "ok", 1), else_=0))
    query = (
        sa.select(experiences.c.task_id, experiences.c.system_id, sa.func.count(), n_ok)
        .join(tasks, tasks.c.task_id == experiences.c.task_id)
        .where(wanted)
        .group_by(experiences.c.task_id, experiences.c.system_id)
        .order_by(sa.func.min(experiences.c.experience_id))
    )
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in connection.execute(query)]


def group_of(shared: SharedParts, task_id: int, system_id: int, n_experiences: int, n_ok: int) -> ExperienceGroup:
    """Put a group together from parts that were read before."""
    task = shared.tasks[task_id]
    return ExperienceGroup(
        task_id=task_id,
        system_id=system_id,
        kind=task["kind"],
        dataset_id=task["dataset_id"],
        fingerprint=task["fingerprint"],
        sketch=task["sketch"],
        profile=shared.profile(task_id, system_id),
        n_experiences=n_experiences,
        n_ok=n_ok,
    )


def group_of_members(task_id: int, members: Sequence[Experience]) -> ExperienceGroup:
    """The group that experiences in memory make.

    Args:
        task_id: number of the task; the machine gets the number 0.
        members: at least one, all of one task and machine.
    """
    first = members[0]
    return ExperienceGroup(
        task_id=task_id,
        system_id=0,
        kind=first.kind,
        dataset_id=first.dataset_id,
        fingerprint=first.fingerprint,
        sketch=first.sketch,
        profile=first.profile,
        n_experiences=len(members),
        n_ok=sum(member.result.is_ok for member in members),
    )
