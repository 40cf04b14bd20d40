"""Language models that write: loaded from a `ModelSpec`, with nothing left of the ways of writing they came with."""

from __future__ import annotations

from transformers import GenerationConfig, PreTrainedModel

from xautolm.methods.heads import load_with_head
from xautolm.records import ModelSpec


def load_language_model(spec: ModelSpec, dropout: float) -> PreTrainedModel:
    """Load a decoder-only or encoder-decoder model with its head over the vocabulary.

    Args:
        spec: which model.
        dropout: dropout of the hidden states, and of the attention where the family has it.
    """
    model = load_with_head("text", spec, 0, dropout)
    # `generate` falls back on what the model came with (beams, temperatures, banned repetitions) for whatever it is
    # not told.
    model.generation_config = GenerationConfig()
    return model
