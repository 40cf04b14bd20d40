"""The experience store: every finished trial of every run, in SQLite or PostgreSQL.

Covered: a second `add` of the same trial; several processes that add to or create the store at the same
time; a failure in the middle of an `add` (all or nothing); stores of older releases (migrated when opened);
files that are no store or of a newer release (refused, unchanged). Not covered: SQLite files on network
drives that do not lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from xautolm.errors import StoreError
from xautolm.experience import migrations
from xautolm.experience.codec import Encoded, Encoder, decode
from xautolm.experience.engine import check_is_there, compact, create_engine, transaction, use_wal
from xautolm.experience.faults import translate_faults
from xautolm.experience.groups import ExperienceGroup, SharedParts, count_groups, group_of
from xautolm.experience.location import default_store_url, display_url, parse_store_url
from xautolm.experience.reading import rows_after, rows_of, rows_where
from xautolm.experience.schema import experiences, metadata, tasks
from xautolm.experience.writing import Writer
from xautolm.records import Experience

__all__ = ["ExperienceStore", "default_store_url", "display_url"]

#: Experiences that are encoded and written at a time while adding.
ADD_ROWS = 5_000
#: Experiences read in one transaction while iterating.
PAGE_ROWS = 2_000
#: Largest number of an experience that every database's INTEGER holds.
MAX_ID = 2**31 - 1
#: Key of PostgreSQL's advisory lock under which one process at a time migrates (any number that is ours).
MIGRATION_LOCK = 0x7861_6C6D


class ExperienceStore:
    """Append-only memory of finished trials. Opening creates it or brings an older one up to date.

    May be used by several threads and processes at once; an object must not be carried into a forked child.

    Args:
        url: `sqlite:///PATH` (missing folders are created) or `postgresql+psycopg://...`.
        busy_timeout_s: how long to wait for another process that is writing to a SQLite file.
        create: make a SQLite file that is not there; False refuses it, for commands that only look.

    Raises:
        StoreError: the database cannot be reached, is no experience store, or is of a newer release.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0, create: bool = True) -> None:
        self._url = parse_store_url(url)
        if not create:
            check_is_there(self._url)
        self._engine = create_engine(self._url, busy_timeout_s)
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
        return self.add_encoded(map(Encoder().encode, new))

    def add_encoded(self, new: Iterable[Encoded]) -> int:
        """Add experiences that are rows already, as `add` does.

        Returns:
            How many were new.

        Raises:
            StoreError: the database failed; the store is unchanged. So it is when `new` raises.
        """
        chunks = _chunks(new, ADD_ROWS)
        first = next(chunks, None)  # before the lock is taken: most adds are one chunk, and it may be refused
        if first is None:
            return 0
        with translate_faults(self._url), transaction(self._engine, writes=True) as connection:
            writer = Writer(connection)
            return sum(writer.write(chunk) for chunk in itertools.chain([first], chunks))

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
        wanted = _condition(kind, exclude_datasets)
        with translate_faults(self._url), transaction(self._engine) as connection:
            shared = SharedParts()
            shared.read(connection, wanted)
            return [self._decode(row, shared) for row in rows_where(connection, wanted)]

    def iterate(self, kind: str | None = None) -> Iterator[Experience]:
        """Read experiences in the order in which they were added, a few at a time.

        No transaction stays open in between, so the store may be written to meanwhile. What is added after the
        first one was read may or may not be among them.

        Args:
            kind: task kind; None = all.

        Raises:
            StoreError: the database failed or holds a row that is no experience.
        """
        wanted = _condition(kind, ())
        last = 0
        while True:
            with translate_faults(self._url), transaction(self._engine) as connection:
                rows = rows_after(connection, last, wanted, PAGE_ROWS)
                shared = SharedParts()
                shared.read(connection, tasks.c.task_id.in_(sorted({row["task_id"] for row in rows})))
            for row in rows:
                yield self._decode(row, shared)
            if len(rows) < PAGE_ROWS:
                return
            last = rows[-1]["experience_id"]

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        """What there is, by task and machine, in the order in which the first experience of each was added.

        Args:
            kind: task kind; None = all.
            exclude_datasets: `dataset_id`s that are left out.

        Raises:
            StoreError: the database failed or holds a task that is none.
        """
        wanted = _condition(kind, exclude_datasets)
        with translate_faults(self._url), transaction(self._engine) as connection:
            shared = SharedParts()
            shared.read(connection, wanted)
            return [group_of(shared, *counted) for counted in count_groups(connection, wanted)]

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        """Read the experiences of some groups, of the first group first, inside a group the last added first.

        Args:
            groups: of this store, as `groups` returned them; those that put the nearest tasks first get the nearest
                experiences when there are more than `limit`.
            limit: largest number of experiences; None = all.

        Raises:
            StoreError: the database failed or holds a row that is no experience.
        """
        loaded: list[Experience] = []
        with translate_faults(self._url), transaction(self._engine) as connection:
            for group in groups:
                room = None if limit is None else limit - len(loaded)
                if room is not None and room <= 0:
                    break
                shared = SharedParts.of(group)
                loaded += [self._decode(row, shared) for row in rows_of(connection, group, room)]
        return loaded

    def get(self, experience_id: int) -> Experience | None:
        """Read one experience by its number; None when there is none with it.

        Raises:
            StoreError: the database failed or the row is no experience.
        """
        if not 0 < experience_id <= MAX_ID:
            return None
        with translate_faults(self._url), transaction(self._engine) as connection:
            rows = rows_after(connection, experience_id - 1, sa.true(), 1)
            if not rows or rows[0]["experience_id"] != experience_id:
                return None
            shared = SharedParts()
            shared.read(connection, tasks.c.task_id == rows[0]["task_id"])
            return self._decode(rows[0], shared)

    @contextmanager
    def connection(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        """A connection in a transaction, for the modules of this package that ask or change more than an `add`.

        Raises:
            StoreError: the database failed; nothing was changed.
        """
        with translate_faults(self._url), transaction(self._engine, writes=writes) as connection:
            yield connection

    def compact(self) -> None:
        """Give the room of deleted rows back, so that nothing of them stays in the file.

        Raises:
            StoreError: the database failed; its rows are as before.
        """
        with translate_faults(self._url):
            compact(self._engine)

    def count(self) -> int:
        """Number of experiences of all kinds.

        Raises:
            StoreError: the database failed.
        """
        with translate_faults(self._url), transaction(self._engine) as connection:
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

    def _decode(self, row: Mapping[str, Any], shared: SharedParts) -> Experience:
        try:
            task = shared.tasks[row["task_id"]]
            return decode(task, shared.profile(row["task_id"], row["system_id"]), row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"Row {row['experience_id']} of `{self.display_url}` must be an experience, but is not "
                f"({type(error).__name__}: {error}). Restore a copy of the store, or delete that row."
            ) from error

    def _bring_up_to_date(self) -> None:
        with transaction(self._engine) as connection:
            if self._is_up_to_date(connection):
                return
        if self._engine.dialect.name == "sqlite":
            use_wal(self._engine)
        with transaction(self._engine, writes=True) as connection:
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


def _condition(kind: str | None, exclude_datasets: Sequence[str]) -> sa.ColumnElement[bool]:
    """Which tasks are wanted, as a condition on `tasks`."""
    wanted = sa.true() if kind is None else tasks.c.kind == kind
    if exclude_datasets:
        wanted &= tasks.c.dataset_id.not_in(list(exclude_datasets))
    return wanted


def _chunks(items: Iterable[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Lists of `size` items, the last one shorter.

    >>> list(_chunks(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk
