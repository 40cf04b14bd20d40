"""Exports trained pipelines as Hugging Face folders and predicts with such folders. Runs in a worker process only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer

from xautolm import registry
from xautolm.evaluate.formulations import formulation_of
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_trainable_state
from xautolm.methods.readers import prepare_reader
from xautolm.methods.structure import head_parameters


def export_model(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Rebuild a trained pipeline from its checkpoint and save it as a plain Hugging Face folder in `spec["target"]`.

    Adapters are merged: an adapter folder over a cut encoder would load the uncut one without an error.
    """
    model, params = model_spec(spec), dict(spec["params"])
    formulation = formulation_of(str(spec["kind"]), model.family)
    method = registry.load_target(spec["method_target"])
    module = method.prepare(formulation.load_model(model, params, len(spec["labels"]), 0.0), params)
    if not method.trains_by_gradient:
        for parameter in head_parameters(module):
            parameter.requires_grad_(True)
    load_trainable_state(module, load_file(Path(spec["checkpoint"]) / "trained.safetensors"))
    merged = merge_adapters(module)
    max_length = int(params["max_length"])
    notes = read_notes(Path(spec["checkpoint"]))
    plain = formulation.to_hugging_face(merged, str(spec["kind"]), spec["labels"], max_length, notes)
    tokenizer = prepare_reader(AutoTokenizer.from_pretrained(model.path), model.family)
    # The tokenizer file may carry a truncation of its own, shorter than the pipeline's length.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.model_max_length = max_length
    if plain.can_generate() and model.family == "decoder":
        tokenizer.padding_side = "left"  # what is written continues the end of the text
    target = Path(spec["target"])
    target.mkdir(parents=True, exist_ok=True)
    plain.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
    return {"n_params": sum(p.numel() for p in plain.parameters()), "notes": notes}


def read_notes(checkpoint: Path) -> dict[str, Any]:
    """`TrialData.notes` of the trial that a checkpoint is of; nothing where it was saved without."""
    file = checkpoint / "notes.json"
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def merge_adapters(module: nn.Module) -> nn.Module:
    """Fold LoRA adapters into the weights they adapt; other modules are returned as they are."""
    merge = getattr(module, "merge_and_unload", None)
    return merge() if callable(merge) else module


def predict_with_model(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Predict every row, fp32, with nothing but the exported folder.

    The rows are read from `spec["rows"]` ({"texts", "pairs", ...}); one prediction per row, in the form of
    `metrics.task_scores`, goes to `<folder>/predictions.json`, and probabilities (n_rows, n_labels), where there are
    such, to `<folder>/probabilities.npy`.
    """
    rows = json.loads(Path(spec["rows"]).read_text())
    kind = str(spec["kind"])
    predicted = formulation_of(kind, spec["family"]).predict_exported(
        Path(spec["model_folder"]),
        kind,
        rows,
        torch.device(spec["device"]),
        lambda done, total: folder.report(stage="predict", done=done, total=total),
    )
    (folder.path / "predictions.json").write_text(json.dumps(list(predicted.values)))
    if predicted.probabilities is not None:
        np.save(folder.path / "probabilities.npy", predicted.probabilities)
    return {"n_rows": len(predicted.values)}
