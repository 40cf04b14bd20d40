"""The published evaluations in flat form: `*.jsonl`, one row per evaluation, with `features*.json` beside them.

A row has `alias`, `file` (`<YYYY-MM-DD>/<HH_MM_SS>-<id>`), `method`, `model`, `params`, `error` and its metrics; null
metrics mark a failure. The features of a data set stand once, by the alias's data set; each of several machine vectors
belongs to one kind of search, the plain ones first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from xautolm.errors import DataError
from xautolm.experience.importers.evaluation import (
    Evaluation,
    Features,
    Located,
    checked,
    dataset_of,
    features_of,
    metrics_of,
    to_experiences,
)
from xautolm.experience.importers.imported import Imported, Rejected
from xautolm.experience.importers.json_files import JsonObject, entries, parse_object, read_lines, read_object
from xautolm.experience.importers.published import pipeline_of
from xautolm.experience.refusal import RowError, shown

MAX_LINE_BYTES = 2**20
_MAX_FEATURES_BYTES = 2**24
_NOT_METRICS = frozenset({"alias", "file", "method", "model", "params", "error"})
_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})/(\d{2}_\d{2}_\d{2})(?:-.*)?")


def is_flat(folder: Path) -> bool:
    """Whether a folder holds the flat form."""
    try:
        names = [entry.name for entry in entries(folder)]
    except RowError:
        return False
    return any(name.endswith(".jsonl") for name in names) and any(_is_features(name) for name in names)


def read_published_rows(source: str) -> Imported:
    """Read a folder of published evaluations in flat form.

    Rows are single events already: the two records of a failure were joined when they were transcribed.

    Args:
        source: a folder with `*.jsonl` files and `features.json` (more of them: `features-qa.json`).

    Raises:
        DataError: it is no such folder, or a file of features cannot be used.
    """
    folder = Path(source)
    try:
        names = [entry.name for entry in entries(folder)]
    except RowError as error:
        raise DataError(f"Expected a folder of published evaluations; {source!r} {error}.") from error
    features = _read_features(folder, [name for name in names if _is_features(name)])
    files = [name for name in names if name.endswith(".jsonl")]
    if not files or not features:
        missing = "no `*.jsonl`" if not files else "no `features.json` with the features of a data set"
        raise DataError(f"Expected `*.jsonl` files with `features.json` in {source!r}; there is {missing}.")
    evaluations: list[Located] = []
    rejected: list[Rejected] = []
    seen: set[tuple[str, str]] = set()
    for where, row in _rows(folder, files):
        try:
            evaluations.append((where, _evaluation_of(row, features, seen)))
        except RowError as error:
            rejected.append(Rejected(where, str(error)))
    return to_experiences(evaluations, rejected)


def _is_features(name: str) -> bool:
    return name.startswith("features") and name.endswith(".json")


def _read_features(folder: Path, names: list[str]) -> dict[str, JsonObject]:
    """Data set -> its features, of all files together.

    Raises:
        DataError: a file cannot be read.
    """
    features: dict[str, JsonObject] = {}
    for name in names:
        try:
            content = read_object(folder / name, _MAX_FEATURES_BYTES)
        except RowError as error:
            raise DataError(f"Expected the features of data sets in `{folder / name}`; it {error}.") from error
        datasets = content.get("datasets", content)
        if isinstance(datasets, dict):
            features |= {key: value for key, value in datasets.items() if isinstance(value, dict)}
    return features


def _rows(folder: Path, files: list[str]) -> Iterator[tuple[str, bytes | RowError]]:
    for name in files:
        try:
            for number, line in read_lines(folder / name, MAX_LINE_BYTES):
                yield f"{name}:{number}", line
        except RowError as error:
            yield name, error


def _evaluation_of(
    line: bytes | RowError, features: Mapping[str, JsonObject], seen: set[tuple[str, str]]
) -> Evaluation:
    if isinstance(line, RowError):
        raise line
    row = parse_object(line)
    alias, file, params, error = row.get("alias"), row.get("file"), row.get("params"), row.get("error")
    stamp = _FILE.fullmatch(file) if isinstance(file, str) else None
    if not isinstance(alias, str) or stamp is None or not isinstance(file, str):
        raise RowError(f"`alias` and `file` must be like 'liar' and '2024-11-02/11_20_22-fc053fb5', got {shown(file)}")
    if (alias, file) in seen:
        raise RowError(f"each evaluation must stand once, but {shown(file)} stands here again")
    if not isinstance(params, dict) or not isinstance(error, str | None):
        raise RowError("`params` must be an object, and `error` text or null")
    pipeline, kind = pipeline_of(row.get("method"), row.get("model"), params)
    evaluation = checked(
        Evaluation(
            alias=alias,
            finished=_moment(stamp),
            kind=kind,
            pipeline=pipeline,
            features=_features_of(features, alias, kind),
            metrics=metrics_of({name: value for name, value in row.items() if name not in _NOT_METRICS}),
            error=error,
        )
    )
    seen.add((alias, file))
    return evaluation


def _moment(stamp: re.Match[str]) -> datetime:
    try:
        return datetime.strptime(f"{stamp[1]} {stamp[2]}", "%Y-%m-%d %H_%M_%S")
    except ValueError as error:
        raise RowError(f"`file` must begin with a date and a time, got {shown(stamp[0])}") from error


def _features_of(features: Mapping[str, JsonObject], alias: str, kind: str) -> Features:
    dataset_id = dataset_of(alias)
    if dataset_id not in features:
        raise RowError(f"the features of {shown(dataset_id)} must be in `features.json`, but are not")
    entry = features[dataset_id]
    system = entry.get("system_features")
    if isinstance(system, list) and system and isinstance(system[0], list):
        system = system[0 if alias == dataset_id else -1]
    return features_of(entry.get("dataset_features", entry.get("meta")), system, entry.get("semantic"), kind)
