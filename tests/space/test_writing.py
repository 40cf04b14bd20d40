"""What learning and writing answers costs: counted for models that write, by the answers of the task."""

from dataclasses import replace

import pytest

from xautolm.data.summary import answer_lengths
from xautolm.records import Answer, ModelSpec, Split
from xautolm.space.catalogue import embedded_folder
from xautolm.space.feasibility import DEFAULT_SPEED, estimate
from xautolm.space.memory import memory_parts
from xautolm.space.workload import TaskSize, Workload
from xautolm.space.writing import answer_flops, mean_answer, with_answers, writes, writing_s

# 384 wide, 4 layers with gated feed-forward layers, 8,000 words: the model of docs/log.md.
DECODER = ModelSpec(
    *("d", "", "", "qwen3", 4, False, 12_500_000, 3_072_000, 384, 6, 1536, 8000, 512, ("native",), "decoder"),
    n_kv_heads=6,
)
TWO_STACKS = {"family": "encoder-decoder", "n_decoder_layers": 4, "n_params_decoder": 9_437_184}
SEQ2SEQ = replace(DECODER, model_type="t5", n_params=19_600_000, **TWO_STACKS)
ENCODER = replace(DECODER, model_type="bert", family="encoder")
FULL = Workload(12_500_000, 4, True, epochs=1, batch_size=16, max_length=512, train_fraction=1.0)
SIZE = TaskSize(1000, 64, 1, (100,) * 101, (*[4] * 90, *[20] * 11))
WRITTEN = with_answers(FULL, DECODER, SIZE)


def test_answers_cost_only_models_that_write_them():
    assert WRITTEN.generated_tokens == 25  # the 99th percentile and a quarter
    assert WRITTEN.predicts_vocabulary
    assert with_answers(FULL, ENCODER, SIZE) == FULL
    assert with_answers(FULL, DECODER, replace(SIZE, answer_quantiles=())) == FULL
    assert not writes(ENCODER, SIZE)
    assert mean_answer(ENCODER, SIZE) == 0 < mean_answer(DECODER, SIZE)
    looking = replace(SIZE, answer_quantiles=())
    assert estimate(FULL, ENCODER, SIZE, DEFAULT_SPEED) == estimate(FULL, ENCODER, looking, DEFAULT_SPEED)


@pytest.mark.parametrize("model", [DECODER, SEQ2SEQ])
def test_longer_answers_take_longer_and_more_memory(model):
    longer = replace(SIZE, answer_quantiles=tuple(10 * n for n in SIZE.answer_quantiles))
    short, long = (estimate(FULL, model, size, DEFAULT_SPEED) for size in (SIZE, longer))
    assert long.time_s > 1.5 * short.time_s
    assert long.memory_mib > short.memory_mib


# Processor milliseconds of one more token for a batch (docs/log.md, 2026-11-28: what writing costs).
@pytest.mark.parametrize(
    ("model", "rows", "prompt", "measured_ms"),
    [
        (DECODER, 1, 100, 7.0),
        (DECODER, 16, 100, 13.4),
        (DECODER, 64, 100, 34.4),
        (DECODER, 16, 300, 29.0),
        (replace(DECODER, vocabulary=30_000), 1, 100, 9.3),
        (replace(DECODER, vocabulary=30_000), 64, 100, 47.5),
        (SEQ2SEQ, 1, 100, 8.5),
        (SEQ2SEQ, 64, 100, 32.5),
    ],
)
def test_a_generated_token_takes_what_was_measured(model, rows, prompt, measured_ms):
    size = TaskSize(1000, rows, 1, (prompt,) * 101, (8,) * 101)
    seconds = writing_s(with_answers(FULL, model, size), model, size, 200e9, rows)
    assert seconds / 8 * 1000 == pytest.approx(measured_ms, rel=0.35)


def test_keys_and_values_are_kept_for_the_heads_that_have_them():
    grouped = replace(DECODER, n_kv_heads=2)
    whole, third = (memory_parts(WRITTEN, model, SIZE).cache for model in (DECODER, grouped))
    assert third == pytest.approx(whole / 3)
    # 2 x 4 layers x 384 x (100 read + 25 written) tokens x 64 rows x 2 bytes
    assert whole == 2 * 4 * 384 * 125 * 64 * 2


def test_logits_are_needed_for_the_answer_only():
    small, large = (replace(DECODER, vocabulary=n) for n in (8000, 108_000))
    # Of 16 rows, 25 tokens and the one before them, 10 bytes for each of 100,000 more words.
    expected = 16 * 26 * 100_000 * 10
    more = memory_parts(WRITTEN, large, SIZE).passing - memory_parts(WRITTEN, small, SIZE).passing
    assert more == pytest.approx(expected, rel=0.01)


def test_an_encoder_decoder_reads_with_its_encoder_and_writes_with_its_decoder():
    reading = answer_flops(SEQ2SEQ, 100, 0)
    assert reading == pytest.approx(-2 * 100 * (9_437_184 - 2 * 384**2 * 4))
    writing = answer_flops(SEQ2SEQ, 100, 10) - reading
    assert writing == 2 * (9_437_184 + 384 * 8000) * 10


def test_answers_are_counted_with_their_end():
    rows = ((Answer("good"), Answer("very good film")), (), (Answer("bad film"),))
    split = Split(("a", "b", "c"), None, (), rows)
    assert answer_lengths(embedded_folder(), split).tolist() == [2, 1, 3]
    assert answer_lengths(embedded_folder(), Split(("a",), None, (1,))).tolist() == []
