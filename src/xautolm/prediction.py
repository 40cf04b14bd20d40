"""Predictions for the rows of a file with an exported folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xautolm.backends.local import run_alone
from xautolm.data.table import read_table, split_name, write_table
from xautolm.errors import DataError, ModelError, RunFolderError
from xautolm.model_card import INFO_FILE
from xautolm.records import Label


def predict_file(model: str | Path, data: str | Path, output: str | Path, *, device: str, n_threads: int) -> int:
    """Label every row of a file: its columns plus `prediction` and one `prob_<label>` per label.

    Args:
        model: an exported folder, or the run folder that holds it.
        data: csv, tsv, json, jsonl or parquet with the text columns of the training data.
        output: file to write, replaced atomically.
        device: `cpu` or `cuda:N`.
        n_threads: threads to use.

    Returns:
        Number of rows.

    Raises:
        ModelError: there is no exported model.
        DataError: the text column is missing.
        RunFolderError: the output cannot be written.
    """
    folder = _model_folder(Path(model))
    info = json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))
    _check_output(Path(output))
    frame = read_table(data)
    kind = info.get("kind", "text-classification")
    texts = rows_to_predict(frame, kind, info["columns"], data)
    with tempfile.TemporaryDirectory(prefix="xautolm-") as scratch:
        rows = Path(scratch) / "rows.json"
        rows.write_text(json.dumps(texts))
        run_alone("predict", prediction_fields(folder, rows), Path(scratch), device=device, n_threads=n_threads)
        values = json.loads((Path(scratch) / "predictions.json").read_text())
        saved = Path(scratch) / "probabilities.npy"
        probabilities = np.load(saved) if saved.is_file() else None
    write_table(with_predictions(frame, named(values, kind, info["labels"]), probabilities, info["labels"]), output)
    return len(frame)


def prediction_fields(folder: Path, rows: Path) -> dict[str, Any]:
    """What the job `predict` needs for rows of a file and an exported folder.

    Args:
        folder: the exported model.
        rows: JSON of `texts`, `pairs` and maybe `words`.
    """
    info = json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))
    kind, family = info.get("kind", "text-classification"), info.get("family", "encoder")
    return {"rows": str(rows), "model_folder": str(folder), "kind": kind, "family": family}


def _check_output(path: Path) -> None:
    """Refuse a place that cannot be written, before time is spent on predictions."""
    if not split_name(path)[1]:
        raise RunFolderError(f"expected `-o` to end in csv, tsv, json, jsonl or parquet (also .gz), got `{path}`")
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise RunFolderError(f"cannot write to the folder `{parent}`; give another `-o`")


def named(values: Sequence[Any], kind: str, labels: Sequence[Label]) -> list[Any]:
    """Predictions as users read them: labels in place of their indices; numbers and texts stay.

    >>> named([1], "text-classification", ("no", "yes")), named([[0, 1], []], "multi-label", ("a", "b"))
    (['yes'], [['a', 'b'], []])
    """
    if kind == "text-classification":
        return [labels[index] for index in values]
    if kind in ("multi-label", "token-classification"):
        return [[labels[index] for index in indices] for indices in values]
    return list(values)


def with_predictions(
    frame: pd.DataFrame, values: Sequence[Any], probabilities: np.ndarray | None, labels: Sequence[Label]
) -> pd.DataFrame:
    """Append predictions and, where there are, the probabilities (n_rows, n_labels) of labels.

    Columns of those names are replaced.
    """
    added: dict[str, Any] = {"prediction": list(values)}
    if probabilities is not None:
        added |= {f"prob_{label}": np.round(probabilities[:, i], 6) for i, label in enumerate(labels)}
    kept = frame.drop(columns=[name for name in added if name in frame.columns])
    return pd.concat([kept.reset_index(drop=True), pd.DataFrame(added)], axis=1)


def rows_to_predict(frame: pd.DataFrame, kind: str, columns: Mapping[str, str], data: str | Path) -> dict[str, Any]:
    """The rows of a file as the job `predict` reads them.

    Raises:
        DataError: a column that the model was trained on is missing.
    """
    if kind == "question-answering":
        pairs = _texts(frame, columns, "context", data)
        return {"texts": _texts(frame, columns, "question", data), "pairs": pairs}
    if kind == "token-classification":
        words = [_words(value) for value in _column(frame, columns, "words", data)]
        return {"texts": [" ".join(row) for row in words], "pairs": None, "words": words}
    pairs_of = _texts(frame, columns, "text_pair", data) if "text_pair" in columns else None
    return {"texts": _texts(frame, columns, "text", data), "pairs": pairs_of}


def _words(value: object) -> list[str]:
    """The words of a row: as listed, or a text cut at its spaces."""
    if isinstance(value, list | tuple | np.ndarray):
        return [str(word) for word in value]
    return [] if pd.isna(value) else str(value).split()  # type: ignore[call-overload]  # one cell, no list


def _model_folder(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / INFO_FILE).is_file():
            return folder
    raise ModelError(
        f"expected a model folder that `xautolm fit` exported (it holds `{INFO_FILE}`) or its run folder, "
        f"found none at `{path}`"
    )


def _texts(frame: pd.DataFrame, columns: Mapping[str, str], role: str, data: str | Path) -> list[str]:
    return _column(frame, columns, role, data).fillna("").astype(str).tolist()


def _column(frame: pd.DataFrame, columns: Mapping[str, str], role: str, data: str | Path) -> pd.Series[Any]:
    name = columns[role]
    if name not in frame.columns:
        found = ", ".join(f"`{column}`" for column in frame.columns)
        raise DataError(f"expected the column `{name}` that the model was trained on in `{data}`, found {found}")
    return frame[name]
