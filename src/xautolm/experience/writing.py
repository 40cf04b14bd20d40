"""Writes encoded experiences inside one transaction: tasks and systems once each, what is there already is passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from xautolm.experience.codec import Encoded
from xautolm.experience.engine import insert_new
from xautolm.experience.schema import experiences, systems, tasks

#: Hashes asked for in one statement; SQLite allows 999 variables in its oldest builds.
LOOKUP_ROWS = 500


class Writer:
    """Adds experiences to a store.

    Args:
        connection: in a transaction that holds the write lock.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._task_ids: dict[str, int] = {}
        self._system_ids: dict[str, int] = {}

    def write(self, encoded: Sequence[Encoded]) -> int:
        """Write experiences that are not there yet; returns how many were new.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database refused; the caller's transaction decides what stays.
        """
        self._intern(tasks, self._task_ids, [item.task for item in encoded])
        self._intern(systems, self._system_ids, [item.system for item in encoded])
        rows = [
            {
                **item.experience,
                "task_id": self._task_ids[item.task["content_hash"]],
                "system_id": self._system_ids[item.system["content_hash"]],
            }
            for item in encoded
        ]
        insert = insert_new(self._connection, experiences).returning(experiences.c.experience_id)
        return len(self._connection.execute(insert, rows).all())

    def _intern(self, table: sa.Table, ids: dict[str, int], rows: Sequence[Mapping[str, Any]]) -> None:
        """Make sure that the rows are in `table`, each content once; add content hash -> id to `ids`."""
        unknown = {row["content_hash"]: row for row in rows if row["content_hash"] not in ids}
        ids |= self._look_up(table, sorted(unknown))
        # In one order everywhere, so that two processes cannot wait for each other.
        missing = sorted(unknown.keys() - ids.keys())
        if missing:
            self._connection.execute(insert_new(self._connection, table), [dict(unknown[key]) for key in missing])
            ids |= self._look_up(table, missing)

    def _look_up(self, table: sa.Table, hashes: Sequence[str]) -> dict[str, int]:
        (key,) = table.primary_key.columns
        query = sa.select(table.c.content_hash, key)
        ids: dict[str, int] = {}
        for start in range(0, len(hashes), LOOKUP_ROWS):
            wanted = table.c.content_hash.in_(hashes[start : start + LOOKUP_ROWS])
            ids.update((row[0], row[1]) for row in self._connection.execute(query.where(wanted)))
        return ids
