"""The experience store: every finished trial of every run, in SQLite or PostgreSQL.

Covered: a second `add` of the same trial; several processes that add to or create the store at the same
time; a failure in the middle of an `add` (all or nothing); stores of older releases (migrated when opened);
files that are no store or of a newer release (refused, unchanged). Not covered: SQLite files on network
drives that do not lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from xautolm.errors import StoreError
from xautolm.experience import migrations
from xautolm.experience.codec import decode, encode, read_json
from xautolm.experience.faults import translate_faults
from xautolm.experience.location import default_store_url, display_url, parse_store_url
from xautolm.experience.schema import experiences, metadata, systems, tasks
from xautolm.records import Experience, Profile

__all__ = ["ExperienceStore", "default_store_url", "display_url"]

logger = logging.getLogger(__name__)

#: Hashes asked for in one statement; SQLite allows 999 variables in its oldest builds.
LOOKUP_ROWS = 500
#: Rows fetched from the database at a time while loading.
FETCH_ROWS = 2_000
CONNECT_TIMEOUT_S = 10
#: Key of PostgreSQL's advisory lock under which one process at a time migrates (any number that is ours).
MIGRATION_LOCK = 0x7861_6C6D


class ExperienceStore:
    """Append-only memory of finished trials. Opening creates it or brings an older one up to date.

    May be used by several threads and processes at once; an object must not be carried into a forked child.

    Args:
        url: `sqlite:///PATH` (missing folders are created) or `postgresql+psycopg://...`.
        busy_timeout_s: how long to wait for another process that is writing to a SQLite file.

    Raises:
        StoreError: the database cannot be reached, is no experience store, or is of a newer release.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0) -> None:
        self._url = parse_store_url(url)
        self._engine = _create_engine(self._url, busy_timeout_s)
        try:
            with translate_faults(self._url):
                self._bring_up_to_date()
        except BaseException:
            self._engine.dispose()
            raise

    def __repr__(self) -> str:
        return f"ExperienceStore({self.display_url!r})"

    @property
    def display_url(self) -> str:
        """The URL without its password."""
        return display_url(self._url.render_as_string(hide_password=False))

    def add(self, new: Iterable[Experience]) -> int:
        """Add experiences that are not in the store yet, all or none of them.

        An experience is there already when one has the same run and trial, or the same content: everything
        except `source` and `created_at`, and for imported ones except the run and trial numbers. Error
        messages are scrubbed of user text.

        Returns:
            How many were new.

        Raises:
            StoreError: a value cannot be kept (NaN, infinity), or the database failed; the store is unchanged.
        """
        encoded = [encode(experience) for experience in new]
        if not encoded:
            return 0
        with translate_faults(self._url), self._transaction(writes=True) as connection:
            task_ids = _intern(connection, tasks, [item.task for item in encoded])
            system_ids = _intern(connection, systems, [item.system for item in encoded])
            rows = [
                {
                    **item.experience,
                    "task_id": task_ids[item.task["content_hash"]],
                    "system_id": system_ids[item.system["content_hash"]],
                }
                for item in encoded
            ]
            insert = _insert_new(connection, experiences).returning(experiences.c.experience_id)
            return len(connection.execute(insert, rows).all())

    def load(
        self, *, kind: str | None = "text-classification", exclude_datasets: Sequence[str] = ()
    ) -> list[Experience]:
        """Read experiences in the order in which they were added.

        Those of one task on one machine share their profile and sketch in memory.

        Args:
            kind: task kind; None = all.
            exclude_datasets: `dataset_id`s that are left out (benchmarks leave out the task itself).

        Raises:
            StoreError: the database failed or holds a row that is no experience.
        """
        wanted = sa.true() if kind is None else tasks.c.kind == kind
        if exclude_datasets:
            wanted &= tasks.c.dataset_id.not_in(list(exclude_datasets))
        query = (
            sa.select(experiences)
            .join(tasks, tasks.c.task_id == experiences.c.task_id)
            .where(wanted)
            .order_by(experiences.c.experience_id)
        )
        with translate_faults(self._url), self._transaction() as connection:
            shared = _SharedParts(connection, wanted)
            rows = connection.execution_options(yield_per=FETCH_ROWS).execute(query).mappings()
            return [self._decode(dict(row), shared) for row in rows]

    def count(self) -> int:
        """Number of experiences of all kinds.

        Raises:
            StoreError: the database failed.
        """
        with translate_faults(self._url), self._transaction() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(experiences)).scalar_one())

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, row: Mapping[str, Any], shared: _SharedParts) -> Experience:
        try:
            task = shared.tasks[row["task_id"]]
            return decode(task, shared.profile(row["task_id"], row["system_id"]), row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"Row {row['experience_id']} of `{self.display_url}` must be an experience, but is not "
                f"({type(error).__name__}: {error}). Restore a copy of the store, or delete that row."
            ) from error

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            connection.execution_options(xautolm_writes=writes)
            with connection.begin():
                yield connection

    def _bring_up_to_date(self) -> None:
        with self._transaction() as connection:
            if self._is_up_to_date(connection):
                return
        if self._engine.dialect.name == "sqlite":
            _use_wal(self._engine)
        with self._transaction(writes=True) as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if not self._is_up_to_date(connection):  # another process may have been first
                migrations.upgrade(connection)

    def _is_up_to_date(self, connection: sa.Connection) -> bool:
        """Whether the schema is the newest; False for an empty or older store.

        Raises:
            StoreError: the database is something else or of a newer release.
        """
        names = set(sa.inspect(connection).get_table_names())
        if migrations.VERSION_TABLE not in names:
            in_the_way = names if connection.dialect.name == "sqlite" else names & set(metadata.tables)
            if in_the_way:
                raise StoreError(
                    f"`{self.display_url}` must be an experience store, but it holds other tables "
                    f"({', '.join(sorted(in_the_way)[:5])}). Name another database with `--store`."
                )
            return False
        version_table = sa.table(migrations.VERSION_TABLE, sa.column("version_num"))
        version = connection.execute(sa.select(version_table.c.version_num)).scalar()
        if version is not None and version not in migrations.REVISIONS:
            raise StoreError(
                f"`{self.display_url}` must have a schema version up to {migrations.HEAD!r}, but has {version!r}: "
                "it was written by a newer release of xautolm (or is no experience store). "
                "Update xautolm, or name another store with `--store`."
            )
        return bool(version == migrations.HEAD)


