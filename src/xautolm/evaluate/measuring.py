"""How fast a machine trains: a few steps of a model through the same Trainer that trials use, and its matrix products.

Worker side.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from xautolm.evaluate.batches import LabelledRows, collator_for, has_bf16
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.loss import BatchTrainer, CrossEntropy
from xautolm.evaluate.tokens import TokenRows
from xautolm.evaluate.training import training_arguments
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_classifier

_BATCH_SIZE = 16
_N_TOKENS = 24
_LIMIT_S = 3.0
_MIN_STEPS = 4
_MAX_STEPS = 40
#: Rows and columns of the matrices that are multiplied: large enough that the processor, not the call, is measured.
_MATRIX = {"cpu": 1024, "cuda": 4096}
_MATRIX_LIMIT_S = 0.5
_MIN_PRODUCTS = 3


class _StepTimes(TrainerCallback):  # type: ignore[misc]  # transformers is not analysed
    """Notes when each step ended and stops the training after a few seconds."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.at.append(time.monotonic())
        if len(self.at) > _MIN_STEPS and self.at[-1] - self.at[0] > _LIMIT_S:
            control.should_training_stop = True


def measure_speed(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Time full training steps of one model for about three seconds, the Trainer's own work included.

    The median step tells what a trial can expect now; the fastest one and the fastest product tell what the machine
    can do, also when other work runs beside.

    Returns:
        `step_s` (median seconds per step), `best_step_s`, `batch_size`, `n_tokens` per row, `load_s` of the model; and
        `matmul_gflops` when `spec["with_products"]`.
    """
    began = time.monotonic()
    model, device = model_spec(spec), torch.device(spec["device"])
    classifier = load_classifier(model, model.poolings[0], 2, 0.1).to(device)
    load_s = time.monotonic() - began
    folder.report(stage="measure")
    n_rows, n_tokens = _BATCH_SIZE * _MAX_STEPS, min(_N_TOKENS, model.context)
    ids = np.random.default_rng(0).integers(0, model.vocabulary, n_rows * n_tokens).astype(np.int32)
    tokens = TokenRows(ids, np.zeros(len(ids), np.int8), np.arange(n_rows + 1) * n_tokens)
    labels: Sequence[int] = [0, 1] * (n_rows // 2)
    params = {"batch_size": _BATCH_SIZE, "epochs": 1, "learning_rate": 1e-5, "weight_decay": 0.0, "warmup_ratio": 0.0}
    times = _StepTimes()
    BatchTrainer(
        model=classifier,
        args=training_arguments(params, {"seed": 0}, folder, device),
        data_collator=collator_for(model),
        train_dataset=LabelledRows(tokens, labels, range(n_rows)),
        compute_loss_func=CrossEntropy(None),
        callbacks=[times],
    ).train()
    steps = np.diff(times.at)
    return {
        "step_s": float(np.median(steps)),
        "best_step_s": float(steps.min()),
        "batch_size": _BATCH_SIZE,
        "n_tokens": n_tokens,
        "load_s": load_s,
        **({"matmul_gflops": matmul_gflops(device)} if spec.get("with_products") else {}),
    }


def matmul_gflops(device: torch.device) -> float:
    """Speed of the fastest of several large matrix products, in 10^9 operations per second.

    The numbers are those that trials compute with: bf16 where it is native, else fp32. A product of two n x n matrices
    counts 2 n^3 operations.
    """
    size = _MATRIX.get(device.type, _MATRIX["cpu"])
    dtype = torch.bfloat16 if has_bf16(device) else torch.float32
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    began, best_s, n_products = time.perf_counter(), float("inf"), 0
    while n_products < _MIN_PRODUCTS or time.perf_counter() - began < _MATRIX_LIMIT_S:
        started = time.perf_counter()
        torch.matmul(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elapsed_s = time.perf_counter() - started
        best_s, n_products = min(best_s, elapsed_s), n_products + 1
    return 2 * size**3 / best_s / 1e9
