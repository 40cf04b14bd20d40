"""Is a store what it was when it was written? Everything is read again, and every hash computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from xautolm.errors import StoreError
from xautolm.experience.codec import Encoder, decode, read_json, shared_hash
from xautolm.experience.schema import experiences, systems, tasks
from xautolm.experience.store import ExperienceStore
from xautolm.records import Profile

#: Rows read at a time.
PAGE_ROWS = 2_000
_JSON_COLUMNS = frozenset(("features", "semantic", "sketch", "versions", "result"))
#: Columns that the database gives: what a row's content does not say.
_GIVEN = frozenset(("task_id", "system_id", "experience_id", "content_hash"))
CHANGED = "is not what it was when it was written (its content hash differs)"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a store that is not as it was written.

    Attributes:
        where: table and id, or `database`.
        what: is wrong.
    """

    where: str
    what: str


def check(store: ExperienceStore) -> Iterator[Problem]:
    """Find what is damaged: pages of the file, references, rows that are no experiences, contents that changed.

    A database that cannot be read on is the last problem.
    """
    try:
        yield from _check_all(store)
    except StoreError as error:
        yield Problem("database", str(error))


def _check_all(store: ExperienceStore) -> Iterator[Problem]:
    known = _Known()
    with store.connection() as connection:
        yield from _check_file(connection)
        yield from _check_references(connection)
        yield from known.read(connection)
    last = 0
    while True:
        with store.connection() as connection:
            rows = _rows(connection, experiences, last)
        yield from (problem for row in rows for problem in known.check(row))
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1]["experience_id"]


def _check_file(connection: sa.Connection) -> Iterator[Problem]:
    """What SQLite finds itself (a server checks its pages when it reads them)."""
    if connection.dialect.name == "sqlite":
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if line != "ok":
                yield Problem("database", line)


def _check_references(connection: sa.Connection) -> Iterator[Problem]:
    for table, key in ((tasks, "task_id"), (systems, "system_id")):
        query = (
            sa.select(experiences.c.experience_id)
            .outerjoin(table, table.c[key] == experiences.c[key])
            .where(table.c[key].is_(None))
        )
        for (experience_id,) in connection.execute(query):
            yield Problem(f"experience {experience_id}", f"refers to nothing in `{table.name}`")


def _rows(connection: sa.Connection, table: sa.Table, last: int) -> list[dict[str, Any]]:
    """The next rows, JSON columns as text, so that a damaged one spoils only itself."""
    (key,) = table.primary_key.columns
    columns = [sa.cast(c, sa.Text).label(c.name) if c.name in _JSON_COLUMNS else c for c in table.columns]
    query = sa.select(*columns).where(key > last).order_by(key).limit(PAGE_ROWS)
    return [dict(row) for row in connection.execute(query).mappings()]


class _Known:
    """The tasks and machines of a store, as far as they are sound."""

    def __init__(self) -> None:
        self._tasks: dict[int, dict[str, Any]] = {}
        self._systems: dict[int, dict[str, Any]] = {}
        self._profiles: dict[tuple[int, int], Profile] = {}
        self._encoder = Encoder()

    def read(self, connection: sa.Connection) -> Iterator[Problem]:
        """Read and check them all."""
        for table, sound in ((tasks, self._tasks), (systems, self._systems)):
            (key,) = table.primary_key.columns
            last = 0
            while rows := _rows(connection, table, last):
                last = rows[-1][key.name]
                for row in rows:
                    yield from self._take(table, row, row[key.name], sound)

    def _take(
        self, table: sa.Table, row: dict[str, Any], number: int, sound: dict[int, dict[str, Any]]
    ) -> Iterator[Problem]:
        where = f"{table.name.removesuffix('s')} {number}"
        try:
            value = _read_json_columns(row)
            is_same = shared_hash(value) == row["content_hash"]
        except (StoreError, TypeError, ValueError) as error:
            yield Problem(where, f"cannot be read ({type(error).__name__}: {error})")
            return
        sound[number] = value
        if not is_same:
            yield Problem(where, CHANGED)

    def check(self, row: dict[str, Any]) -> Iterator[Problem]:
        """Check one experience; one whose task or machine is damaged was reported with that."""
        where, key = f"experience {row['experience_id']}", (row["task_id"], row["system_id"])
        if key[0] not in self._tasks or key[1] not in self._systems:
            return
        try:
            value = _read_json_columns(row)
            if key not in self._profiles:
                self._profiles[key] = _profile(self._tasks[key[0]], self._systems[key[1]])
            experience = decode(self._tasks[key[0]], self._profiles[key], value)
            again = self._encoder.encode(experience).experience
        except (StoreError, KeyError, TypeError, ValueError, AttributeError) as error:
            yield Problem(where, f"cannot be read ({type(error).__name__}: {error})")
            return
        if again["content_hash"] != row["content_hash"]:
            yield Problem(where, CHANGED)
        names = again.keys() - _GIVEN - _JSON_COLUMNS
        wrong = sorted(name for name in names if again[name] != row[name])
        if wrong:
            yield Problem(where, f"says something else in {', '.join(wrong)} than in `result`")


def _read_json_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    value = {
        name: read_json(item, store="store") if name in _JSON_COLUMNS and item is not None else item
        for name, item in row.items()
    }
    if "sketch" in value:
        value["sketch"] = tuple(value["sketch"])
    return value


def _profile(task: Mapping[str, Any], system: Mapping[str, Any]) -> Profile:
    return Profile(
        schema=task["schema_name"],
        task=task["features"],
        system_schema=system["schema_name"],
        system=system["features"],
        semantic=None if task["semantic"] is None else tuple(task["semantic"]),
        system_name=system["name"],
    )
