"""Figures in a model's `config.json`: every family has its own names for the same figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Figure = Literal["hidden", "n_layers", "n_heads", "n_kv_heads", "intermediate", "vocabulary", "positions"]

#: Keys of `config.json` by family (BERT and Llama; T5, GPT-2, DistilBERT, BART, XLM). BART's come first: where it also
#: states `num_hidden_layers`, that can be another figure (pruned decoders).
KEYS: Mapping[Figure, tuple[str, ...]] = {
    "hidden": ("hidden_size", "d_model", "n_embd", "n_embed", "dim", "emb_dim"),
    "n_layers": ("encoder_layers", "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "n_heads": ("encoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads"),
    "n_kv_heads": ("num_key_value_heads",),
    "intermediate": (
        *("encoder_ffn_dim", "intermediate_size", "d_ff", "n_inner", "hidden_dim", "ffn_dim", "d_inner", "dff"),
    ),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions", "max_encoder_position_embeddings", "max_seq_len"),
}
#: Position tables of these families start at 2 (padding index + 1), so two entries hold no token.
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert"})
#: Families whose first k layers are a model of their own, and whose config takes `num_hidden_layers`.
CUTTABLE = frozenset({"bert", "roberta", "xlm-roberta", "electra", "distilbert", "deberta-v2"})
#: Tokens that fit where nothing says how many.
DEFAULT_CONTEXT = 512


def find_figure(config: Mapping[str, Any], figure: Figure) -> int | None:
    """A positive figure of a configuration under whatever name its family uses; None where it states none.

    Models that also see or hear keep the figures of their language model in `text_config` (or, with two stacks, in
    `encoder`).

    >>> find_figure({"model_type": "gpt2", "n_embd": 768}, "hidden"), find_figure({"n_inner": None}, "intermediate")
    (768, None)
    >>> find_figure({"model_type": "gemma3", "text_config": {"hidden_size": 2560}}, "hidden")
    2560
    """
    places = [config, *(config[key] for key in ("text_config", "encoder") if isinstance(config.get(key), Mapping))]
    values = (place.get(key) for place in places for key in KEYS[figure])
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)


def count_positions(config: Mapping[str, Any]) -> int | None:
    """Tokens that the position table holds; None for families without a limit.

    >>> count_positions({"model_type": "roberta", "max_position_embeddings": 514})
    512
    """
    positions = find_figure(config, "positions")
    return positions - 2 if positions is not None and config.get("model_type") in OFFSET_POSITIONS else positions


def poolings_of(model_type: str, *, is_cut: bool) -> tuple[str, ...]:
    """Ways in which a classification head may read a model, best first.

    The first token of a cut encoder carries nothing: linear probes on it give the majority class, and with full
    training it stays behind the mean (design.md, decision 11).

    >>> poolings_of("bert", is_cut=False), poolings_of("bert", is_cut=True), poolings_of("gpt2", is_cut=False)
    (('mean', 'first'), ('mean',), ('native',))
    """
    if model_type != "bert":
        return ("native",)
    return ("mean",) if is_cut else ("mean", "first")
