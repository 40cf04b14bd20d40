"""The head method: a logistic regression on cached features of the frozen encoder. Runs in a worker process only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from xautolm.evaluate.batches import run_batches
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.tokens import cache_entry
from xautolm.evaluate.trial_data import Fitted, TrialData, model_spec, validation_scores
from xautolm.methods.classifier import PooledClassifier, final_linear, head_parameters


def fit_head(
    module: nn.Module, data: TrialData, params: Mapping[str, Any], spec: Mapping[str, Any], folder: JobFolder
) -> Fitted:
    """Logistic regression on features of the frozen encoder, which are computed once per model, pooling and length."""
    device = torch.device(spec["device"])
    model = model_spec(spec)
    key = f"features {model.path} {model.revision} {model.n_layers} {params['pooling']} {params['max_length']}"

    def build(target: Path) -> None:
        folder.report(stage="features")
        seconds = {}
        for split in ("train", "validation"):
            began = time.monotonic()
            values = _features(module, data, split, device)
            np.save(target / f"{split}.npy", values)
            seconds[split] = time.monotonic() - began
        (target / "seconds.json").write_text(json.dumps(seconds))

    entry = cache_entry(Path(spec["cache"]), key, build)
    seconds = json.loads((entry.folder / "seconds.json").read_text())
    share = len(data.train_rows) / max(len(data.labels["train"]), 1)
    # The pipeline alone would encode only its own rows; what this trial spent beyond that is not its cost.
    alone_s = seconds["train"] * share + seconds["validation"]
    cached_s = alone_s - (sum(seconds.values()) if entry.is_new else 0.0) - entry.waited_s
    features = {split: np.load(entry.folder / f"{split}.npy") for split in ("train", "validation")}
    started = time.monotonic()
    folder.report(stage="train", epoch=0.0, n_epochs=1.0)
    labels = np.asarray(data.labels["train"])[data.train_rows]
    regression = LogisticRegression(
        C=float(params["c"]), class_weight="balanced" if params["class_weighting"] else None, max_iter=500
    )
    regression.fit(features["train"][data.train_rows], labels)
    _write_regression(module, regression, data.n_classes)
    train_s = time.monotonic() - started
    logits = _apply_regression(module, features["validation"], data.n_classes)
    scores = validation_scores(logits, data.labels["validation"], data.n_classes)
    return Fitted(
        curve=[[1, train_s, scores["f1"]]],
        train_s=train_s + seconds["train"] * share,
        predict_s=seconds["validation"],
        cached_s=cached_s,
        final_scores=scores,
    )


def _features(module: nn.Module, data: TrialData, split: str, device: torch.device) -> NDArray[np.float32]:
    """What the final linear layer reads, shape (n_rows, n_features)."""
    if isinstance(module, PooledClassifier):
        return run_batches(lambda batch: module.pool(**batch), module, data.tokens[split], data.collator, device)
    caught: list[Tensor] = []
    hook = final_linear(module, data.n_classes).register_forward_pre_hook(
        lambda _module, inputs: caught.append(inputs[0])
    )

    def forward(batch: Mapping[str, Tensor]) -> Tensor:
        caught.clear()
        logits = module(**batch)["logits"]
        features = caught[-1]
        return _last_tokens(features, batch["attention_mask"]) if features.dim() > logits.dim() else features

    try:
        return run_batches(forward, module, data.tokens[split], data.collator, device)
    finally:
        hook.remove()


def _last_tokens(features: Tensor, mask: Tensor) -> Tensor:
    """The features of each row's last unmasked token, which is what decoder-only classifiers read."""
    last = mask.sum(1).clamp(min=1) - 1
    return features[torch.arange(len(features), device=features.device), last]


def _write_regression(module: nn.Module, regression: Any, n_classes: int) -> None:
    """Put a logistic regression into the final linear layer; a binary one becomes two opposite rows."""
    coefficients, intercept = regression.coef_, regression.intercept_
    if n_classes == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    layer = final_linear(module, n_classes)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(coefficients, dtype=layer.weight.dtype))
        if layer.bias is not None:
            layer.bias.copy_(torch.as_tensor(intercept, dtype=layer.weight.dtype))
    for parameter in head_parameters(module):
        parameter.requires_grad_(True)  # marks what the checkpoint has to hold


def _apply_regression(module: nn.Module, features: NDArray[np.float32], n_classes: int) -> NDArray[np.float32]:
    layer = final_linear(module, n_classes)
    with torch.inference_mode():
        values = layer(torch.as_tensor(features, device=layer.weight.device))
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
