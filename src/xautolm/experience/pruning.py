"""Removing experiences on purpose. Nothing else ever deletes from a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import sqlalchemy as sa

from xautolm.errors import UsageError
from xautolm.experience.schema import experiences, systems, tasks
from xautolm.experience.store import ExperienceStore

#: Rows deleted in one statement; SQLite allows 999 variables in its oldest builds.
DELETE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """Which experiences are removed: those for which everything that is set holds.

    Attributes:
        older_than: made before this moment; one whose time cannot be read is not older than anything.
        datasets: of one of these data sets; empty = of any.
        source: `machine`, `import` or `starter`; None = any.
        keep: of those, the last added of each task on each machine are kept, this many; 0 = none.
    """

    older_than: datetime | None = None
    datasets: Sequence[str] = ()
    source: str | None = None
    keep: int = 0

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise UsageError(f"the number of experiences to keep must not be negative, got {self.keep}")
        if self.older_than is None and not self.datasets and self.source is None and not self.keep:
            raise UsageError("say what to remove: an age, data sets, a source, or how many to keep of each task")


def prune(store: ExperienceStore, rule: Rule, *, is_rehearsal: bool = False) -> dict[str, int]:
    """Remove experiences, then tasks and machines that none refers to any more, and give their room back.

    Args:
        store: where from.
        rule: which ones.
        is_rehearsal: only count them.

    Returns:
        Data set -> how many were (or would be) removed.

    Raises:
        StoreError: the database failed; nothing was removed.
    """
    with store.connection(writes=not is_rehearsal) as connection:
        chosen = _choose(connection, rule)
        if not is_rehearsal:
            for ids in _parts([experience_id for experience_id, _ in chosen]):
                connection.execute(sa.delete(experiences).where(experiences.c.experience_id.in_(ids)))
            for table, key in ((tasks, "task_id"), (systems, "system_id")):
                used = sa.select(experiences.c[key])
                connection.execute(sa.delete(table).where(table.c[key].not_in(used)))
    if chosen and not is_rehearsal:
        store.compact()
    return dict(Counter(dataset_id for _, dataset_id in chosen).most_common())


def _choose(connection: sa.Connection, rule: Rule) -> list[tuple[int, str]]:
    """Id and data set of what is removed."""
    columns = (experiences.c.experience_id, tasks.c.dataset_id, experiences.c.created_at)
    query = (
        sa.select(*columns, experiences.c.task_id, experiences.c.system_id)
        .join(tasks, tasks.c.task_id == experiences.c.task_id)
        .order_by(experiences.c.experience_id.desc())
    )
    if rule.datasets:
        query = query.where(tasks.c.dataset_id.in_(list(rule.datasets)))
    if rule.source is not None:
        query = query.where(experiences.c.source == rule.source)
    seen = Counter[tuple[int, int]]()
    chosen = []
    for experience_id, dataset_id, created_at, task_id, system_id in connection.execute(query):
        if rule.older_than is not None and not _is_before(created_at, rule.older_than):
            continue
        seen[task_id, system_id] += 1
        if seen[task_id, system_id] > rule.keep:
            chosen.append((experience_id, dataset_id))
    return chosen


def _is_before(created_at: str, moment: datetime) -> bool:
    try:
        made = datetime.fromisoformat(created_at)
    except ValueError:
        return False
    return (made if made.tzinfo else made.replace(tzinfo=UTC)) < moment


def _parts(ids: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while part := list(islice(rest, DELETE_ROWS)):
        yield part
