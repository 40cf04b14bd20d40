"""The connection to a store: drivers, time limits, and when a transaction takes the write lock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from xautolm.errors import StoreError
from xautolm.experience.codec import read_json, write_json
from xautolm.experience.location import display_url
from xautolm.experience.schema import metadata

logger = logging.getLogger(__name__)

#: A server that cannot be reached any more is noticed within some ten seconds, not after the system's hours.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


def create_engine(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    """Build the engine; connects to nothing yet.

    Args:
        url: of the store.
        busy_timeout_s: how long to wait for another process that is writing to a SQLite file.

    Raises:
        StoreError: the driver is not installed, or the folder of a SQLite file cannot be created.
    """
    name = display_url(url.render_as_string(hide_password=False))
    create = partial(
        sa.create_engine,
        url,
        hide_parameters=True,
        json_serializer=write_json,
        json_deserializer=partial(read_json, store=name),
    )
    if url.get_backend_name() != "sqlite":
        try:
            return create(
                pool_pre_ping=True,  # a server may have been restarted during a long run
                connect_args=POSTGRESQL_OPTIONS,
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                f"A store on PostgreSQL needs the package {error.name!r}: pip install 'xautolm[postgres]'"
            ) from error
    _create_folder(url)
    if url.database in (None, "", ":memory:"):  # one database for all threads, not one each
        engine = create(connect_args={"check_same_thread": False}, poolclass=sa.StaticPool)
    else:
        engine = create(connect_args={"timeout": busy_timeout_s})
    sa.event.listen(engine, "connect", _set_up_sqlite_connection)
    sa.event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


@contextmanager
def transaction(engine: sa.Engine, *, writes: bool = False) -> Iterator[sa.Connection]:
    """A connection in a transaction, committed at the end and rolled back on an error."""
    with engine.connect() as connection:
        connection.execution_options(xautolm_begin="BEGIN IMMEDIATE" if writes else "BEGIN")
        with connection.begin():
            yield connection


def insert_new(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that passes over rows which are there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def use_wal(engine: sa.Engine) -> None:
    """Let readers and one writer of a SQLite file work at the same time; the setting stays in the file."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    except engine.dialect.loaded_dbapi.OperationalError as error:
        # Another process is creating the same store, or the file is read-only: the migration will tell.
        logger.debug("WAL was not switched on: %s", error)
    finally:
        connection.close()


def check_is_there(url: sa.URL) -> None:
    """Refuse a SQLite file that does not exist (a server says so itself).

    Raises:
        StoreError: there is none.
    """
    path = _path_of(url)
    if path is not None and not path.exists():
        raise StoreError(
            f"There is no experience store at `{path}` yet. `xautolm fit` makes one; name another with `--store`."
        )


def compact(engine: sa.Engine) -> None:
    """Rewrite the tables without the room of deleted rows."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execution_options(xautolm_begin=None)  # it works outside a transaction only
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # what was deleted also stands in the log
        else:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql(f"VACUUM {', '.join(metadata.tables)}")


def _path_of(url: sa.URL) -> Path | None:
    """The file of a SQLite store; None for other stores and those in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return None if url.database.startswith("file:") else Path(url.database)


def _create_folder(url: sa.URL) -> None:
    path = _path_of(url)
    if path is None:
        return
    folder = path.parent
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
    statement = connection.get_execution_options().get("xautolm_begin", "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)
