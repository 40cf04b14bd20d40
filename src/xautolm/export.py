"""The recommended pipeline as a plain Hugging Face folder, and predictions with such a folder."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xautolm import registry
from xautolm.backends.local import LocalBackend, run_alone
from xautolm.data.table import read_table, split_name, write_table
from xautolm.errors import DataError, ModelError, RunFolderError
from xautolm.evaluate.rescue import describe, effective
from xautolm.records import Label, ModelSpec, ParamValue, TrialResult

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
#: Our notes in an exported folder; everything else in it is standard.
INFO_FILE = "xautolm.json"


@dataclass(frozen=True, slots=True)
class ExportContext:
    """What an exported folder says about where it came from.

    Attributes:
        run_id: the run.
        dataset_id: the data.
        labels: label set in index order, in the user's type.
        columns: role -> column name, for predictions on new files.
        seed: seed of the run.
    """

    run_id: str
    dataset_id: str
    labels: tuple[Label, ...]
    columns: Mapping[str, str]
    seed: int


def export_trial(
    backend: LocalBackend,
    result: TrialResult,
    model: ModelSpec,
    context: ExportContext,
    target: Path,
    *,
    checkpoint: Path | None = None,
) -> None:
    """Build the folder of a finished trial and put it in place of `target` in one step.

    Args:
        backend: runs the job.
        result: the trial, `ok`.
        model: its pretrained model.
        context: provenance.
        target: `model/` of the run folder; a kill at any moment leaves the old or the new one there.
        checkpoint: trained parameters; None = those of the trial.

    Raises:
        WorkerError: the folder could not be built; `target` is as before.
    """
    fresh = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fields = {
        "model": asdict(model),
        "params": dict(result.pipeline.params),
        "method_target": registry.target("methods", result.pipeline.method),
        "checkpoint": str(checkpoint or backend.checkpoint(result.trial_id)),
        "labels": [str(label) for label in context.labels],
        "target": str(fresh),
    }
    try:
        job = backend.run_job("export", fields)
        shutil.rmtree(job["folder"], ignore_errors=True)
        info = {
            "run_id": context.run_id,
            "trial_id": result.trial_id,
            "dataset_id": context.dataset_id,
            "pipeline": settings_of(result),
            "requested": result.requested.to_dict() if result.requested else None,
            "model_revision": model.revision,
            "scores": dict(result.scores),
            "labels": list(context.labels),
            "columns": dict(context.columns),
            "trial_seed": result.seed,
        }
        (fresh / INFO_FILE).write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (fresh / "README.md").write_text(model_card(result, model, context), encoding="utf-8")
        _open_to_the_group(fresh)
        swap_folder(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _open_to_the_group(folder: Path) -> None:
    """Give files the rights that new files get here; the weights are written for their owner only."""
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.iterdir():
        file.chmod(0o666 & ~mask)


def exported_trial(target: Path) -> int | None:
    """The trial that an exported folder came from; None when there is no usable folder."""
    try:
        return int(json.loads((target / INFO_FILE).read_text(encoding="utf-8"))["trial_id"])
    except (OSError, ValueError, KeyError):
        return None


def swap_folder(fresh: Path, target: Path) -> None:
    """Put `fresh` where `target` is: in one step where two names can be exchanged (Linux), else by two renames."""
    if not target.exists():
        os.replace(fresh, target)
        return
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        names = (os.fsencode(fresh), os.fsencode(target))
        if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            shutil.rmtree(fresh)
            return
    old = target.with_name(f".{target.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    os.replace(target, old)
    os.replace(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def settings_of(result: TrialResult) -> dict[str, ParamValue]:
    """The settings that a trial was trained with, those of a rescue included."""
    pipeline = result.pipeline
    return {"model": pipeline.model, "method": pipeline.method, **effective(pipeline.params)}


def model_card(result: TrialResult, model: ModelSpec, context: ExportContext) -> str:
    """README.md of the folder: what it is, how it was made, how to use it."""
    settings = "\n".join(f"| {name} | {value} |" for name, value in settings_of(result).items())
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    labels = ", ".join(f"`{label}`" for label in context.labels)
    rescued = ""
    if result.requested:
        rescued = f"- Memory was short, so it was trained with {describe(result.pipeline.params)}.\n"
    return f"""---
library_name: transformers
pipeline_tag: text-classification
tags: [xautolm]
---

# {context.dataset_id}: text classification

Fine-tuned from `{model.name}` (revision {model.revision}) by XAutoLM, trial {result.trial_id} of run
`{context.run_id}`.

- Labels: {labels}
- Validation scores: {scores}. They are the best of a search, so expect a little less on new data.
- The model reads at most {result.pipeline.params["max_length"]} tokens; longer texts are cut.
{rescued}
```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder", truncation=True)
classify("some text")
```

| setting | value |
|---|---|
{settings}
| seed | {result.seed} |
"""


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
    texts = _texts(frame, info["columns"], "text", data)
    pairs = _texts(frame, info["columns"], "text_pair", data) if "text_pair" in info["columns"] else None
    with tempfile.TemporaryDirectory(prefix="xautolm-") as scratch:
        rows = Path(scratch) / "rows.json"
        rows.write_text(json.dumps({"texts": texts, "pairs": pairs}))
        fields = {"rows": str(rows), "model_folder": str(folder)}
        run_alone("predict", fields, Path(scratch), device=device, n_threads=n_threads)
        probabilities = np.load(Path(scratch) / "probabilities.npy")
    write_table(with_predictions(frame, probabilities, info["labels"]), output)
    return len(frame)


def _check_output(path: Path) -> None:
    """Refuse a place that cannot be written, before time is spent on predictions."""
    if not split_name(path)[1]:
        raise RunFolderError(f"expected `-o` to end in csv, tsv, json, jsonl or parquet (also .gz), got `{path}`")
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise RunFolderError(f"cannot write to the folder `{parent}`; give another `-o`")


def with_predictions(frame: pd.DataFrame, probabilities: np.ndarray, labels: Sequence[Label]) -> pd.DataFrame:
    """Append the most probable label and all probabilities (n_rows, n_classes); columns of those names are replaced."""
    best = probabilities.argmax(axis=1) if len(frame) else np.zeros(0, dtype=int)
    added: dict[str, Any] = {"prediction": [labels[i] for i in best]}
    added |= {f"prob_{label}": np.round(probabilities[:, i], 6) for i, label in enumerate(labels)}
    kept = frame.drop(columns=[name for name in added if name in frame.columns])
    return pd.concat([kept.reset_index(drop=True), pd.DataFrame(added)], axis=1)


def _model_folder(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / INFO_FILE).is_file():
            return folder
    raise ModelError(
        f"expected a model folder that `xautolm fit` exported (it holds `{INFO_FILE}`) or its run folder, "
        f"found none at `{path}`"
    )


def _texts(frame: pd.DataFrame, columns: Mapping[str, str], role: str, data: str | Path) -> list[str]:
    name = columns[role]
    if name not in frame.columns:
        found = ", ".join(f"`{column}`" for column in frame.columns)
        raise DataError(f"expected the column `{name}` that the model was trained on in `{data}`, found {found}")
    return frame[name].fillna("").astype(str).tolist()
