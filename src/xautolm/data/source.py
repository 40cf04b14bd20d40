"""Finds the tables of a task: a file, a folder saved by `datasets`, or a data set of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xautolm.data.fingerprint import file_sha256
from xautolm.data.table import DELIMITERS, SUPPORTED, dataset_tables, read_folder, read_table, split_name
from xautolm.data.wording import names
from xautolm.errors import DataError
from xautolm.records import DataSource

if TYPE_CHECKING:
    import datasets

#: Names of splits in folders and on the hub -> our role.
SPLIT_ROLES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_SHARD = re.compile(r"-\d+-of-\d+$")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read.

    Attributes:
        frame: its rows.
        where: how messages name it.
        is_delimited: whether cells are untyped strings (csv, tsv).
    """

    frame: pd.DataFrame
    where: str
    is_delimited: bool


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a task by role (`train`, `validation`, `test`), and where they came from."""

    dataset_id: str
    tables: dict[str, Table]
    sources: dict[str, DataSource]


def read_tables(data: str, *, valid: str | None, test: str | None) -> Tables:
    """Read the training data and, where given, the validation and test data.

    Args:
        data: file, folder or hub id; a folder or hub id with several splits gives them all.
        valid: file or folder of the validation split; wins over a split inside `data`.
        test: file or folder of the test split; wins over a split inside `data`.

    Returns:
        One table per role that is there. The sources of a hub id carry an empty sha256: there is no file to
        hash.

    Raises:
        DataError: something is missing or cannot be read.
    """
    if Path(data).exists() or not _looks_like_hub_id(data):
        tables = _read_local(data)
        sources = {"train": _source(data)}
    else:
        tables = _name_roles(dataset_tables(_load_from_hub(data)), data, is_delimited=False)
        sources = {"train": DataSource(path=data, sha256="")}
    if "train" not in tables:
        raise DataError(f"`{data}` has no split `train`, only {names(tables)}; name the training split's own folder")
    for role, path in (("validation", valid), ("test", test)):
        if path is not None:
            tables[role] = _single(path)
            sources[role] = _source(path)
    for table in tables.values():
        if table.frame.empty:
            raise DataError(f"`{table.where}` has a header but no rows; expected one row per text")
    order = [role for role in ("train", "validation", "test") if role in tables]
    return Tables(dataset_id_of(data), {role: tables[role] for role in order}, sources)


def sources_of(tables: Tables, fingerprint: str) -> dict[str, DataSource]:
    """Where the tables came from; a hub id, which has no file to hash, gets the fingerprint of the rows."""
    return {
        role: source if source.sha256 else DataSource(source.path, fingerprint)
        for role, source in tables.sources.items()
    }


def dataset_id_of(data: str) -> str:
    """Name under which experiences with this data are kept.

    Args:
        data: file, folder or hub id.

    Returns:
        The file stem; the folder's name when the stem only names a split; the hub id itself.

    >>> [dataset_id_of(data) for data in ("shop/reviews.csv", "sst2/train.jsonl.gz", "stanfordnlp/imdb")]
    ['reviews', 'sst2', 'stanfordnlp/imdb']
    """
    path = Path(data)
    if not path.exists() and _looks_like_hub_id(data):
        return data
    stem = _SHARD.sub("", split_name(path)[0]) or path.resolve().name
    if stem.casefold() not in SPLIT_ROLES:
        return stem
    return path.resolve().parent.name or stem


def _looks_like_hub_id(data: str) -> bool:
    return bool(_HUB_ID.fullmatch(data)) and not split_name(data)[1] and not data.lower().endswith(".gz")


def _source(path: str) -> DataSource:
    return DataSource(path=str(Path(path).resolve()), sha256=file_sha256(path))


def _read_local(data: str) -> dict[str, Table]:
    if Path(data).is_dir():
        return _name_roles(read_folder(data), data, is_delimited=False)
    return {"train": _single(data)}


def _single(path: str) -> Table:
    return Table(read_table(path), path, split_name(path)[1] in DELIMITERS)


def _name_roles(frames: dict[str, pd.DataFrame], data: str, *, is_delimited: bool) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for name, frame in frames.items():
        role = SPLIT_ROLES.get(name.casefold())
        if role is not None and role not in tables:
            where = data if len(frames) == 1 else f"{data} (split {name})"
            tables[role] = Table(frame, where, is_delimited)
    return tables


def is_offline() -> bool:
    """Whether the environment forbids the hub (`HF_HUB_OFFLINE` or `HF_DATASETS_OFFLINE`)."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in values)


def _load_from_hub(name: str) -> datasets.DatasetDict:
    if is_offline():
        raise DataError(
            f"there is no file or folder `{name}` (working directory `{Path.cwd()}`), and as a hub id it "
            f"cannot be loaded because `HF_HUB_OFFLINE` is set; expected {SUPPORTED}, or a hub id while "
            "online"
        )
    import datasets

    try:
        return datasets.load_dataset(name)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # not found, no network, several configurations, scripts
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"there is no file or folder `{name}`, and the hub gave no data set of that name: {first_line}; "
            "check the spelling or the network, or download it and name the file"
        ) from error
