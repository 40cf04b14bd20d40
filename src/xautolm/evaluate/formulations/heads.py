"""Pretrained models with a fresh head over every token. Worker side."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from xautolm.methods.classifier import set_dropout
from xautolm.records import ModelSpec

_CLASSES: dict[str, Any] = {"tokens": AutoModelForTokenClassification, "spans": AutoModelForQuestionAnswering}


def load_with_head(formulation: str, spec: ModelSpec, n_outputs: int, dropout: float) -> PreTrainedModel:
    """Load a pretrained model, cut to `spec.n_layers`, as transformers has it for a formulation.

    Args:
        formulation: `tokens` or `spans`.
        spec: which model.
        n_outputs: outputs per token.
        dropout: of the hidden states, the attention where the family has it, and the head.
    """
    config = AutoConfig.from_pretrained(spec.path, trust_remote_code=False)
    if spec.is_cut:
        config.num_hidden_layers = spec.n_layers
    set_dropout(config, dropout)
    config.num_labels = n_outputs
    config.use_cache = False  # nothing is generated
    if config.pad_token_id is None:
        config.pad_token_id = config.eos_token_id
    return _CLASSES[formulation].from_pretrained(
        spec.path, config=config, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
