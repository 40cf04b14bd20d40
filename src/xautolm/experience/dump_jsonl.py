"""Experiences as JSON lines, also gzipped: a header, entries as `interchange` defines them, and a last line.

{"format": "xautolm-experiences", "version": 1}
{"id": "...", "task": {...}}            a task or a machine comes before the first experience that refers to it
{"id": "...", "system": {...}}
{"experience": {...}}
{"end": 1}                              number of experiences: a file that was cut off lacks it
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from xautolm.errors import DataError
from xautolm.experience.codec import Encoder, write_canonical
from xautolm.experience.interchange import (
    FORMAT,
    MAX_ENTRY_BYTES,
    VERSION,
    EntryReader,
    experience_entry,
    header,
    parse,
    system_entry,
    task_entry,
)
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Experience

#: Place in the file, and what builds the experience there (None for an entry that is none) or raises `RowError`.
Rows = Iterator[tuple[str, Callable[[], Experience | None]]]

_GZIP = b"\x1f\x8b"


def write_jsonl(path: Path, experiences: Iterable[Experience], *, is_packed: bool) -> int:
    """Write a file; returns the number of experiences.

    Raises:
        OSError: the disk is full or not writable.
    """
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("wb"))
        if is_packed:  # without time and name inside: the same experiences make the same file
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0)))
        _write(file, header())
        n_written = _write_entries(file, experiences)
        _write(file, {"end": n_written})
    return n_written


def read_jsonl(path: Path) -> Rows:
    """Read a file, gzipped or not whatever its name.

    Raises:
        DataError: it does not begin with the header.
    """
    with path.open("rb") as raw:
        is_packed = raw.read(2) == _GZIP
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if is_packed else raw
        lines = _lines(file)
        _check_header(lines, path)
        yield from _rows(lines)


def _write_entries(file: IO[bytes], experiences: Iterable[Experience]) -> int:
    encoder, known, n_written = Encoder(), set[str](), 0
    for experience in experiences:
        encoded = encoder.encode(experience)
        for entry in (task_entry(encoded.task), system_entry(encoded.system)):
            if entry["id"] not in known:
                known.add(entry["id"])
                _write(file, entry)
        _write(file, experience_entry(experience, encoded))
        n_written += 1
    return n_written


def _write(file: IO[bytes], entry: dict[str, Any]) -> None:
    file.write(write_canonical(entry).encode() + b"\n")


def _rows(lines: Iterator[tuple[str, bytes | RowError]]) -> Rows:
    entries = EntryReader()
    n_entries, end = 0, None
    for where, line in lines:
        if end is not None or isinstance(line, RowError):
            yield where, _refusal(line if isinstance(line, RowError) else RowError("the file goes on after its end"))
            return
        end = _end_of(line)
        if end is None:
            n_entries += 1
            yield where, _builder(entries, line, where)
    n_read = n_entries - entries.n_shared
    if end != n_read:
        said = "does not say that it is complete" if end is None else f"says that it holds {shown(end)}"
        yield "the end", _refusal(RowError(f"the file {said}, but has {n_read} experiences; get a complete copy"))


def _builder(entries: EntryReader, line: bytes, where: str) -> Callable[[], Experience | None]:
    return lambda: entries.read(parse(line), where)


def _refusal(error: RowError) -> Callable[[], Experience | None]:
    def refuse() -> Experience | None:
        raise error

    return refuse


def _end_of(line: bytes) -> object:
    """What the last line says; None for any other line."""
    if not line.startswith(b'{"end"'):
        return None
    try:
        value = parse(line)
    except RowError:  # no last line, and no entry: that is told where entries are built
        return None
    return value.get("end") if isinstance(value, dict) else None


def _lines(file: IO[bytes] | gzip.GzipFile) -> Iterator[tuple[str, bytes | RowError]]:
    """Lines with their places; of one that is too long only the beginning. What cannot be unpacked is the last."""
    number = 0
    try:
        while line := file.readline(MAX_ENTRY_BYTES + 1):
            number += 1
            part = line
            while part and not part.endswith(b"\n") and len(line) > MAX_ENTRY_BYTES:
                part = file.readline(MAX_ENTRY_BYTES)
            if line.strip():
                yield f"line {number}", line
    except (OSError, EOFError, zlib.error) as error:
        yield f"after line {number}", RowError(f"the file is damaged or cut off here: {shown(str(error))}")


def _check_header(lines: Iterator[tuple[str, bytes | RowError]], path: Path) -> None:
    _, line = next(lines, ("", b""))
    try:
        value = parse(line) if isinstance(line, bytes) else None
    except RowError:
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        came = shown(line[:40]) if isinstance(line, bytes) else str(line)
        raise DataError(f"`{path}` must begin with the header of an exported store, got {came}")
    if value.get("version") != VERSION:
        raise DataError(
            f"`{path}` must be of version {VERSION}, got {shown(value.get('version'))}: another release of xautolm "
            "wrote it. Use that release, or export again with this one."
        )
