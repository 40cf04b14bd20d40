"""What is recorded of one task: shards of ten pipelines, and the journal of those that do not fill a shard yet.

Covered: killed at any moment (a torn last line of the journal is cut off and its pipeline runs again; rows that stand
in a shard and still in the journal count once), two recorders of one task at the same time (the second is refused).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from benchmarks.recorded import Row, read_shard, write_shard
from xautolm.errors import UsageError
from xautolm.experience.journal import write_atomic
from xautolm.records import canonical_json

if os.name == "posix":
    import fcntl

SHARD_SIZE = 10


class Ledger:
    """The recorded rows of one task and table seed; a context, in which the task is locked.

    Args:
        folder: of the table.
        task: its name.
        seed: of the table.
        kind: of a side recording ("pilot", a repeat), which stays in a journal of its own and has no shards; empty =
            the table.

    Raises:
        UsageError: another process records this task.
    """

    def __init__(self, folder: Path, task: str, seed: int, *, kind: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._kind = folder, kind
        self._name = _name(task, seed, kind)
        self._journal = _journal(folder, self._name)
        self._lock = _lock(folder / f".partial-{self._name}.lock", task)
        try:
            self.rows: dict[int, Row] = read_rows(folder, task, seed, kind=kind, repair=True)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()

    def add(self, row: Row) -> None:
        """Keep a row: in the journal first; with the last of ten neighbours, all of them become a shard."""
        with self._journal.open("ab") as file:
            file.write(canonical_json(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows[row["pipeline"]] = row
        if not self._kind:
            self._write_full_shard(row["pipeline"] // SHARD_SIZE)

    def clear(self) -> None:
        """Forget the rows of a side recording that was made under other conditions."""
        self._journal.unlink(missing_ok=True)
        self.rows.clear()

    def _write_full_shard(self, number: int) -> None:
        members = [self.rows.get(number * SHARD_SIZE + i) for i in range(SHARD_SIZE)]
        rows = [row for row in members if row is not None]
        if len(rows) == SHARD_SIZE:
            write_shard(self._shard(number), rows)
            waiting = [row for i, row in self.rows.items() if not self._shard(i // SHARD_SIZE).exists()]
            write_atomic(self._journal, "".join(canonical_json(row) + "\n" for row in waiting))

    def _shard(self, number: int) -> Path:
        return self._folder / f"{self._name}-{number:03d}.parquet"


def read_rows(folder: Path, task: str, seed: int, *, kind: str = "", repair: bool = False) -> dict[int, Row]:
    """Number of the pipeline -> row, of everything recorded of a task.

    Args:
        folder: of the table.
        task: its name.
        seed: of the table.
        kind: read the journal of this side recording instead.
        repair: cut a torn last line off the journal; only for its owner.

    Raises:
        UsageError: the journal is damaged.
    """
    name = _name(task, seed, kind)
    rows = {row["pipeline"]: row for row in _read_lines(_journal(folder, name), repair=repair)}
    for path in [] if kind else sorted(folder.glob(f"{name}-[0-9][0-9][0-9].parquet")):
        rows.update({row["pipeline"]: row for row in read_shard(path)})
    return rows


def _name(task: str, seed: int, kind: str) -> str:
    """Stem of a task's files; seed 0 is the table, other seeds draw other pipelines."""
    return f"{task}-{kind}" if kind else task if seed == 0 else f"{task}-seed{seed}"


def _journal(folder: Path, name: str) -> Path:
    return folder / f".partial-{name}.jsonl"


def _read_lines(path: Path, *, repair: bool) -> list[Row]:
    """The complete lines of a journal; a torn last one is left out, for a repair also cut off the file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    length = content.rfind(b"\n") + 1
    if repair and length < len(content):
        os.truncate(path, length)
    rows: list[Row] = []
    for number, line in enumerate(content[:length].splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise UsageError(
                f"expected one recorded row as JSON on line {number} of `{path}`, got {error}; remove the line"
            ) from None
    return rows


def _lock(path: Path, task: str) -> IO[Any]:
    """Hold a file locked until it is closed or the process ends."""
    file = path.open("w")
    if os.name == "posix":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(
                f"another process is recording {task!r} in `{path.parent}`; wait for it or stop it"
            ) from None
    return file
