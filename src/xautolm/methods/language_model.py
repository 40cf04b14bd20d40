"""Language models that write: loaded from a `ModelSpec`, with nothing left of the ways of writing they came with."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedModel

from xautolm.methods.classifier import set_dropout
from xautolm.records import ModelSpec


def load_language_model(spec: ModelSpec, dropout: float) -> PreTrainedModel:
    """Load a decoder-only or encoder-decoder model with its head over the vocabulary.

    Args:
        spec: which model.
        dropout: dropout of the hidden states, and of the attention where the family has it.
    """
    config = AutoConfig.from_pretrained(spec.path, trust_remote_code=False)
    if spec.is_cut:
        config.num_hidden_layers = spec.n_layers
    set_dropout(config, dropout)
    auto = AutoModelForCausalLM if spec.family == "decoder" else AutoModelForSeq2SeqLM
    model = auto.from_pretrained(
        spec.path, config=config, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    # `generate` falls back on what the model came with (beams, temperatures, banned repetitions) for whatever it is
    # not told; and keys and values are kept when texts are generated, not in training.
    model.generation_config = GenerationConfig()
    model.config.use_cache = False
    return model
