"""Text embeddings by a pretrained encoder. Runs in a worker process only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from xautolm.evaluate.batches import collator_for, run_batches
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.tokens import load_rows, tokenise
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_classifier


def embed_texts(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Embed texts: the mean of the last hidden states over the tokens, scaled to length 1.

    This is what all-MiniLM-L6-v2 was trained with (its model card: mean pooling, then normalisation), so every text
    counts the same in a mean of embeddings, and dot products are cosines. In bf16, where that is native, an embedding
    is within 0.0001 (cosine) of the fp32 one.

    Args:
        spec: `texts` (at least one), `max_length` = tokens that are read of each, `model` with mean pooling.
        folder: gets `embeddings.npy`, float32, (n_texts, hidden), in the order of the texts.

    Returns:
        `n_tokens` that were read, special tokens included.
    """
    model, device = model_spec(spec), torch.device(spec["device"])
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenise(tokenizer, spec["texts"], None, int(spec["max_length"]), folder.path)
    rows = load_rows(folder.path)
    module = load_classifier(model, "mean", 1, 0.0).to(device)
    folder.report(stage="predict")

    def forward(batch: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.normalize(module.mean(**batch).float(), dim=1)

    values = run_batches(forward, module, rows, collator_for(model), device)
    np.save(folder.path / "embeddings.npy", values)
    return {"n_tokens": int(rows.lengths().sum())}
