"""Words, characters, tokens and embeddings: what the features say about texts made for the purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xautolm.metafeatures import landmarks, tokens
from xautolm.metafeatures.landmarks import linear_landmark
from xautolm.metafeatures.semantic import mean_cosine, mean_embedding, neighbour_landmark
from xautolm.metafeatures.text import cut_evenly
from xautolm.metafeatures.tokens import token_features
from xautolm.metafeatures.words import RATIO_WORDS, character_features, duplicate_share, pair_features, word_features
from xautolm.space.catalogue import embedded_folder

TOKENIZER = embedded_folder() / "tokenizer.json"


def test_the_type_token_ratio_does_not_depend_on_how_much_more_text_there_is() -> None:
    line = " ".join(f"w{i}" for i in range(100))

    enough, more = word_features([line] * (RATIO_WORDS // 100)), word_features([line] * (RATIO_WORDS // 20))

    assert enough["type_token_ratio"] == more["type_token_ratio"] == 100 / RATIO_WORDS


def test_vocabulary_that_keeps_growing_has_a_larger_exponent() -> None:
    new = word_features([f"a{i} b{i}" for i in range(200)])
    repeated = word_features([f"a{i % 20} b{i % 20}" for i in range(200)])

    assert new["vocabulary_growth"] == 1.0
    assert repeated["vocabulary_growth"] == 0.0
    assert (new["vocabulary_size"], repeated["vocabulary_size"]) == (400.0, 40.0)


def test_scripts_are_told_apart() -> None:
    assert character_features(["Привет мир"])["non_latin_share"] == 1.0
    assert character_features(["Grüße, señor"])["non_latin_share"] == 0.0
    assert character_features([""]) == {"non_latin_share": 0.0, "digit_share": 0.0, "punctuation_share": 0.0}


def test_repeats_and_pairs() -> None:
    assert duplicate_share([]) == 0.0
    assert duplicate_share(["a", "A ", "b", "a"]) == 0.5
    assert pair_features(["same words", "a"], ["words same", "b"])["pair_overlap"] == 0.5


def test_tokens_leave_special_tokens_out_and_the_total_is_that_of_all_rows() -> None:
    found = token_features(["hello world", "hello"], TOKENIZER)

    assert found["tokens_total"] == 3.0
    assert (found["tokens_p50"], found["tokens_max"], found["tokens_mean"]) == (2.0, 2.0, 1.5)


def test_the_total_is_scaled_up_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SAMPLE_ROWS", 50)

    found = token_features(["hello world"] * 400, TOKENIZER)

    assert found["tokens_total"] == 800.0


def test_of_long_documents_as_many_are_tokenised_as_the_limit_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SAMPLE_CHARS", 1_000)

    found = token_features(["hello world " * 10, "hello " * 20] * 50, TOKENIZER)

    assert found["tokens_total"] == 2_000.0
    assert found["tokens_max"] == 20.0
    assert token_features(["hello " * 1_000], TOKENIZER)["tokens_total"] == 1_000.0  # one row at least


def test_landmarks_read_the_beginning_of_long_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'plain ' * 50}{'good' if row % 2 else 'awful'}" for row in range(40)]
    labels = [row % 2 for row in range(40)]
    seen = linear_landmark(texts, labels)
    monkeypatch.setattr(landmarks, "MAX_CHARS", 40 * 200)

    assert (seen, linear_landmark(texts, labels, exact=True)) == (1.0, 1.0)
    assert linear_landmark(texts, labels) < 0.8


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=8), st.integers(0, 100))
def test_only_the_longest_texts_are_cut_and_all_to_one_length(texts: list[str], n_chars: int) -> None:
    cut = cut_evenly(texts, n_chars)

    level = max(map(len, cut), default=0)
    assert sum(map(len, cut)) <= n_chars
    assert cut == [text[:level] for text in texts]
    if cut != texts:
        assert sum(min(len(text), level + 1) for text in texts) > n_chars


numbers = st.floats(-(2.0**100), 2.0**100, width=32)
vectors = arrays(np.float32, st.tuples(st.integers(0, 8), st.just(3)), elements=numbers)


@settings(max_examples=60, deadline=None)
@given(vectors)
def test_any_embeddings_give_finite_features(rows: np.ndarray) -> None:
    landmark = neighbour_landmark(rows, [i % 2 for i in range(len(rows))])

    assert 0.0 <= landmark <= 1.0
    assert -1.0 - 1e-9 <= mean_cosine(rows, rows[::-1]) <= 1.0 + 1e-9
    assert (mean_embedding(rows) is None) == (len(rows) == 0)
