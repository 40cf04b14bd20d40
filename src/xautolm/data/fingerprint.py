"""Hashes that recognise data: of a file, of all rows of a task, of a sample of its rows (bottom-k sketch)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xautolm.errors import DataError
from xautolm.records import canonical_json

SKETCH_SIZE = 256
#: Salt of the row hashes (16 bytes, all that BLAKE2b takes); a new salt makes all older sketches
#: incomparable.
SKETCH_SALT = b"xautolm-sketch-1"


def row_key(text: str, pair: str | None = None) -> str:
    r"""Identity of a row's text up to case and white space; equal keys mean near-exact duplicates.

    The separator `\x1f` counts as white space, so no normalised text contains it.

    >>> row_key("Great\n  PHONE "), row_key("a", "B")
    ('great phone', 'a\x1fb')
    """
    key = " ".join(text.casefold().split())
    return key if pair is None else f"{key}\x1f{' '.join(pair.casefold().split())}"


def sketch_rows(keys: Iterable[str]) -> tuple[int, ...]:
    """Bottom-k sketch of a set of rows: the `SKETCH_SIZE` smallest salted row hashes.

    The sketch of a subset shares hashes with the sketch of the whole, whatever the order of the rows; texts
    cannot be read back from it. Reference: Cohen and Kaplan, "Summarizing data using bottom-k sketches" (PODC
    2007).

    Args:
        keys: `row_key` of every row; repeats count once.

    Returns:
        At most `SKETCH_SIZE` distinct integers below 2**63 (so that SQL integers hold them), ascending.
    """
    hashes = {
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, salt=SKETCH_SALT).digest(), "big") >> 1
        for key in set(keys)
    }
    return tuple(heapq.nsmallest(SKETCH_SIZE, hashes))


def sketch_containment(a: Sequence[int], b: Sequence[int], *, size: int = SKETCH_SIZE) -> float:
    """Estimate which share of the smaller set's rows is also in the larger one: |A and B| / min(|A|, |B|).

    Both sketches know all hashes of their set up to the smaller of their largest entries (a sketch that is
    not full knows all), so the share is taken among those. Symmetric: it is 1 for a subset, whichever side it
    is on.

    Args:
        a: sketch of one set, ascending.
        b: sketch of the other set, ascending.
        size: entries of a full sketch.

    Returns:
        A share in [0, 1]; 0 when either set is empty or the sets are too different in size to tell.

    >>> sketch_containment((1, 5, 9), (1, 5, 7, 9))  # neither is full: exact
    1.0
    >>> sketch_containment((1, 5, 9), (1, 2, 3), size=3)  # up to 3, A has 1 and B has 1, 2, 3
    1.0
    >>> sketch_containment((1, 4), (2, 4))
    0.5
    >>> sketch_containment((), (1, 2))
    0.0
    """
    if not a or not b:
        return 0.0
    limits = [sketch[-1] for sketch in (a, b) if len(sketch) >= size]
    limit = min(limits) if limits else max(a[-1], b[-1])
    known_a = {value for value in a if value <= limit}
    known_b = {value for value in b if value <= limit}
    smaller = min(len(known_a), len(known_b))
    return len(known_a & known_b) / smaller if smaller else 0.0


def fingerprint_rows(rows: Mapping[str, Iterable[Sequence[object]]]) -> str:
    """Hash every row in order, so that any change of a text, a label or the order changes the fingerprint.

    Args:
        rows: role of the source (`train`, `validation`, `test`) -> its rows as loaded, before any split is cut, so
            that the fingerprint does not depend on the seed: (text, text pair, label), or (question, context,
            ((answer, start), ...)).

    Returns:
        sha256 as 64 hex digits.
    """
    digest = hashlib.sha256()
    for role, part in rows.items():
        digest.update(f"{role}\n".encode())
        for row in part:
            digest.update(canonical_json(row).encode())
            digest.update(b"\n")
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hash a data file, or a folder of data files, as it lies on the disk.

    Args:
        path: a file, or a folder (then its relative file names, sorted, and their bytes count).

    Returns:
        sha256 as 64 hex digits.

    Raises:
        DataError: when the path does not exist or cannot be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return _digest(path).hex()
        total = hashlib.sha256()
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0".encode() + _digest(file))
        return total.hexdigest()
    except OSError as error:
        raise DataError(
            f"`{path}` cannot be read: {error.strerror or error}; check the path and its permissions"
        ) from error


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
