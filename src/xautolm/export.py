"""The recommended pipeline as a plain Hugging Face folder."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from xautolm import registry
from xautolm.backends.local import LocalBackend
from xautolm.model_card import INFO_FILE as INFO_FILE  # noqa: PLC0414  # whoever reads exported folders
from xautolm.model_card import model_card, settings_of
from xautolm.records import Label, ModelSpec, TrialResult

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class ExportContext:
    """What an exported folder says about where it came from.

    Attributes:
        run_id: the run.
        dataset_id: the data.
        labels: label set in index order, in the user's type.
        columns: role -> column name, for predictions on new files.
        seed: seed of the run.
        kind: task kind.
    """

    run_id: str
    dataset_id: str
    labels: tuple[Label, ...]
    columns: Mapping[str, str]
    seed: int
    kind: str = "text-classification"


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
        "kind": context.kind,
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
            "kind": context.kind,
            "family": model.family,
            "pipeline": settings_of(result),
            "requested": result.requested.to_dict() if result.requested else None,
            "model_revision": model.revision,
            "scores": dict(result.scores),
            "labels": list(context.labels),
            "columns": dict(context.columns),
            "trial_seed": result.seed,
            "notes": job["notes"],
        }
        (fresh / INFO_FILE).write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (fresh / "README.md").write_text(model_card(result, model, context, job["notes"]), encoding="utf-8")
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
