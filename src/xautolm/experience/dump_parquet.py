"""Experiences as a Parquet file: one row each, with columns for analysts; three JSON columns are what is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from xautolm.errors import DataError
from xautolm.experience.codec import Encoder, write_canonical
from xautolm.experience.dump_jsonl import Rows
from xautolm.experience.interchange import (
    FORMAT,
    VERSION,
    EntryReader,
    experience_fields,
    parse,
    system_entry,
    task_entry,
)
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Experience

#: Rows that are written and read at a time.
PART_ROWS = 2_000
#: Largest part of a file that is read, unpacked.
MAX_PART_BYTES = 2**30
_JSON_COLUMNS = ("task", "system", "experience")
_TEXT_COLUMNS = ("kind", "dataset_id", "run_id", "status", "error_kind", "model", "method", "source", "created_at")


def write_parquet(path: Path, experiences: Iterable[Experience]) -> int:
    """Write a file; returns the number of experiences.

    Raises:
        OSError: the disk is full or not writable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [(name, pa.string()) for name in (*_JSON_COLUMNS, *_TEXT_COLUMNS)]
    columns += [("trial_id", pa.int64()), ("f1", pa.float64()), ("time_s", pa.float64())]
    schema = pa.schema(columns, metadata={"format": FORMAT, "version": str(VERSION)})
    n_written = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for part in _parts(experiences):
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
            n_written += len(part)
    return n_written


def read_parquet(path: Path) -> Rows:
    """Read a file.

    Raises:
        DataError: it is no Parquet file of experiences.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    entries, number = EntryReader(), 0
    try:
        with pq.ParquetFile(path) as file:
            _check(file, path)
        with pq.ParquetFile(path, read_dictionary=["task", "system"], page_checksum_verification=True) as file:
            for batch in file.iter_batches(PART_ROWS, columns=list(_JSON_COLUMNS)):
                tasks, systems = (_references(entries, batch.column(name)) for name in ("task", "system"))
                for task, system, text in zip(tasks, systems, batch.column("experience").to_pylist(), strict=True):
                    number += 1
                    yield f"row {number}", _builder(entries, task, system, text, f"row {number}")
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        raise DataError(f"`{path}` cannot be read as Parquet after row {number} ({shown(str(error))})") from error


def _parts(experiences: Iterable[Experience]) -> Iterator[list[dict[str, Any]]]:
    encoder, part = Encoder(), list[dict[str, Any]]()
    for experience in experiences:
        part.append(_row(experience, encoder))
        if len(part) == PART_ROWS:
            yield part
            part = []
    yield part


def _row(experience: Experience, encoder: Encoder) -> dict[str, Any]:
    encoded = encoder.encode(experience)
    row = encoded.experience
    return {
        "task": write_canonical(task_entry(encoded.task)),
        "system": write_canonical(system_entry(encoded.system)),
        "experience": write_canonical(experience_fields(experience)),
        **{name: row[name] for name in _TEXT_COLUMNS[2:]},
        "kind": experience.kind,
        "dataset_id": experience.dataset_id,
        "trial_id": row["trial_id"],
        "f1": None if row["f1"] is None else float(row["f1"]),
        "time_s": float(row["time_s"]),
    }


def _check(file: Any, path: Path) -> None:
    """Refuse a file of something else, and one whose parts would fill the memory."""
    import pyarrow as pa

    schema, metadata = file.schema_arrow, file.schema_arrow.metadata or {}
    if metadata.get(b"format") != FORMAT.encode() or metadata.get(b"version") != str(VERSION).encode():
        raise DataError(f"`{path}` must be a store that was exported by xautolm in version {VERSION}, but is not")
    for name in _JSON_COLUMNS:
        index = schema.get_field_index(name)
        kind = schema.field(index).type if index >= 0 else None
        if kind is None or not (pa.types.is_string(kind) or pa.types.is_dictionary(kind)):
            raise DataError(f"`{path}` must have one column of text named `{name}`, got {shown(str(kind))}")
    parts = (file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    largest = max(parts, default=0)
    if largest > MAX_PART_BYTES:
        raise DataError(f"`{path}` must have row groups of at most {MAX_PART_BYTES:,} bytes, got {largest:,}")


def _references(entries: EntryReader, column: Any) -> Iterator[str | RowError]:
    """The id that each row refers to; what is shared is written once per part, and read once."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    known = [_take_in(entries, text) for text in column.dictionary.to_pylist()]
    for index in column.indices.to_pylist():
        yield RowError("`task` and `system` must not be empty") if index is None else known[index]


def _take_in(entries: EntryReader, text: object) -> str | RowError:
    try:
        entry = parse(text) if isinstance(text, str) else None
        if not isinstance(entry, dict) or "experience" in entry:
            raise RowError(f"expected a task or a system, got {shown(text)}")
        entries.read(entry, "")
    except RowError as error:
        return error
    return str(entry["id"])


def _builder(
    entries: EntryReader, task: str | RowError, system: str | RowError, text: object, where: str
) -> Callable[[], Experience | None]:
    def build() -> Experience | None:
        for reference in (task, system):
            if isinstance(reference, RowError):
                raise reference
        fields = parse(text) if isinstance(text, str) else None
        if not isinstance(fields, dict):
            raise RowError(f"`experience` must hold an object, got {shown(text)}")
        return entries.read({"experience": {**fields, "task": task, "system": system}}, where)

    return build
