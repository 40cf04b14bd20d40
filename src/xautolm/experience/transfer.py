"""Experiences that move: into a file, out of a file, from one store into another.

What is there already is passed over, so that everything may be repeated. An import adds all of a file or nothing,
unless the caller asks for a report of what was left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from xautolm.errors import DataError, StoreError
from xautolm.experience.codec import Encoded, Encoder
from xautolm.experience.dump_jsonl import Rows, read_jsonl, write_jsonl
from xautolm.experience.dump_parquet import read_parquet, write_parquet
from xautolm.experience.importers.imported import Rejected
from xautolm.experience.interchange import EntryReader, experience_entry, system_entry, task_entry
from xautolm.experience.refusal import RowError
from xautolm.experience.store import ExperienceStore
from xautolm.records import Experience

FORMS = ("jsonl", "parquet")
_SUFFIXES = {".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".parquet": "parquet"}
#: Reasons that a message names; a report has all of them.
_SHOWN_REASONS = 3


@dataclass(slots=True)
class Taken:
    """What an import or a merge did.

    Attributes:
        n_read: experiences that were offered and valid.
        n_new: those that were not there yet.
        rejected: rows that were left out, with reasons.
    """

    n_read: int = 0
    n_new: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def form_of(path: Path) -> str:
    """The form of a file by its name.

    Raises:
        DataError: the name does not say it.

    >>> form_of(Path("team.jsonl.gz"))
    'jsonl'
    """
    name = path.name.lower()
    form = next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), None)
    if form is None:
        raise DataError(f"expected a file name that ends in {', '.join(_SUFFIXES)}, got {path.name!r}")
    return form


def export(store: ExperienceStore, path: Path, kind: str | None = None) -> int:
    """Write a store to a new file; its name says the form.

    Args:
        store: is read in pieces; it may be written to meanwhile.
        path: `.jsonl`, `.jsonl.gz` or `.parquet`.
        kind: task kind; None = all.

    Returns:
        How many experiences were written.

    Raises:
        DataError: the file is there already, or cannot be written; nothing is left of it.
        StoreError: the store cannot be read.
    """
    form = form_of(path)
    if path.exists():
        raise DataError(f"`{path}` is there already; name another file, or remove it first")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if form == "parquet":
            n_written = write_parquet(temporary, store.iterate(kind))
        else:
            n_written = write_jsonl(temporary, store.iterate(kind), is_packed=path.name.lower().endswith(".gz"))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write `{path}` ({error.strerror or error}); nothing is left of it") from error
    finally:
        temporary.unlink(missing_ok=True)
    return n_written


def read(path: Path, form: str | None = None) -> Rows:
    """Read a file that `export` wrote, row by row.

    Args:
        path: the file.
        form: one of `FORMS`; None = by its name.

    Raises:
        DataError: there is no such file, or it is of another form.
    """
    form = form or form_of(path)
    if not path.is_file():
        raise DataError(f"there is no file `{path}`; check the path (the working directory is `{Path.cwd()}`)")
    return read_parquet(path) if form == "parquet" else read_jsonl(path)


def take_in(store: ExperienceStore, rows: Rows, *, allow_rejects: bool) -> Taken:
    """Add the experiences of a file to a store, in one transaction.

    Args:
        store: where to.
        rows: from `read`.
        allow_rejects: whether rows that are not valid are left out; else one of them refuses all.

    Raises:
        DataError: a row is not valid and none may be left out, or the file cannot be read on; nothing was added.
        StoreError: the store cannot be written; nothing was added.
    """
    taken = Taken()

    def valid() -> Iterator[Encoded]:
        encoder = Encoder()
        for where, build in rows:
            encoded = _encoded(encoder, where, build, taken)
            if encoded is not None:
                yield encoded
        if taken.rejected and not allow_rejects:
            raise refusal(taken.rejected)

    taken.n_new = store.add_encoded(valid())
    return taken


def merge(store: ExperienceStore, source: ExperienceStore, *, allow_rejects: bool = False) -> Taken:
    """Copy what another store has and this one lacks.

    The other store may be anybody's, so that its rows are checked like those of a file.

    Raises:
        DataError: a row is not valid and none may be left out; nothing was added.
        StoreError: one of the stores failed; nothing was added.
    """
    return take_in(store, _rows_of(source), allow_rejects=allow_rejects)


def _rows_of(source: ExperienceStore) -> Rows:
    reader, encoder = EntryReader(), Encoder()
    known = set[str]()
    for number, experience in enumerate(source.iterate(), start=1):
        where = f"experience {number} of the other store"
        yield where, partial(_checked, reader, encoder, known, experience, where)


def _checked(
    reader: EntryReader, encoder: Encoder, known: set[str], experience: Experience, where: str
) -> Experience | None:
    encoded = encoder.encode(experience)
    for entry in (task_entry(encoded.task), system_entry(encoded.system)):
        if entry["id"] not in known:
            reader.read(entry, where)
            known.add(entry["id"])
    return reader.read(experience_entry(experience, encoded), where)


def refusal(rejected: Iterable[Rejected]) -> DataError:
    """The error for rows that are not valid when none may be left out."""
    rows = list(rejected)
    shown = "".join(f"\n  {row.where}: {row.reason}" for row in rows[:_SHOWN_REASONS])
    more = f"\n  and {len(rows) - _SHOWN_REASONS} more" if len(rows) > _SHOWN_REASONS else ""
    return DataError(
        f"{len(rows)} rows are not valid experiences; nothing was added. To add the others, name a file for the "
        f"report of those that are left out: `--rejects FILE`.{shown}{more}"
    )


def write_report(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write what was left out, one JSON object per line: `where` and `reason`.

    Raises:
        DataError: the file cannot be written.
    """
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rejected)
    try:
        path.write_text(lines, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write the report `{path}` ({error.strerror})") from error


def _encoded(encoder: Encoder, where: str, build: Callable[[], Experience | None], taken: Taken) -> Encoded | None:
    """A row ready for the store; what is not valid goes to the report."""
    try:
        experience = build()
        encoded = None if experience is None else encoder.encode(experience)
    except (RowError, StoreError) as error:
        taken.rejected.append(Rejected(where, str(error)))
        return None
    taken.n_read += encoded is not None
    return encoded
