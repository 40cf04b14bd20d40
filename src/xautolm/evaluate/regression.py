"""The head method: a linear model on cached features of the frozen encoder. Runs in a worker process only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from xautolm.evaluate.batches import run_batches
from xautolm.evaluate.formulations.sequence import SequenceData, SequenceFormulation
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.metrics import task_scores
from xautolm.evaluate.tokens import cache_entry
from xautolm.evaluate.trial_data import Fitted, model_spec
from xautolm.methods.classifier import PooledClassifier
from xautolm.methods.structure import final_linear, head_parameters
from xautolm.tasks import kind_of

#: Coefficients (n_outputs, n_features) and intercepts (n_outputs,).
Linear = tuple[NDArray[np.float64], NDArray[np.float64]]
#: Logit of what is sure: a probability of 1 in 22,000 of the other.
_CERTAIN = 10.0


def fit_head(
    module: nn.Module,
    formulation: SequenceFormulation,
    data: SequenceData,
    params: Mapping[str, Any],
    spec: Mapping[str, Any],
    folder: JobFolder,
) -> Fitted:
    """A linear model on features of the frozen encoder, which are computed once per model, pooling and length."""
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
    share = len(data.train_rows) / max(len(data.targets["train"]), 1)
    # The pipeline alone would encode only its own rows; what this trial spent beyond that is not its cost.
    alone_s = seconds["train"] * share + seconds["validation"]
    cached_s = alone_s - (sum(seconds.values()) if entry.is_new else 0.0) - entry.waited_s
    features = {split: np.load(entry.folder / f"{split}.npy") for split in ("train", "validation")}
    started = time.monotonic()
    folder.report(stage="train", epoch=0.0, n_epochs=1.0)
    has_bias = final_linear(module, data.n_outputs).bias is not None
    write_linear(module, _linear(features["train"][data.train_rows], data, params, has_bias=has_bias), data.n_outputs)
    train_s = time.monotonic() - started
    logits = _apply(module, features["validation"], data.n_outputs)
    scores = task_scores(data.kind, data.targets["validation"], formulation.decide(logits, data), data.names)
    return Fitted(
        curve=[[1, train_s, scores[kind_of(data.kind).metrics[0]]]],
        train_s=train_s + seconds["train"] * share,
        predict_s=seconds["validation"],
        cached_s=cached_s,
        final_scores=scores,
    )


def _features(module: nn.Module, data: SequenceData, split: str, device: torch.device) -> NDArray[np.float32]:
    """What the final linear layer reads, shape (n_rows, n_features)."""
    if isinstance(module, PooledClassifier):
        return run_batches(lambda batch: module.pool(**batch), module, data.tokens[split], data.collator, device)
    caught: list[Tensor] = []
    hook = final_linear(module, data.n_outputs).register_forward_pre_hook(
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


def _linear(features: NDArray[np.float32], data: SequenceData, params: Mapping[str, Any], *, has_bias: bool) -> Linear:
    """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) for the training rows' features."""
    targets = [data.targets["train"][row] for row in data.train_rows]
    strength = float(params["c"])
    if data.kind == "text-regression":
        ridge = Ridge(alpha=1 / strength, fit_intercept=has_bias)
        ridge.fit(features, (np.asarray(targets) - data.shift) / data.scale)
        return ridge.coef_[None, :], np.atleast_1d(ridge.intercept_)
    regression = LogisticRegression(
        C=strength,
        class_weight="balanced" if params.get("class_weighting") else None,
        max_iter=500,
        fit_intercept=has_bias,
    )
    if data.kind == "multi-label":
        has = [np.asarray([label in target for target in targets]) for label in range(data.n_outputs)]
        each = [_binary(regression, features, values) for values in has]
        return np.stack([coefficients for coefficients, _ in each]), np.asarray([intercept for _, intercept in each])
    regression.fit(features, targets)
    coefficients, intercept = regression.coef_, np.broadcast_to(regression.intercept_, len(regression.coef_))
    if data.n_outputs > 2:
        return coefficients, intercept
    # A binary regression becomes two opposite rows.
    return np.concatenate([-coefficients, coefficients]) / 2, np.concatenate([-intercept, intercept]) / 2


def _binary(
    regression: LogisticRegression, features: NDArray[np.float32], has: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Coefficients and intercept of "has the label"; a label that all or no training rows have is a constant."""
    if has.all() or not has.any():
        return np.zeros(features.shape[1]), _CERTAIN if has.all() else -_CERTAIN
    regression.fit(features, has)
    return regression.coef_[0], float(np.ravel(regression.intercept_)[0])


def write_linear(module: nn.Module, linear: Linear, n_outputs: int) -> None:
    """Put a linear model into the final linear layer.

    Args:
        module: a model with a head over the whole text, in place.
        linear: coefficients (n_outputs, n_features) and intercepts (n_outputs,).
        n_outputs: outputs of the head.
    """
    layer = final_linear(module, n_outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(linear[0], dtype=layer.weight.dtype))
        if layer.bias is not None:
            layer.bias.copy_(torch.as_tensor(linear[1], dtype=layer.weight.dtype))
    for parameter in head_parameters(module):
        parameter.requires_grad_(True)  # marks what the checkpoint has to hold


def _apply(module: nn.Module, features: NDArray[np.float32], n_outputs: int) -> NDArray[np.float32]:
    layer = final_linear(module, n_outputs)
    with torch.inference_mode():
        values = layer(torch.as_tensor(features, device=layer.weight.device))
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
