"""Pretrained models with the head that a formulation needs: fresh for labels, tags and spans, their own for text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from xautolm.methods.readers import load_reader
from xautolm.methods.structure import base_encoder, final_linear
from xautolm.records import ModelSpec
from xautolm.space.families import Head, head_for

_CLASSES: dict[Head, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "causal": AutoModelForCausalLM,
    "seq2seq": AutoModelForSeq2SeqLM,
}
#: Outputs per token of a head for spans: how well the answer starts and ends there.
_SPAN_OUTPUTS = 2

#: Names that families have for their dropout rates.
_DROPOUT_KEYS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),  # BERT
    *("classifier_dropout_prob", "pooler_dropout"),  # ALBERT, DeBERTa
    *("embedding_dropout", "mlp_dropout", "attention_dropout"),  # ModernBERT, Llama
    *("dropout", "activation_dropout", "seq_classif_dropout", "qa_dropout"),  # DistilBERT, BART
    *("resid_pdrop", "embd_pdrop", "attn_pdrop"),  # GPT-2, Phi
    *("embed_dropout", "resid_dropout", "hidden_dropout"),  # GPT-Neo, GPT-NeoX
    *("dropout_rate", "summary_last_dropout"),  # T5, XLNet
)


class Readout(nn.Linear):  # type: ignore[misc]  # torch is not analysed (follow_imports = skip)
    """The last linear layer of a head, always in 32 bits.

    Outputs of 16 bits have three digits, too few for numbers and for close scores.

    Args:
        n_in: features.
        n_out: outputs.
        bias: whether it has one.
        dropout: of its features, for families whose heads have none (GPT-2, Llama).
    """

    def __init__(self, n_in: int, n_out: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__(n_in, n_out, bias=bias)
        self.rate = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (..., n_out), fp32."""
        kept = nn.functional.dropout(features.float(), self.rate, self.training)
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(kept)


def load_with_head(formulation: str, spec: ModelSpec, n_outputs: int, dropout: float) -> PreTrainedModel:
    """Load a pretrained model as transformers has it for a formulation.

    Decoders read a text off its last token, encoder-decoders off the end-of-sequence token that closes it; the ids of
    both come from the tokenizer (`readers.load_reader` makes the rows).

    Args:
        formulation: of `tasks.kinds`.
        spec: which model, cut to `spec.n_layers`.
        n_outputs: labels or tags, 1 for a number; no matter for spans and text.
        dropout: wherever the family has a rate in its configuration, and before the last layer of a fresh head.
    """
    head = head_for(formulation, spec.family)
    config = read_config(spec, dropout)
    config.use_cache = False  # keys and values are kept where texts are generated, not in training
    if formulation == "text":
        return _CLASSES[head].from_pretrained(spec.path, **load_options(config))
    config.num_labels = _SPAN_OUTPUTS if formulation == "spans" else n_outputs
    model = _CLASSES[head].from_pretrained(spec.path, **load_options(config))
    _put_readout(model, config.num_labels, dropout)
    return model


def load_options(config: Any) -> dict[str, Any]:
    """How weights are loaded: safetensors only, no foreign code, fp32."""
    return {"config": config, "use_safetensors": True, "trust_remote_code": False, "dtype": torch.float32}


def read_config(spec: ModelSpec, dropout: float) -> Any:
    """The configuration of a model with the pipeline's dropout and, but for encoders, the tokenizer's special ids."""
    config = AutoConfig.from_pretrained(spec.path, trust_remote_code=False)
    if spec.is_cut:
        config.num_hidden_layers = spec.n_layers
    for key in _DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, dropout)
    if spec.family != "encoder":
        tokenizer = load_reader(spec)
        text = config.get_text_config()
        text.pad_token_id = tokenizer.pad_token_id
        if spec.family == "encoder-decoder":
            text.eos_token_id = tokenizer.eos_token_id
    return config


def _put_readout(model: PreTrainedModel, n_outputs: int, dropout: float) -> None:
    """Exchange the last layer of a fresh head, weights kept; it drops out itself where nothing in the head does."""
    layer = final_linear(model, n_outputs)
    inside = {id(module) for module in base_encoder(model).modules()}
    has_dropout = any(isinstance(m, nn.Dropout) and id(m) not in inside for m in model.modules())
    readout = Readout(
        layer.in_features, n_outputs, bias=layer.bias is not None, dropout=0.0 if has_dropout else dropout
    )
    readout.weight, readout.bias = layer.weight, layer.bias
    for owner in model.modules():
        for name, child in owner.named_children():
            if child is layer:
                setattr(owner, name, readout)
                return
