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
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from xautolm import registry
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.metrics import softmax
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import head_parameters, load_classifier, load_trainable_state, to_hugging_face

_BATCH = 32


def export_model(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Rebuild a trained pipeline from its checkpoint and save it as a plain Hugging Face folder in `spec["target"]`.

    Adapters are merged: an adapter folder over a cut encoder would load the uncut one without an error.
    """
    model, params = model_spec(spec), dict(spec["params"])
    classifier = load_classifier(model, str(params["pooling"]), len(spec["labels"]), 0.0)
    method = registry.load_target(spec["method_target"])
    module = method.prepare(classifier, params)
    if not method.trains_by_gradient:
        for parameter in head_parameters(module):
            parameter.requires_grad_(True)
    load_trainable_state(module, load_file(Path(spec["checkpoint"]) / "trained.safetensors"))
    merged = merge_adapters(module)
    max_length = int(params["max_length"])
    plain = to_hugging_face(merged, spec["labels"], max_length)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # The tokenizer file may carry a truncation of its own, shorter than the pipeline's length.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.model_max_length = max_length
    target = Path(spec["target"])
    target.mkdir(parents=True, exist_ok=True)
    plain.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
    return {"n_params": sum(p.numel() for p in plain.parameters())}


def merge_adapters(module: nn.Module) -> nn.Module:
    """Fold LoRA adapters into the weights they adapt; other modules are returned as they are."""
    merge = getattr(module, "merge_and_unload", None)
    return merge() if callable(merge) else module


def predict_with_model(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Class probabilities of every row, fp32, with nothing but the exported folder.

    The rows are read from `spec["rows"]` ({"texts", "pairs"}); the probabilities (n_rows, n_classes) go to
    `<folder>/probabilities.npy`, their labels in index order into the result.
    """
    path = spec["model_folder"]
    rows = json.loads(Path(spec["rows"]).read_text())
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, use_safetensors=True, dtype=torch.float32)
    device = torch.device(spec["device"])
    model.to(device).eval()
    texts, pairs = rows["texts"], rows["pairs"]
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]) - (len(pairs[i]) if pairs else 0))
    logits = np.zeros((len(texts), model.config.num_labels), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            encoded = [_encode(tokenizer, texts[i], pairs[i] if pairs else None) for i in chosen]
            inputs = tokenizer.pad(encoded, return_tensors="pt").to(device)
            logits[chosen] = model(**inputs).logits.float().cpu().numpy()
            folder.report(stage="predict", done=min(start + _BATCH, len(order)), total=len(order))
    np.save(folder.path / "probabilities.npy", softmax(logits))
    return {"labels": [model.config.id2label[i] for i in range(model.config.num_labels)]}


def _encode(tokenizer: Any, text: str, pair: str | None) -> Any:
    """One row as `transformers.pipeline` encodes it; a batch would read an empty second text differently.

    Decoders' tokenizers make no token of an empty text: such a row reads one padding token.
    """
    encoded = tokenizer(text, pair or None, truncation=True)
    if not encoded["input_ids"]:
        encoded["input_ids"], encoded["attention_mask"] = [tokenizer.pad_token_id], [1]
    return encoded
