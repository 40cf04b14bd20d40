"""Reads and writes csv, tsv, json, jsonl and parquet (plain or gzipped), reads CoNLL and folders saved by `datasets`.

Cells come in as written. Text formats are never guessed at: `NA`, `null`, `001` in a csv file stay strings.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from xautolm.data.conll import looks_like_conll, parse_conll
from xautolm.data.delimited import parse_delimited
from xautolm.data.nested import flat_rows
from xautolm.data.wording import names
from xautolm.errors import DataError

if TYPE_CHECKING:
    import datasets

TABLES = ("csv", "tsv", "json", "jsonl", "parquet")
#: Suffixes of files of tagged words.
CONLL = ("conll", "txt", "iob", "bio")
FORMATS = (*TABLES, *CONLL)
DELIMITERS = {"csv": ",", "tsv": "\t"}
SUPPORTED = "csv, tsv, json, jsonl, parquet or conll (each also as .gz), or a folder saved by `datasets`"


def split_name(path: str | Path) -> tuple[str, str, bool]:
    """Take a file name apart.

    Args:
        path: a file or folder; it need not exist.

    Returns:
        Stem, format (one of `FORMATS`, or empty when the suffix is none of them) and whether it is gzipped.

    >>> split_name("sst2/train.jsonl.gz"), split_name("my.reviews.CSV"), split_name("notes.doc")
    (('train', 'jsonl', True), ('my.reviews', 'csv', False), ('notes.doc', '', False))
    """
    name = Path(path).name
    is_gzipped = name.lower().endswith(".gz")
    bare = name[:-3] if is_gzipped else name
    stem, dot, suffix = bare.rpartition(".")
    if dot and suffix.lower() in FORMATS:
        return stem, suffix.lower(), is_gzipped
    return name, "", is_gzipped


def read_table(path: str | Path) -> pd.DataFrame:
    """Read one table.

    Args:
        path: a csv, tsv, json (list of objects, object of columns, or the published form of SQuAD or DROP), jsonl or
            parquet file, or one of tagged words in CoNLL form (conll, txt, iob, bio, or tsv), plain or `.gz`; or a
            folder that `datasets` saved with `save_to_disk`.

    Returns:
        One row per record, column names as strings (they may repeat in csv). Cells of csv and tsv files are
        strings, None where a line is too short; other formats keep their types. It may have no rows.

    Raises:
        DataError: the file is missing, empty, of another format, not UTF-8 or damaged; the message says where
            and what to do.
    """
    path = Path(path)
    if path.is_dir():
        tables = read_folder(path)
        if len(tables) > 1:
            raise DataError(
                f"`{path}` holds the splits {names(tables)}, expected one table; name one of them, e.g. "
                f"`{path / next(iter(tables))}`"
            )
        return next(iter(tables.values()))
    _, kind, is_gzipped = split_name(path)
    content = _read_bytes(path, kind, is_gzipped)
    if kind == "parquet":
        return _parse_parquet(content, path)
    text = _decode(content, path)
    if not text.strip():
        raise DataError(f"`{path}` is empty; expected a table with at least a text and a target column")
    if kind in CONLL or (kind == "tsv" and looks_like_conll(text)):
        return parse_conll(text, str(path))
    if kind in DELIMITERS:
        return parse_delimited(text, DELIMITERS[kind], str(path))
    return _parse_json(text, path) if kind == "json" else _parse_json_lines(text, path)


def read_folder(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read a folder that `datasets` saved.

    Args:
        path: folder of a `Dataset` or a `DatasetDict`.

    Returns:
        Split name -> table; a folder of a single `Dataset` gives one entry, `train`.

    Raises:
        DataError: it is not such a folder, or it is damaged.
    """
    path = Path(path)
    if not ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
        found = sorted(item.name for item in path.iterdir())
        raise DataError(
            f"`{path}` is not a folder saved by `datasets` (no `dataset_dict.json` or `state.json`); it "
            f"holds {names(found) if found else 'nothing'}. Name a data file in it, or save it with "
            "`Dataset.save_to_disk`"
        )
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"`{path}` is damaged or incomplete: {error}; save it again with `save_to_disk`") from error
    return dataset_tables(loaded)


def dataset_tables(loaded: datasets.Dataset | datasets.DatasetDict) -> dict[str, pd.DataFrame]:
    """Turn loaded `datasets` objects into tables; class labels, also in lists, become their names (-1: None)."""
    if not isinstance(loaded, Mapping):
        return {"train": _dataset_frame(loaded)}
    return {str(name): _dataset_frame(part) for name, part in loaded.items()}


def _dataset_frame(dataset: datasets.Dataset) -> pd.DataFrame:
    import datasets

    frame: pd.DataFrame = dataset.with_format("arrow")[:].to_pandas(integer_object_nulls=True)
    for column, feature in dataset.features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(feature, datasets.ClassLabel):
            names_of = dict(enumerate(feature.names))
            frame[column] = pd.Series([names_of.get(value) for value in frame[column].tolist()], dtype=object)
        elif isinstance(inner, datasets.ClassLabel):
            frame[column] = pd.Series([_named(row, inner.names) for row in frame[column].tolist()], dtype=object)
    return frame


