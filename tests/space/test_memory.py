from dataclasses import replace

import pytest

from xautolm.records import ModelSpec
from xautolm.space.memory import activation_bytes, kv_cache_bytes, layer_bytes, logit_bytes, memory_parts
from xautolm.space.workload import TaskSize, Workload

MINILM = ModelSpec("m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",))
FULL = Workload(22_713_216, 6, True, epochs=1, batch_size=32, max_length=128, train_fraction=1.0)
LORA = replace(FULL, n_trainable=330_000, trains_embeddings=False, n_lora=330_000)
SIZE = TaskSize(1000, 100, 2, (128,) * 101)
UNITS = 32 * 128 * 384


# MiB that autograd saved in one forward pass of 32 rows of 128 tokens (256 in the second), 16-bit copies of weights
# left out; torch 2.13, bf16 autocast.
@pytest.mark.parametrize(
    ("workload", "tokens", "saved_mib"),
    [
        (FULL, 128, 894.6),
        (FULL, 256, 2653.0),
        (replace(FULL, has_dropout=False), 128, 373.6),
        (replace(FULL, backward_layers=2, trains_embeddings=False), 128, 294.3),
        (LORA, 128, 884.8),
        (replace(LORA, has_adapter_dropout=True), 128, 1190.8),
        (replace(FULL, is_checkpointed=True), 128, 48.7 + UNITS * 98 / 2**20),
    ],
)
def test_activations_are_what_autograd_saves(workload: Workload, tokens: int, saved_mib: float) -> None:
    assert activation_bytes(workload, MINILM, 32, tokens) / 2**20 == pytest.approx(saved_mib, rel=0.03)


# Bytes per token and hidden unit that autograd saved in one layer 256 wide (models of 4 layers less those of 2, 8 rows,
# 16-bit copies of weights left out; of T5 a layer of each stack, one token in the decoder); torch 2.13, transformers
# 5.24, bf16 autocast.
@pytest.mark.parametrize(
    ("model_type", "wide", "has_dropout", "tokens", "kept"),
    [
        ("llama", 1, False, 96, 42.8),
        ("llama", 4, False, 96, 66.8),
        ("llama", 4, True, 96, 90.0),
        ("qwen3", 1, False, 96, 55.0),
        ("qwen3", 4, True, 96, 102.2),
        ("gpt2", 4, False, 192, 61.6),
        ("gpt2", 4, True, 192, 106.1),
        ("t5", 1, False, 96, 56.6),
        ("t5", 4, False, 96, 68.8),
        ("t5", 4, True, 96, 97.1),
    ],
)
def test_layers_of_other_families_keep_what_autograd_saves(model_type, wide, has_dropout, tokens, kept) -> None:
    family = "encoder-decoder" if model_type == "t5" else "decoder"
    shape = {"hidden": 256, "n_heads": 4, "intermediate": 256 * wide}
    model = replace(MINILM, model_type=model_type, family=family, **shape)
    assert layer_bytes(replace(FULL, has_dropout=has_dropout), model, tokens) == pytest.approx(kept, rel=0.1)


def test_full_precision_keeps_more_than_mixed() -> None:
    assert layer_bytes(replace(FULL, is_mixed=False), MINILM, 128) - layer_bytes(FULL, MINILM, 128) == 30


def test_checkpointing_and_micro_batches_need_less() -> None:
    whole, halves = memory_parts(FULL, MINILM, SIZE), memory_parts(replace(FULL, micro_batch_size=16), MINILM, SIZE)
    ones = replace(FULL, micro_batch_size=1)
    checkpointed = memory_parts(replace(FULL, is_checkpointed=True), MINILM, SIZE)
    assert whole.mib > halves.mib > memory_parts(ones, MINILM, SIZE).mib
    assert whole.mib > checkpointed.mib
    assert whole.training == halves.training == checkpointed.training == 12 * 22_713_216


def test_a_batch_has_no_more_rows_than_the_task() -> None:
    few = replace(SIZE, n_train=8)
    assert memory_parts(FULL, MINILM, few).passing < memory_parts(FULL, MINILM, SIZE).passing / 3


def test_what_dominates_depends_on_the_batch() -> None:
    assert (
        memory_parts(replace(FULL, batch_size=1), MINILM, replace(SIZE, token_quantiles=(8,) * 101)).dominant == "state"
    )
    assert memory_parts(FULL, MINILM, SIZE).dominant == "passing"


def test_logits_of_a_large_vocabulary_outweigh_everything() -> None:
    qwen = replace(MINILM, vocabulary=151_936)
    words = replace(FULL, predicts_vocabulary=True)
    assert logit_bytes(words, qwen, SIZE, 8, 512) == 8 * 512 * 151_936 * (2 + 4 + 4)
    assert logit_bytes(FULL, qwen, SIZE, 8, 512) == 8 * 2 * 10
    more = memory_parts(words, qwen, SIZE).mib - memory_parts(FULL, qwen, SIZE).mib
    assert more > 64 * 128 * 151_936 * 10 / 2**20 / 2


def test_keys_and_values_of_generated_text_are_counted() -> None:
    # GPT-2 small (12 layers, 768 wide): 36,864 bytes per token in 16 bits, 73,728 in 32 (2 * 12 * 768 * bytes).
    gpt2 = replace(MINILM, n_layers=12, hidden=768)
    assert kv_cache_bytes(gpt2, 1, 1) == 36_864
    assert kv_cache_bytes(gpt2, 4, 100, bytes_per_value=4) == 400 * 73_728
    assert kv_cache_bytes(gpt2, 1, 1, kv_share=0.25) == 9_216
    assert memory_parts(replace(FULL, generated_tokens=64), MINILM, SIZE).cache == kv_cache_bytes(MINILM, 64, 192)
    assert memory_parts(FULL, MINILM, SIZE).cache == 0
