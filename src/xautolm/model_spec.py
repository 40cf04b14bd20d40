"""A pretrained model in figures: what it is made of, as far as costs and methods ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Which stacks a pretrained model has.
Family = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A pretrained model that is available on this machine, with the figures that cost estimates need.

    Attributes:
        name: the name users and records see (`all-MiniLM-L6-v2@3` is that encoder cut to 3 layers).
        path: local folder with `config.json`, safetensors weights and a tokenizer.
        revision: commit or weight hash.
        model_type: `model_type` of `config.json` (`bert`, `gpt2`, ...).
        n_layers: number of transformer layers used (after cutting).
        is_cut: whether `n_layers` is smaller than what the folder holds.
        n_params: parameters of the encoder after cutting, embeddings included.
        n_params_embedding: parameters of the embedding tables.
        hidden: hidden size.
        n_heads: attention heads.
        intermediate: feed-forward size.
        vocabulary: size of the token vocabulary.
        context: largest number of tokens in one input.
        poolings: ways a classification head may read this model, best first (`mean`, `first`, `native`).
        family: which stacks it has.
        n_decoder_layers: layers of the decoder where there are two stacks; `n_layers` are then the encoder's.
        n_params_decoder: parameters of those layers.
        adapter_width: rows + columns of the linear layers in all transformer layers, summed: what an adapter of rank 1
            on each of them adds; 0 = not counted.
        adapter_width_decoder: of those, in the decoder where there are two stacks.
        n_params_lm_head: parameters of a language-model head that is no copy of the embeddings; not in `n_params`.
        n_params_head: parameters of a fresh head besides its last linear layer.
        n_kv_heads: heads with keys and values of their own; 0 = as many as `n_heads`.
    """

    name: str
    path: str
    revision: str
    model_type: str
    n_layers: int
    is_cut: bool
    n_params: int
    n_params_embedding: int
    hidden: int
    n_heads: int
    intermediate: int
    vocabulary: int
    context: int
    poolings: tuple[str, ...]
    family: Family = "encoder"
    n_decoder_layers: int = 0
    n_params_decoder: int = 0
    adapter_width: int = 0
    adapter_width_decoder: int = 0
    n_params_lm_head: int = 0
    n_params_head: int = 0
    n_kv_heads: int = 0

    @property
    def depth(self) -> int:
        """Transformer layers of all stacks."""
        return self.n_layers + self.n_decoder_layers
