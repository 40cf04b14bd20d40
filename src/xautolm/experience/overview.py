"""What a store holds, in numbers: counted in the database, without reading the experiences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from xautolm.experience import migrations
from xautolm.experience.schema import experiences, metadata, systems, tasks
from xautolm.experience.store import ExperienceStore

#: Experiences of a task that are shown, best first.
N_BEST = 5


@dataclass(frozen=True, slots=True)
class Overview:
    """A store in a few numbers.

    Attributes:
        url: without password.
        schema: version of the tables.
        size_bytes: of tables and indexes on the disk.
        kinds: experiences by task kind; `statuses`, `sources` and `models` likewise, most frequent first.
        machines: experiences by name of the machine; an empty name is of a machine whose name was not kept.
        oldest: `created_at` of the first, and `newest` of the last one, None in an empty store.
    """

    url: str
    schema: str
    size_bytes: int
    n_experiences: int
    n_tasks: int
    n_datasets: int
    kinds: dict[str, int]
    statuses: dict[str, int]
    sources: dict[str, int]
    models: dict[str, int]
    machines: dict[str, int]
    oldest: str | None
    newest: str | None


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """All experiences with one data set.

    Attributes:
        n_machines: different machines (or different measurements of one).
        best_f1: of those that are ok, None without one.
        newest: `created_at` of the last one.
    """

    dataset_id: str
    kind: str
    n_machines: int
    n_experiences: int
    n_ok: int
    best_f1: float | None
    newest: str


def overview(store: ExperienceStore) -> Overview:
    """Count what a store holds.

    Raises:
        StoreError: the database failed.
    """
    with store.connection() as connection:
        of_task = experiences.join(tasks, tasks.c.task_id == experiences.c.task_id)
        of_system = experiences.join(systems, systems.c.system_id == experiences.c.system_id)
        times = sa.select(sa.func.min(experiences.c.created_at), sa.func.max(experiences.c.created_at))
        oldest, newest = connection.execute(times).one()
        counted = _count_by(connection, tasks.c.kind, of_task)
        return Overview(
            url=store.display_url,
            schema=migrations.HEAD,
            size_bytes=_size_bytes(connection),
            n_experiences=sum(counted.values()),
            n_tasks=connection.execute(sa.select(sa.func.count()).select_from(tasks)).scalar_one(),
            n_datasets=connection.execute(sa.select(sa.func.count(sa.distinct(tasks.c.dataset_id)))).scalar_one(),
            kinds=counted,
            statuses=_count_by(connection, experiences.c.status, experiences),
            sources=_count_by(connection, experiences.c.source, experiences),
            models=_count_by(connection, experiences.c.model, experiences),
            machines=_count_by(connection, systems.c.name, of_system),
            oldest=oldest,
            newest=newest,
        )


def datasets(store: ExperienceStore) -> list[DatasetLine]:
    """One line per data set and kind, the one with the most experiences first.

    Raises:
        StoreError: the database failed.
    """
    is_ok = experiences.c.status == "ok"
    n = sa.func.count()
    query = (
        sa.select(
            tasks.c.dataset_id,
            tasks.c.kind,
            sa.func.count(sa.distinct(experiences.c.system_id)),
            n,
            sa.func.sum(sa.case((is_ok, 1), else_=0)),
            sa.func.max(sa.case((is_ok, experiences.c.f1))),
            sa.func.max(experiences.c.created_at),
        )
        .join(tasks, tasks.c.task_id == experiences.c.task_id)
        .group_by(tasks.c.dataset_id, tasks.c.kind)
        .order_by(n.desc(), tasks.c.dataset_id, tasks.c.kind)
    )
    with store.connection() as connection:
        return [DatasetLine(*row) for row in connection.execute(query)]


def best_of(store: ExperienceStore, dataset_id: str, limit: int = N_BEST) -> list[dict[str, Any]]:
    """The experiences of a data set with the highest F1: `experience_id`, `model`, `method`, `f1`, `time_s`.

    Raises:
        StoreError: the database failed.
    """
    columns = (experiences.c.experience_id, experiences.c.model, experiences.c.method, experiences.c.f1)
    query = (
        sa.select(*columns, experiences.c.time_s)
        .join(tasks, tasks.c.task_id == experiences.c.task_id)
        .where(tasks.c.dataset_id == dataset_id, experiences.c.status == "ok", experiences.c.f1.is_not(None))
        .order_by(experiences.c.f1.desc(), experiences.c.time_s, experiences.c.experience_id)
        .limit(limit)
    )
    with store.connection() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def count_statuses(store: ExperienceStore, dataset_id: str) -> dict[str, int]:
    """Experiences of a data set by status, most frequent first.

    Raises:
        StoreError: the database failed.
    """
    of_task = experiences.join(tasks, tasks.c.task_id == experiences.c.task_id)
    with store.connection() as connection:
        return _count_by(connection, experiences.c.status, of_task, tasks.c.dataset_id == dataset_id)


def _count_by(
    connection: sa.Connection,
    column: sa.ColumnElement[str],
    source: sa.FromClause,
    wanted: sa.ColumnElement[bool] | None = None,
) -> dict[str, int]:
    n = sa.func.count()
    query = sa.select(column, n).select_from(source).group_by(column).order_by(n.desc(), column)
    rows = connection.execute(query if wanted is None else query.where(wanted))
    return {row[0]: int(row[1]) for row in rows}


def _size_bytes(connection: sa.Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages, size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
        )
        return int(pages * size)
    sizes = (connection.execute(sa.select(sa.func.pg_total_relation_size(name))) for name in metadata.tables)
    return sum(int(size.scalar_one()) for size in sizes)
