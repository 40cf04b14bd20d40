"""Figures in a model's `config.json`: every family has its own names for the same figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Figure = Literal["hidden", "n_layers", "n_heads", "intermediate", "vocabulary", "positions"]

#: Keys of `config.json` by family (BERT and Llama; T5, GPT-2, DistilBERT, BART).
KEYS: Mapping[Figure, tuple[str, ...]] = {
    "hidden": ("hidden_size", "d_model", "n_embd", "dim"),
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"),
    "intermediate": ("intermediate_size", "d_ff", "n_inner", "hidden_dim", "encoder_ffn_dim", "ffn_dim"),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions"),
}
#: Position tables of these families start at 2 (padding index + 1), so two entries hold no token.
OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert"})
#: Families whose first k layers are a model of their own, and whose config takes `num_hidden_layers`.
CUTTABLE = frozenset({"bert", "roberta", "xlm-roberta", "electra", "distilbert", "deberta-v2"})
#: Tokens that fit where nothing says how many.
DEFAULT_CONTEXT = 512


def find_figure(config: Mapping[str, Any], figure: Figure) -> int | None:
    """A positive figure of a configuration under whatever name its family uses; None where it states none.

    >>> find_figure({"model_type": "gpt2", "n_embd": 768}, "hidden"), find_figure({"n_inner": None}, "intermediate")
    (768, None)
    """
    values = (config.get(key) for key in KEYS[figure])
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
