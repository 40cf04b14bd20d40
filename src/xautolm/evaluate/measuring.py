"""How fast a machine trains: a few steps of a model through the same Trainer that trials use. Worker side."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from xautolm.evaluate.batches import LabelledRows, collator_for
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.tokens import TokenRows
from xautolm.evaluate.training import CrossEntropy, training_arguments
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_classifier

_BATCH_SIZE = 16
_N_TOKENS = 24
_LIMIT_S = 3.0
_MIN_STEPS = 4
_MAX_STEPS = 40


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

    Returns:
        `step_s` (median seconds per step), `batch_size`, `n_tokens` per row, `load_s` of the model.
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
    Trainer(
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
        "batch_size": _BATCH_SIZE,
        "n_tokens": n_tokens,
        "load_s": load_s,
    }