class _SharedParts:
    """Tasks and systems of a query, decoded once; profiles are built when they are first asked for."""

    def __init__(self, connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> None:
        task_rows = connection.execute(sa.select(tasks).where(wanted)).mappings()
        system_rows = connection.execute(sa.select(systems)).mappings()
        self.tasks = {row["task_id"]: {**row, "sketch": tuple(row["sketch"])} for row in task_rows}
        self._systems = {row["system_id"]: dict(row) for row in system_rows}
        self._profiles: dict[tuple[int, int], Profile] = {}

    def profile(self, task_id: int, system_id: int) -> Profile:
        key = (task_id, system_id)
        if key not in self._profiles:
            task, system = self.tasks[task_id], self._systems[system_id]
            self._profiles[key] = Profile(
                schema=task["schema_name"],
                task=task["features"],
                system_schema=system["schema_name"],
                system=system["features"],
                semantic=None if task["semantic"] is None else tuple(task["semantic"]),
            )
        return self._profiles[key]


def _intern(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Make sure that the rows are in `table`, each content once; return content hash -> id."""
    by_hash = {row["content_hash"]: dict(row) for row in rows}
    ids = _look_up(connection, table, sorted(by_hash))
    # In one order everywhere, so that two processes cannot wait for each other.
    missing = sorted(by_hash.keys() - ids.keys())
    if missing:
        connection.execute(_insert_new(connection, table), [by_hash[key] for key in missing])
        ids |= _look_up(connection, table, missing)
    return ids


def _look_up(connection: sa.Connection, table: sa.Table, hashes: Sequence[str]) -> dict[str, int]:
    (key,) = table.primary_key.columns
    query = sa.select(table.c.content_hash, key)
    ids: dict[str, int] = {}
    for start in range(0, len(hashes), LOOKUP_ROWS):
        wanted = table.c.content_hash.in_(hashes[start : start + LOOKUP_ROWS])
        ids.update((row[0], row[1]) for row in connection.execute(query.where(wanted)))
    return ids


def _insert_new(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that passes over rows which are there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _create_engine(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    """Build the engine; connects to nothing yet.

    Raises:
        StoreError: the driver is not installed, or the folder of a SQLite file cannot be created.
    """
    name = display_url(url.render_as_string(hide_password=False))
    create = partial(sa.create_engine, url, hide_parameters=True, json_deserializer=partial(read_json, store=name))
    if url.get_backend_name() != "sqlite":
        try:
            return create(
                pool_pre_ping=True,  # a server may have been restarted during a long run
                connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                f"A store on PostgreSQL needs the package {error.name!r}: pip install 'xautolm[postgres]'"
            ) from error
    _create_folder(url)
    engine = create(connect_args={"timeout": busy_timeout_s})
    sa.event.listen(engine, "connect", _set_up_sqlite_connection)
    sa.event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _create_folder(url: sa.URL) -> None:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder `{folder}` of the experience store cannot be created ({error.strerror}). "
            "Name another place with `--store`, or set `XAUTOLM_STORE`."
        ) from error


def _set_up_sqlite_connection(connection: Any, _record: Any) -> None:
    # `_begin_sqlite_transaction` begins transactions; the driver would do so too late to lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # A power cut may lose the last commits but damages nothing; the run's journal still has them.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite_transaction(connection: sa.Connection) -> None:
    """Begin with the write lock: a transaction that asks for it later fails at once instead of waiting."""
    writes = connection.get_execution_options().get("xautolm_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(engine: sa.Engine) -> None:
    """Let readers and one writer work at the same time; the setting stays in the file."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    except engine.dialect.loaded_dbapi.OperationalError as error:
        # Another process is creating the same store, or the file is read-only: the migration will tell.
        logger.debug("WAL was not switched on: %s", error)
    finally:
        connection.close()
