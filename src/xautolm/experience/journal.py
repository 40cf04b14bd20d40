"""The run's journal, `trials.jsonl`: one finished trial is one line, on disk before anything else knows it.

A trial is finished when its line is complete, newline included (`design.md`, decision 10). What covers
which fault:

* killed or power lost while writing a line: the torn last line is cut off when the journal is opened or
  read again;
* disk full while writing a line: the journal is taken back to its previous length and the error raised;
* damage anywhere else: `RunFolderError` with the line number, nothing is changed.

One process at a time may append. Others may read with `repair=False`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, get_args

from xautolm.errors import RunFolderError
from xautolm.records import Status, TrialResult

STATUSES = frozenset(get_args(Status))


class Journal:
    """Appends finished trials to `trials.jsonl`; a torn last line left by an earlier process is cut off.

    Args:
        path: the file; created when missing, its folder must exist.

    Raises:
        OSError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        is_new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        self._length = _complete_length(path.read_bytes())
        os.ftruncate(self._file, self._length)
        self._holds_torn_line = False
        if is_new:
            _sync_folder(path.parent)

    def append(self, result: TrialResult) -> None:
        """Write one line and return when it is on the disk.

        Raises:
            ValueError: the result holds NaN or an infinity; nothing was written.
            OSError: the disk is full or failed; the journal is as before the call and may be appended to again.
        """
        line = json.dumps(result.to_dict(), allow_nan=False).encode("ascii") + b"\n"
        if self._holds_torn_line:
            self._cut_torn_line()
        self._holds_torn_line = True
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except BaseException:
            with contextlib.suppress(OSError):  # the next append tries again
                self._cut_torn_line()
            raise
        self._length += len(line)
        self._holds_torn_line = False

    def _cut_torn_line(self) -> None:
        os.ftruncate(self._file, self._length)
        self._holds_torn_line = False

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path, *, repair: bool = True) -> list[TrialResult]:
    """Read every finished trial of the search, in the order in which they finished.

    Args:
        path: the file; a missing one is a run without finished trials.
        repair: cut a torn last line off the file. Use False where the run may still be going on (a report):
            the torn line is then only left out, because its writer may be about to complete it.

    Raises:
        RunFolderError: a complete line is not a trial, or a trial stands there twice.
        OSError: the file cannot be read or, for a repair, written.
    """
    return [result for result in _read(path, repair=repair) if not result.is_baseline]


def read_baselines(path: Path) -> list[TrialResult]:
    """Read what the search of a run is held against; the file is left as it is.

    Raises:
        RunFolderError, OSError: as `read_journal`.
    """
    return [result for result in _read(path, repair=False) if result.is_baseline]


def _read(path: Path, *, repair: bool) -> list[TrialResult]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    length = _complete_length(content)
    if repair and length < len(content):
        os.truncate(path, length)
    results: list[TrialResult] = []
    lines: dict[int, int] = {}
    for number, result in _parse(path, content[:length]):
        first = lines.setdefault(result.trial_id, number)
        if first != number:
            raise RunFolderError(
                f"`{path}` must hold each trial once, but trial {result.trial_id} stands on lines {first} and "
                f"{number}; two processes may have written to it. Remove one of the lines, or start a new run."
            )
        results.append(result)
    return results


def write_atomic(path: Path, text: str) -> None:
    """Replace a file's content so that readers and later starts see either the old or the new text.

    Args:
        path: the file, UTF-8; its folder must exist.
        text: the whole new content.

    Raises:
        OSError: the disk is full or not writable; the old content is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _complete_length(content: bytes) -> int:
    r"""Number of bytes up to and including the last newline.

    >>> _complete_length(b'{"trial_id": 0}\n{"tri')
    16
    """
    return content.rfind(b"\n") + 1


def _parse(path: Path, content: bytes) -> Iterator[tuple[int, TrialResult]]:
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            result = TrialResult.from_dict(json.loads(line, parse_constant=_refuse_constant))
            if type(result.trial_id) is not int or result.status not in STATUSES:
                raise ValueError(f"trial_id {result.trial_id!r}, status {result.status!r}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RunFolderError(
                f"Line {number} of `{path}` must be one finished trial as JSON, but it is damaged "
                f"({type(error).__name__}: {error}). Repair or remove that line, or start a new run."
            ) from error
        yield number, result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut (POSIX; Windows has no such call)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
