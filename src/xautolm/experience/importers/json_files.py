"""JSON from files that nobody vouches for: of bounded size, UTF-8, no duplicate keys, only from regular files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from xautolm.experience.refusal import RowError, shown

JsonObject = dict[str, object]


def parse_object(content: bytes) -> JsonObject:
    """Parse one JSON object; `NaN` and infinities are let through, for the caller to judge.

    Raises:
        RowError: it is no JSON object, not UTF-8, nested too deeply, or has a key twice.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise RowError(f"must be UTF-8, but byte {error.start} is not") from error
    except RecursionError as error:
        raise RowError("must be plain JSON, but is nested too deeply") from error
    except ValueError as error:  # also a number of more digits than Python reads
        raise RowError(f"must be JSON, but is damaged: {shown(str(error))}") from error
    if not isinstance(value, dict):
        raise RowError(f"must be a JSON object, got {shown(value)}")
    return value


def read_object(path: Path, max_bytes: int) -> JsonObject:
    """Read a file that holds one JSON object.

    Raises:
        RowError: it cannot be read, is no regular file, is too large, or `parse_object` refuses it.
    """
    return parse_object(read_bytes(path, max_bytes))


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of bounded size.

    Raises:
        RowError: it is something else, too large, or cannot be read.
    """
    try:
        if not path.is_file():  # a pipe or a device would not end; links are followed, loops are not files
            raise RowError("must be a regular file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise RowError(f"cannot be read: {_reason(error)}") from error
    if len(content) > max_bytes:
        raise RowError(f"must have at most {max_bytes:,} bytes, but is larger")
    return content


def read_lines(path: Path, max_bytes: int) -> Iterator[tuple[int, bytes | RowError]]:
    """Number and content of each line that is not blank; a line that is too long is an error in its place.

    Raises:
        RowError: the file is no regular file or cannot be read.
    """
    try:
        if not path.is_file():
            raise RowError("must be a regular file")
        with path.open("rb") as file:
            number, line = 0, file.readline(max_bytes + 1)
            while line:
                number += 1
                if len(line) > max_bytes:
                    yield number, RowError(f"must have at most {max_bytes:,} bytes, but is larger")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(max_bytes + 1)
                elif line.strip():
                    yield number, line
                line = file.readline(max_bytes + 1)
    except OSError as error:
        raise RowError(f"cannot be read: {_reason(error)}") from error


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name.

    Raises:
        RowError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise RowError(f"cannot be listed: {_reason(error)}") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder itself; links to folders may lead in circles and are not followed."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _without_duplicates(pairs: list[tuple[str, object]]) -> JsonObject:
    result: JsonObject = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {name!r} stands twice")
        result[name] = value
    return result


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
