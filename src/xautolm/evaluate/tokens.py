"""Tokenised rows, made once per (tokenizer, maximum length) and read by every trial through memory-mapped files.

Whoever comes first builds a cache entry under a file lock; the seconds that it took are kept with it, so that every
trial that uses the entry can add them to its own cost. A builder that is killed leaves nothing behind: the lock ends
with it and an entry appears by one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if os.name == "posix":
    import fcntl


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A piece of cached work.

    Attributes:
        folder: where it is.
        seconds: what building it took, then or now.
        is_new: whether it was built now.
        waited_s: seconds spent waiting for another trial that was building it; they are nobody's cost.
    """

    folder: Path
    seconds: float
    is_new: bool
    waited_s: float


def cache_entry(cache: Path, key: str, build: Callable[[Path], None]) -> CacheEntry:
    """Return a cache entry, building it when it is missing.

    Args:
        cache: folder of all entries.
        key: what the entry depends on.
        build: fills the empty folder that it is given.
    """
    asked = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:20]
    with (cache / f"{folder.name}.lock").open("w") as lock:
        if os.name == "posix":
            fcntl.flock(lock, fcntl.LOCK_EX)
        waited_s = time.monotonic() - asked
        meta = folder / "entry.json"
        if meta.exists():
            return CacheEntry(folder, float(json.loads(meta.read_text())["seconds"]), False, waited_s)
        partial = cache / f"{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        started = time.monotonic()
        build(partial)
        seconds = time.monotonic() - started
        (partial / "entry.json").write_text(json.dumps({"key": key, "seconds": seconds}))
        os.replace(partial, folder)
        return CacheEntry(folder, seconds, True, waited_s)


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Tokenised rows of one split, flat.

    Attributes:
        ids: token ids of all rows, shape (n_tokens,).
        types: segment ids of all rows, shape (n_tokens,).
        offsets: start of each row and the end of the last, shape (n_rows + 1,).
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> tuple[list[int], list[int]]:
        """Token ids and segment ids of one row."""
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return self.ids[start:end].tolist(), self.types[start:end].tolist()

    def lengths(self) -> NDArray[np.int64]:
        """Tokens per row, shape (n_rows,)."""
        return np.diff(self.offsets)


def tokenise(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int, folder: Path) -> None:
    """Tokenise rows with truncation (of the longer text of a pair) and save them flat."""
    rows_ids: list[NDArray[np.int32]] = []
    rows_types: list[NDArray[np.int8]] = []
    for start in range(0, len(texts), 2000):
        chunk = list(texts[start : start + 2000])
        second = list(pairs[start : start + 2000]) if pairs is not None else None
        encoded = tokenizer(chunk, second, truncation=True, max_length=max_length, return_token_type_ids=True)
        for ids, types in zip(encoded["input_ids"], encoded["token_type_ids"], strict=True):
            rows_ids.append(np.asarray(ids, dtype=np.int32))
            rows_types.append(np.asarray(types, dtype=np.int8))
    save_rows(rows_ids, folder, types=rows_types)


def save_rows(ids: Sequence[ArrayLike], folder: Path, *, types: Sequence[ArrayLike] | None = None) -> None:
    """Save tokenised rows flat.

    Args:
        ids: token ids of each row.
        folder: to write to.
        types: segment ids of each row; None = all 0.
    """
    rows = [np.asarray(row, dtype=np.int32) for row in ids]
    offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    segments = [np.asarray(row, dtype=np.int8) for row in types or ()]
    np.save(folder / "ids.npy", flat)
    np.save(folder / "types.npy", np.concatenate(segments) if segments else np.zeros(len(flat), np.int8))
    np.save(folder / "offsets.npy", offsets)


def load_rows(folder: Path) -> TokenRows:
    """Open what `save_rows` saved, memory-mapped."""
    return TokenRows(
        ids=np.load(folder / "ids.npy", mmap_mode="r"),
        types=np.load(folder / "types.npy", mmap_mode="r"),
        offsets=np.load(folder / "offsets.npy"),
    )
