"""The two models: how large, how long their texts, and how they are trained.

Sizes: bf16 weights and tokenizer stay under 6 MB, and one core sees as many tokens as possible in an hour or two.
Tokens per second of training, measured on one core with native bf16 (docs/log.md, 2026-11-28): Llama with 5 layers of
192 units 5,400 in windows of 512 and 6,600 in windows of 256, with 3 layers of 256 units 6,300; T5 with 3 + 2 layers
of 192 units 12,700 with 256 tokens and 6,000 with 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.pretraining.objectives import Batches, CausalBatches, Seq2SeqBatches, Windows
from benchmarks.pretraining.wording import END_ID, N_TOKENS, PAD_ID, Ids
from xautolm.errors import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

Kind = Literal["causal", "seq2seq"]

#: Lowest first bias of attention, and what the other direction costs a head of the encoder.
FARTHEST, OTHER_WAY = -8.0, -4.0
#: What attention adds up for two equal tokens at the start, and how much of what it finds it passes on: about as much
#: as the embeddings weigh.
EQUAL_TOKENS, COPIED_SHARE = 8.0, 0.05


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
        continuation_share=0.15,
        learning_rate=1e-3,
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
    _start_small(model)
    favour_near_tokens(model)
    favour_copying(model)
    return model


def _start_small(model: PreTrainedModel) -> None:
    """Start T5 with weights as small as a Llama's, because it is trained like one.

    T5's own start belongs to Adafactor, whose steps are as large as the weights. With AdamW at Llama's rate its
    attention, which does not divide by the root of the width of a head, was saturated after a few hundred steps, its
    feed-forward layers drowned the embeddings 800 to 1, and the loss stood still (docs/log.md, 2026-11-28). So queries
    are divided here (and learn as much slower, `loop.py`), and the last norm takes back that T5 divides what
    meets the tied embeddings by the root of the model's width.
    """
    import torch

    deviation = 0.02
    n_layers = model.config.num_layers + model.config.num_decoder_layers
    factors = {".q.": model.config.d_kv**-0.5, ".o.": (2 * n_layers) ** -0.5, ".wo.": (2 * n_layers) ** -0.5}
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim > 1:
                factor = next((factor for part, factor in factors.items() if part in name), 1.0)
                values.normal_(0.0, deviation * factor)
        model.decoder.final_layer_norm.weight.fill_(model.config.d_model**0.5)


def borrow_embeddings(model: PreTrainedModel, folder: Path) -> None:
    """Start with the embeddings of another model of the same tokenizer and width: they are the slowest to learn.

    Args:
        model: changed in place.
        folder: of a model with safetensors weights.

    Raises:
        UsageError: its embeddings have another shape.
    """
    import torch
    from transformers import AutoModel

    found = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).get_input_embeddings().weight
    own = model.get_input_embeddings().weight
    if found.shape != own.shape:
        raise UsageError(
            f"expected embeddings of shape {tuple(own.shape)} in `{folder}`, found {tuple(found.shape)}; name a model "
            "that was pretrained in the same work folder"
        )
    with torch.no_grad():
        own.copy_(found)


def favour_near_tokens(model: PreTrainedModel) -> None:
    """Start T5's biases of attention by position as ALiBi's: far tokens count less (Press et al. 2022, section 3).

    From T5's own start, around 0, none had passed 0.3 after 800 steps (docs/log.md, 2026-11-28). Slopes
    are 1, 1/2, 1/4 ...; heads of the encoder look back and ahead in turns.
    """
    import torch

    for stack in (model.encoder, model.decoder):
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        biases = near_biases(*table.shape, is_two_way=stack is model.encoder)
        with torch.no_grad():
            table.copy_(torch.tensor(biases))


def favour_copying(model: PreTrainedModel) -> None:
    """Start a T5 so that its decoder finds its last token in the source, and what stands beside it there.

    Queries of attention to the encoder start as multiples of the keys, so that equal tokens meet, and its output as the
    transpose of its values, so that what is found arrives as it was; heads of the encoder's first layer bring every
    token its neighbours. Trained transformers look alike in both (Trockman & Kolter 2023, "Mimetic Initialization of
    Self-Attention Layers"). From random weights none of this was learned in half an hour: 63 tokens that are given
    were written out with a loss of 4.8 after 350 steps, from here with 0.25 after 250 (docs/log.md, 2026-11-28).
    """
    import torch

    width = model.config.d_model
    for stack in (model.encoder, model.decoder):
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        ahead = 1 + table.shape[0] // 2
        looks = {0: ahead, 1: ahead, 2: 1} if stack is model.encoder else {0: 1}
        with torch.no_grad():
            for head, bucket in looks.items():
                table[:, head] = FARTHEST
                table[bucket, head] = 0.0
    copying = [model.encoder.block[0].layer[0].SelfAttention]
    for block in model.decoder.block:
        attention = block.layer[1].EncDecAttention
        copying.append(attention)
        with torch.no_grad():
            attention.k.weight.copy_(torch.nn.init.orthogonal_(torch.empty(width, width)))
            attention.q.weight.copy_(attention.k.weight * (EQUAL_TOKENS / model.config.d_kv))
    for attention in copying:
        with torch.no_grad():
            attention.v.weight.copy_(torch.nn.init.orthogonal_(torch.empty(width, width)))
            attention.o.weight.copy_(attention.v.weight.T * COPIED_SHARE)


def near_biases(n_buckets: int, n_heads: int, *, is_two_way: bool) -> list[list[float]]:
    """Biases by bucket of distance and by head.

    Buckets are T5's: half of them are single distances, the others grow to 128; of a two-way stack the first half of
    all looks back, the second ahead.

    >>> [round(row[0], 1) for row in near_biases(32, 6, is_two_way=False)][:4]
    [0.0, -1.0, -2.0, -3.0]
    >>> table = near_biases(32, 6, is_two_way=True)
    >>> table[1][0] > table[17][0], table[1][1] < table[17][1]
    (True, True)
    """
    n_way = n_buckets // 2 if is_two_way else n_buckets
    exact = n_way // 2
    rows = []
    for bucket in range(n_buckets):
        place = bucket % n_way
        distance = place if place < exact else exact * (128 / exact) ** ((place - exact) / (n_way - exact))
        is_ahead = bucket >= n_way
        turned = [OTHER_WAY if is_two_way and is_ahead != (head % 2 == 1) else 0.0 for head in range(n_heads)]
        rows.append([max(-distance * 2.0**-head, FARTHEST) + turned[head] for head in range(n_heads)])
    return rows


def make_batches(recipe: Recipe, ids: Ids, tokenizer: Tokenizer, seed: int, *, are_short: bool = False) -> Batches:
    """The training batches of a recipe; short ones are for the first part of its budget."""
    if recipe.kind == "causal":
        factor = 2 if are_short else 1
        windows = Windows(ids, recipe.n_input // factor, seed)
        return CausalBatches(windows, tokenizer, recipe.n_rows * factor, recipe.question_share)
    return Seq2SeqBatches(
        Windows(ids, recipe.n_input - 1 + recipe.n_target, seed),
        tokenizer,
        recipe.n_rows,
        recipe.n_input,
        recipe.n_target,
        recipe.question_share,
        recipe.continuation_share,
    )
