"""What rows amount to that are read in windows."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_models import NEUTRAL
from transformers import AutoTokenizer

from xautolm.evaluate.formulations.contexts import cut_contexts
from xautolm.evaluate.formulations.words import cut_words
from xautolm.records import ModelSpec
from xautolm.space.feasibility import DEFAULT_SPEED, estimate
from xautolm.space.windows import as_read
from xautolm.space.workload import TaskSize, Workload

ENCODER = ModelSpec("m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",))
DECODER = replace(ENCODER, model_type="gpt2", family="decoder")
LENGTHS = tuple(range(20, 323, 3))


def rows(n_tokens):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(NEUTRAL, n)) for n in n_tokens]


@pytest.mark.parametrize("max_length", [48, 128, 512])
@pytest.mark.parametrize("read_in", ["words", "contexts"])
def test_windows_are_as_many_and_as_long_as_are_cut(tiny_bert, read_in, max_length):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    question = " ".join(NEUTRAL[:7] * 2)
    if read_in == "words":
        windows = cut_words(tokenizer, {"words": [row.split() for row in rows(n - 2 for n in LENGTHS)]}, max_length)
    else:
        pairs = rows(max(n - 17, 1) for n in LENGTHS)
        windows = cut_contexts(tokenizer, {"texts": [question] * len(pairs), "pairs": pairs}, max_length)
    size = as_read(TaskSize(len(LENGTHS), 10, 2, LENGTHS, read_in=read_in), ENCODER, max_length)

    assert size.n_train == pytest.approx(len(windows.rows), rel=0.03)
    assert np.mean(size.token_quantiles) == pytest.approx(np.mean(windows.tokens.lengths()), rel=0.03)
    assert max(size.token_quantiles) <= max_length


def test_rows_that_are_cut_stay_as_they_are():
    size = TaskSize(100, 10, 2, LENGTHS)

    assert as_read(size, ENCODER, 64) is size
    contexts = replace(size, read_in="contexts")
    assert as_read(contexts, DECODER, 64) is contexts
    assert as_read(contexts, ENCODER, 512) is contexts
    assert as_read(replace(size, read_in="words"), DECODER, 64).n_train > 300


def test_windows_take_their_time():
    load = Workload(22_713_216, 6, True, epochs=1, batch_size=16, max_length=64, train_fraction=1.0)
    cut = TaskSize(1000, 100, 2, LENGTHS)

    times = [
        estimate(load, ENCODER, replace(cut, read_in=read_in), DEFAULT_SPEED).time_s for read_in in ("rows", "contexts")
    ]
    assert times[1] > 3 * times[0]