def _named(row: Sequence[int] | None, labels: Sequence[str]) -> list[str | None] | None:
    return None if row is None else [labels[i] if 0 <= i < len(labels) else None for i in row]


def _read_bytes(path: Path, kind: str, is_gzipped: bool) -> bytes:
    if not kind and path.exists():
        raise DataError(f"`{path}` has an unknown suffix; expected {SUPPORTED}")
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if is_gzipped and content else content
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file `{path}`; check the path (the working directory is `{Path.cwd()}`)"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"`{path}` is not a complete gzip file ({error}); compress it again, or drop `.gz`") from error
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror or error}") from error
    if not content:
        raise DataError(f"`{path}` is empty; expected a table with at least a text and a target column")
    return content


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        start = error.start
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    line = content.count(b"\n", 0, start) + 1
    source = f"zcat {path}" if path.suffix.lower() == ".gz" else f"cat {path}"
    guess = "UTF-16" if is_utf16 else "WINDOWS-1252"
    raise DataError(
        f"`{path}` is not UTF-8: byte {content[start]:#04x} at byte offset {start} (line {line}); re-encode "
        f"it, e.g. `{source} | iconv -f {guess} -t UTF-8 > new.{split_name(path)[1]}`"
    )


def _parse_json(text: str, path: Path) -> pd.DataFrame:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"`{path}` is not valid JSON: {_json_problem(error, text)}") from error
    questions = flat_rows(value, str(path))
    if questions is not None:
        return _records_frame(questions)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _records_frame(value)
    if isinstance(value, dict) and value:
        columns = {name: list(v.values()) if isinstance(v, dict) else v for name, v in value.items()}
        if all(isinstance(v, list) for v in columns.values()) and len({len(v) for v in columns.values()}) == 1:
            return pd.DataFrame(columns, dtype=object)
    raise DataError(
        f"`{path}`: expected a list of objects `[{{...}}, ...]` or columns of equal length "
        f'`{{"text": [...], "label": [...]}}`, came {_json_shape(value)}'
    )


def _json_problem(error: json.JSONDecodeError | RecursionError, text: str) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply; expected a list of flat objects"
    if error.msg == "Extra data" and text.lstrip().startswith("{"):
        return f"a second value begins on line {error.lineno}; if each line is an object, rename it to `.jsonl`"
    return f"{error.msg} on line {error.lineno}, column {error.colno}; correct that line"


def _json_shape(value: Any) -> str:
    if isinstance(value, list):
        return "a list of other things" if value else "an empty list"
    if isinstance(value, dict):
        return "an object of other things or of columns of unequal length"
    return f"`{value!r:.40}`"


def _parse_json_lines(text: str, path: Path) -> pd.DataFrame:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would also cut inside strings
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            hint = "; a JSON list over several lines is called `.json`" if number == 1 and line[0] == "[" else ""
            raise DataError(
                f"`{path}`, line {number} is not valid JSON ({problem}): {line[:60]!r}; correct or remove it{hint}"
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"`{path}`, line {number}: expected a JSON object `{{...}}`, came {line[:60]!r}")
        records.append(record)
    return _records_frame(records)


def _records_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the frame column by column: keys may differ between records, and no type is changed."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    cells = {name: [record.get(name) for record in records] for name in columns}
    return pd.DataFrame(cells, dtype=object)


def _parse_parquet(content: bytes, path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(io.BytesIO(content)).to_pandas(integer_object_nulls=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"`{path}` is not a readable parquet file ({error}); write it again") from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table in the format of the suffix, all or nothing: a reader never sees half a file.

    Args:
        frame: what to write; the index is left out.
        path: csv, tsv, json, jsonl or parquet, plain or `.gz`; an existing file is replaced.

    Raises:
        DataError: unknown suffix, a value that the format cannot hold, or no permission.
    """
    path = Path(path)
    _, kind, is_gzipped = split_name(path)
    if kind not in TABLES:
        raise DataError(f"`{path}` has an unknown suffix; expected csv, tsv, json, jsonl or parquet (each also as .gz)")
    content = _encode(frame, kind, path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_bytes(gzip.compress(content, mtime=0) if is_gzipped else content)
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"`{path}` cannot be written: {error.strerror or error}; choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def _cell(value: Any) -> Any:
    """A cell of a csv or tsv file: lists and objects as JSON, which `read_table`'s users can read back."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def _encode(frame: pd.DataFrame, kind: str, path: Path) -> bytes:
    if kind == "parquet":
        buffer = io.BytesIO()
        try:
            frame.to_parquet(buffer, index=False)
        except (ValueError, TypeError) as error:  # ArrowInvalid is a ValueError
            raise DataError(f"`{path}`: parquet cannot hold this table ({error}); write it as `.jsonl`") from error
        return buffer.getvalue()
    if kind in DELIMITERS:
        frame = frame.map(_cell)
        text = frame.to_csv(None, index=False, sep=DELIMITERS[kind], lineterminator="\n")
        if "\r" in text:  # the csv module before Python 3.13 leaves cells with a carriage return unquoted
            text = frame.to_csv(None, index=False, sep=DELIMITERS[kind], lineterminator="\n", quoting=csv.QUOTE_ALL)
        return text.encode()
    text = frame.to_json(None, orient="records", lines=kind == "jsonl", force_ascii=False, double_precision=15)
    return text.encode()
