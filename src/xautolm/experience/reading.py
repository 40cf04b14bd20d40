"""Reads rows of experiences: only what an experience is rebuilt from, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.schema import experiences, tasks

#: Rows fetched from the database at a time.
FETCH_ROWS = 2_000
#: The other columns repeat what the JSON says.
_COLUMNS = (
    experiences.c.experience_id,
    experiences.c.run_id,
    experiences.c.task_id,
    experiences.c.system_id,
    experiences.c.time_limit_s,
    experiences.c.memory_limit_mib,
    experiences.c.space_version,
    experiences.c.model_revision,
    experiences.c.source,
    experiences.c.created_at,
    experiences.c.versions,
    experiences.c.result,
)
_NAMES = tuple(column.name for column in _COLUMNS)

Row = dict[str, Any]


def rows_where(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> Iterator[Row]:
    """Rows in the order in which they were added.

    Args:
        connection: in a transaction, which stays open until the last row is read.
        wanted: condition on `tasks`.
    """
    query = _select().join(tasks, tasks.c.task_id == experiences.c.task_id).where(wanted)
    return _rows(connection, query.order_by(experiences.c.experience_id))


def rows_after(connection: sa.Connection, last: int, wanted: sa.ColumnElement[bool], limit: int) -> list[Row]:
    """The next rows after the one with the id `last`, in the order in which they were added."""
    query = _select().join(tasks, tasks.c.task_id == experiences.c.task_id).where(wanted)
    query = query.where(experiences.c.experience_id > last).order_by(experiences.c.experience_id)
    return list(_rows(connection, query.limit(limit)))


def rows_of(connection: sa.Connection, group: ExperienceGroup, limit: int | None) -> Iterator[Row]:
    """Rows of a group, the last added first."""
    query = _select().where(experiences.c.task_id == group.task_id, experiences.c.system_id == group.system_id)
    return _rows(connection, query.order_by(experiences.c.experience_id.desc()).limit(limit))


def _select() -> sa.Select[Any]:
    return sa.select(*_COLUMNS)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Row]:
    for row in connection.execute(query, execution_options={"yield_per": FETCH_ROWS}):
        yield dict(zip(_NAMES, row, strict=True))
