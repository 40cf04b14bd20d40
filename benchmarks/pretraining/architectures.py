"""The two models: how large, how long their texts, and how they are trained.

Sizes: bf16 weights and tokenizer stay under 6 MB, and one core sees as many tokens as possible in an hour or two.
Tokens per second of training, measured on one core with native bf16 (docs/log.md, 2026-11-28): Llama with 5 layers of
192 units 5,400 in windows of 512 and 6,600 in windows of 256, with 3 layers of 256 units 6,300; T5 with 3 + 2 layers
of 192 units 12,700 with 256 tokens and 6,000 with 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.pretraining.objectives import Batches, CausalBatches, Seq2SeqBatches, Windows, raw_length
from benchmarks.pretraining.wording import END_ID, N_TOKENS, PAD_ID, Ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

Kind = Literal["causal", "seq2seq"]

#: Of the first embeddings of the encoder-decoder.
EMBEDDING_DEVIATION = 0.05


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model and its training.

    Attributes:
        kind: decoder-only or encoder-decoder.
        name: of the model in the package.
        n_input: tokens of a window (causal) or of the encoder's input.
        n_target: tokens of the decoder; 0 for a decoder-only model.
        max_length: what the tokenizer says the model takes.
        n_rows: rows per batch.
        question_share: share of rows that are questions on their own text (`questions.py`).
        continuation_share: share of rows of an encoder-decoder whose target is how the text goes on.
        learning_rate: highest one.
        short_share: of the budget, from its start, in which a decoder-only model sees windows half as long, and twice
            as many of them: attention to 512 tokens takes 43 % of a step, and a third more tokens pass without it.
    """

    kind: Kind
    name: str
    n_input: int
    n_target: int
    max_length: int
    n_rows: int
    question_share: float
    continuation_share: float
    learning_rate: float
    short_share: float = 0.0


RECIPES: dict[Kind, Recipe] = {
    "causal": Recipe(
        kind="causal",
        name="xautolm-causal-3m",
        n_input=512,
        n_target=0,
        max_length=512,
        n_rows=8,
        question_share=0.25,
        continuation_share=0.0,
        learning_rate=3e-3,
        short_share=0.75,
    ),
    "seq2seq": Recipe(
        kind="seq2seq",
        name="xautolm-seq2seq-3m",
        n_input=256,
        n_target=128,
        max_length=512,
        n_rows=16,
        question_share=0.35,
        continuation_share=0.25,
        learning_rate=3e-3,
    ),
}


def make_model(kind: Kind, n_tokens: int = N_TOKENS) -> PreTrainedModel:
    """A model with random weights; the caller seeds torch.

    The embeddings are tied: they are a quarter of the parameters as it is.
    """
    return _make_causal(n_tokens) if kind == "causal" else _make_seq2seq(n_tokens)


def _make_causal(n_tokens: int) -> PreTrainedModel:
    """Llama: 5 layers, 6 heads that share 2 keys and values."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=END_ID,
        eos_token_id=END_ID,
    )
    return LlamaForCausalLM(config)


def _make_seq2seq(n_tokens: int) -> PreTrainedModel:
    """T5 v1.1 (gated GELU, no dropout while pretraining) with tied embeddings: 3 + 2 layers, 6 heads."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=n_tokens,
        d_model=192,
        d_kv=32,
        d_ff=352,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=PAD_ID,
    )
    model = T5ForConditionalGeneration(config)
    _shrink_embeddings(model)
    return model


def _shrink_embeddings(model: PreTrainedModel) -> None:
    """Start with embeddings as small as a Llama's.

    T5's have a deviation of 1, so that with tied embeddings each token predicts itself (logit 14 with 192 units) until
    that is unlearned: the loss stood still from step 120 to 200 (docs/log.md, 2026-11-28). T5 divides what the decoder
    says by the root of the width before it meets the embeddings; the last norm's weights take that back.
    """
    import torch

    with torch.no_grad():
        model.shared.weight.mul_(EMBEDDING_DEVIATION)
        model.decoder.final_layer_norm.weight.fill_(model.config.d_model**0.5)


def make_batches(recipe: Recipe, ids: Ids, tokenizer: Tokenizer, seed: int, *, are_short: bool = False) -> Batches:
    """The training batches of a recipe; short ones are for the first part of its budget."""
    if recipe.kind == "causal":
        factor = 2 if are_short else 1
        windows = Windows(ids, recipe.n_input // factor, seed)
        return CausalBatches(windows, tokenizer, recipe.n_rows * factor, recipe.question_share)
    return Seq2SeqBatches(
        Windows(ids, raw_length(recipe.n_input), seed),
        tokenizer,
        recipe.n_rows,
        recipe.n_input,
        recipe.n_target,
        recipe.question_share,
        recipe.continuation_share,
    )
