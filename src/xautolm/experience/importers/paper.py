"""The published experience folder: one JSON file per evaluation, in two generations; failures stand there twice.

Layout: `<alias>/<YYYY-MM-DD>/<HH_MM_SS>-<uuid>.json`. The older generation (2024, classification) has one vector
`dataset_features` and its metrics at the top level; the newer one (2025) has `task_features` with `meta` and `semantic`
and a list `metrics`. A failure was logged twice within 2 s, once with its text and no metrics, once with infinities
and without text (`method.md` 1.1); both records become one experience.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from xautolm.errors import DataError
from xautolm.experience.importers.evaluation import (
    Evaluation,
    Located,
    checked,
    features_of,
    metrics_of,
    to_experiences,
)
from xautolm.experience.importers.imported import Imported, Rejected
from xautolm.experience.importers.json_files import JsonObject, entries, is_folder, read_object
from xautolm.experience.importers.paper_rows import is_flat, read_published_rows
from xautolm.experience.importers.published import pipeline_of
from xautolm.experience.refusal import RowError, shown

#: A file with 384 numbers has about 15 kB.
MAX_FILE_BYTES = 2**20
#: The two records of a failure are at most this far apart (paper-store/README.md).
PAIR_S = 2

_STAMP = re.compile(r"(\d{4}-\d{2}-\d{2})/(\d{2}_\d{2}_\d{2})-[^/]*\.json$")
_METRICS = ("f1", "accuracy", "exact_match", "evaluation_time", "time_train_mean_seconds", "time_valid_mean_seconds")


def read(source: str) -> Imported:
    """Read a published experience folder, or its flat form (`*.jsonl` and `features.json`).

    Args:
        source: the folder above the aliases, one alias, or one day.

    Raises:
        DataError: it is no folder, or holds neither form.
    """
    folder = Path(source)
    if not _is_folder(folder):
        raise DataError(f"Expected the folder of a published experience store; {source!r} is not a folder.")
    if is_flat(folder):
        return read_published_rows(source)
    evaluations: list[Located] = []
    rejected: list[Rejected] = []
    for where, found in _files(folder):
        try:
            if isinstance(found, RowError):
                raise found
            evaluations.append((where, _read_evaluation(found, where)))
        except RowError as error:
            rejected.append(Rejected(where, str(error)))
    if not evaluations and not rejected:
        raise DataError(
            f"Expected files `<alias>/<YYYY-MM-DD>/<HH_MM_SS>-<id>.json` in {source!r}, or `*.jsonl` with "
            "`features.json`; found neither. Name the folder that holds the aliases."
        )
    return to_experiences(collapsed(evaluations), rejected)


def collapsed(evaluations: Sequence[Located]) -> list[Located]:
    """Join the two records of each failure: same search, same pipeline, at most 2 s apart, one infinite, one not.

    The joined one has the earlier time and place, and the text of whichever has one.
    """
    kept: list[Located] = []
    waiting: dict[tuple[str, str, str], list[int]] = {}
    for where, evaluation in sorted(evaluations, key=lambda item: (item[1].finished, item[0])):
        if not evaluation.is_failure:
            kept.append((where, evaluation))
            continue
        alone = waiting.setdefault((evaluation.alias, evaluation.kind, evaluation.pipeline.key), [])
        alone[:] = [i for i in alone if evaluation.finished - kept[i][1].finished <= timedelta(seconds=PAIR_S)]
        partner = next((i for i in alone if kept[i][1].is_infinite != evaluation.is_infinite), None)
        if partner is None:
            alone.append(len(kept))
            kept.append((where, evaluation))
        else:
            alone.remove(partner)
            first_where, first = kept[partner]
            kept[partner] = (first_where, replace(first, error=first.error or evaluation.error))
    return kept


def _files(folder: Path) -> Iterator[tuple[str, Path | RowError]]:
    """Every `*.json` at most three folders down, by place; what cannot be entered is an error in its place."""
    pending: list[tuple[str, int]] = [("", 0)]
    while pending:
        below, depth = pending.pop()
        try:
            found = entries(folder / below)
        except RowError as error:
            yield below or ".", error
            continue
        deeper = []
        for entry in found:
            where = f"{below}/{entry.name}" if below else entry.name
            if is_folder(entry):
                deeper.append((where, depth + 1))
            elif entry.name.endswith(".json"):
                yield where, Path(entry.path)
            elif _is_linked_folder(entry):
                yield where, RowError("links to folders are not followed")
        if depth < 3:
            pending += reversed(deeper)


def _read_evaluation(path: Path, where: str) -> Evaluation:
    stored = read_object(path, MAX_FILE_BYTES)
    method, model, params = _algorithm(stored.get("algorithms"))
    pipeline, kind = pipeline_of(method, model, params)
    task, semantic = _task_features(stored)
    error = stored.get("error")
    if not isinstance(error, str | None):
        raise RowError(f"`error` must be text or null, got {shown(error)}")
    return checked(
        Evaluation(
            alias=_alias(stored, path),
            finished=_finished(stored, path),
            kind=kind,
            pipeline=pipeline,
            features=features_of(task, stored.get("system_features"), semantic, kind),
            metrics=_metrics(stored),
            error=error,
        )
    )


def _algorithm(stored: object) -> tuple[str, str, dict[str, object]]:
    """Method class, model class and other hyperparameters of `algorithms`; those of the model as `inner_model.x`.

    Raises:
        RowError: it has another structure.
    """
    if not isinstance(stored, list) or len(stored) != 1:
        raise RowError(f"`algorithms` must be a list of one algorithm, got {shown(stored)}")
    method, parameters = _only_item(stored[0], "algorithms")
    if not isinstance(parameters, dict):
        raise RowError(f"the parameters of {shown(method)} must be an object, got {shown(parameters)}")
    model, params = "", dict[str, object]()
    for name, parameter in parameters.items():
        if not isinstance(parameter, dict) or "value" not in parameter:
            raise RowError(f"the parameter {shown(name)} must be an object with a `value`, got {shown(parameter)}")
        value = parameter["value"]
        if not isinstance(value, dict):
            params[name] = value
        elif model:
            raise RowError(f"a pipeline must have one model, got a second one in {shown(name)}")
        else:
            model, inner = _only_item(value, name)
            params |= {f"{name}.{key}": item for key, item in _values(inner)}
    return method, model, params


def _values(parameters: object) -> Iterator[tuple[str, object]]:
    if not isinstance(parameters, dict):
        raise RowError(f"the parameters of a model must be an object, got {shown(parameters)}")
    for name, parameter in parameters.items():
        yield name, parameter.get("value") if isinstance(parameter, dict) else parameter


def _only_item(value: object, name: str) -> tuple[str, object]:
    if not isinstance(value, dict) or len(value) != 1:
        raise RowError(f"`{name}` must be an object with one name, got {shown(value)}")
    (item,) = value.items()
    return item


def _task_features(stored: JsonObject) -> tuple[object, object]:
    """Meta-features and mean embedding, of either generation."""
    if "dataset_features" in stored:
        return stored["dataset_features"], None
    features = stored.get("task_features")
    if not isinstance(features, dict):
        raise RowError(f"`dataset_features` or `task_features` must be there, got {shown(features)}")
    return features.get("meta"), features.get("semantic")


def _metrics(stored: JsonObject) -> dict[str, float]:
    """Metrics of either generation."""
    if "metrics" not in stored:
        return metrics_of({name: stored[name] for name in stored if name in _METRICS or name.startswith("obs_")})
    listed = stored["metrics"] or []
    if not isinstance(listed, list) or len(listed) > len(_METRICS) * 100:
        raise RowError(f"`metrics` must be a list of metrics, got {shown(listed)}")
    values: dict[str, object] = {}
    for metric in listed:
        name = metric.get("name") if isinstance(metric, dict) else None
        if not isinstance(name, str) or name in values:
            raise RowError(f"each of `metrics` must have a name of its own, got {shown(metric)}")
        values[name] = metric.get("value")
    return metrics_of(values)


def _alias(stored: Mapping[str, object], path: Path) -> str:
    alias = stored.get("alias", path.parent.parent.name)
    if not isinstance(alias, str):
        raise RowError(f"`alias` must be a name, got {shown(alias)}")
    return alias


def _finished(stored: Mapping[str, object], path: Path) -> datetime:
    """When the evaluation was stored: by the name of the file, or by `timestamp` for a renamed one.

    Raises:
        RowError: neither tells.
    """
    stamp = _STAMP.search(path.as_posix())
    text = f"{stamp[1]} {stamp[2].replace('_', ':')}" if stamp else stored.get("timestamp")
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RowError(f"`timestamp` must be like '2024-11-02 11:20:22', got {shown(text)}") from error


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):
        return False


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link that leads in a circle
        return True
