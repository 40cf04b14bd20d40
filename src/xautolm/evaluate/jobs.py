"""What only a worker may do: everything that loads a model. One job per process.

A job is a JSON object with `job` (its name, or `module:function`), `folder` (where it writes `progress.json` and
`result.json`), `n_threads`, `device` and its own fields. A failure is a result too: its kind and a message, classified
here where the exception is known.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from xautolm.evaluate.gpu_limits import claim_gpu
from xautolm.evaluate.job_folder import DivergedError, InvalidPipelineError, JobFolder
from xautolm.registry import load_target

#: Name of a job -> the function that does it: (spec, folder) -> result.
_JOBS = {
    "evaluate": "xautolm.evaluate.training:evaluate_pipeline",
    "baseline": "xautolm.evaluate.baselines:score_baseline",
    "export": "xautolm.evaluate.inference:export_model",
    "predict": "xautolm.evaluate.inference:predict_with_model",
    "measure": "xautolm.evaluate.measuring:measure_speed",
    "embed": "xautolm.evaluate.embedding:embed_texts",
}


def import_training_stack() -> None:
    """Import, and only import, what jobs need, so that forked children start in a fraction of a second."""
    from importlib import import_module

    for name in (
        "torch",
        "transformers",
        "transformers.trainer",
        "transformers.models.auto.modeling_auto",
        "transformers.models.bert.modeling_bert",
        "transformers.models.bert.tokenization_bert",
        "peft",
        "sklearn.linear_model",
        "sklearn.feature_extraction.text",
        "xautolm.evaluate.training",
        "xautolm.evaluate.formulations.sequence",
        "xautolm.evaluate.baselines",
        "xautolm.evaluate.measuring",
        "xautolm.evaluate.inference",
        "xautolm.evaluate.embedding",
    ):
        import_module(name)
    _prepare_conversions()


def _prepare_conversions() -> None:
    """Have transformers compile its thousand patterns for the names of weights, which every model load looks through.

    It does so at the first load of a process, 0.7 processor seconds that each forked child would spend again. Nothing
    but regular expressions, so that the server stays fit to fork; releases without them have nothing to prepare.
    """
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping

        get_checkpoint_conversion_mapping("bert")


def run_job(spec: Mapping[str, Any]) -> int:
    """Run one job and write its result; returns the exit code of the process."""
    import torch

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    folder = JobFolder(spec["folder"])
    torch.set_num_threads(int(spec["n_threads"]))
    float(torch.ones(64, 64).matmul(torch.ones(64, 64)).sum())  # hangs here, not later, if the fork was unsafe
    folder.report(stage="load")
    try:
        if str(spec.get("device")).startswith("cuda"):
            spec = claim_gpu(spec, torch)
        result = {"status": "ok", **load_target(_JOBS.get(spec["job"], spec["job"]))(spec, folder)}
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever went wrong in a trial is its result, and is classified
        traceback.print_exc()
        status, kind = classify_error(error, folder.stage)
        result = {"status": status, "error": {"kind": kind, "message": _describe(error)}}
        code = 1
    try:
        if not folder.finish(result):
            logging.warning("there was a result already; this one is dropped: %s", result)
    except OSError:
        traceback.print_exc()
        return 2
    return code


def classify_error(error: BaseException, stage: str) -> tuple[str, str]:
    """Status and kind of an exception that a job raised.

    >>> classify_error(MemoryError(), "train")
    ('oom', 'oom_train')
    >>> classify_error(OSError(errno.ENOSPC, "No space left on device"), "train")
    ('interrupted', 'disk')
    """
    text = str(error).lower()
    if _is_out_of_memory(error, text):
        return "oom", "oom_eval" if stage == "predict" else "oom_train"
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or "no space left" in text:
        return "interrupted", "disk"
    if isinstance(error, DivergedError):
        return "diverged", "nan"
    if isinstance(error, InvalidPipelineError):
        return "invalid", "settings"
    if stage == "load" and isinstance(error, OSError | ValueError):
        return "unavailable", type(error).__name__
    return "crashed", type(error).__name__


def _is_out_of_memory(error: BaseException, text: str) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = (
        "out of memory",
        "cublas_status_alloc_failed",
        "can't allocate memory",
        "cannot allocate memory",
        "not enough memory",
    )
    return any(sign in text for sign in signs)


def _describe(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
