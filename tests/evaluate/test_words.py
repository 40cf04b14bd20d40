"""Words are read once each, at their first token, whatever the tokenizer makes of them."""

import pytest
import torch
from transformers import AutoTokenizer

from xautolm.evaluate.formulations.tokens import TagCrossEntropy, unread_tag
from xautolm.evaluate.formulations.windows import IGNORED, NOTHING
from xautolm.evaluate.formulations.words import cut_words
from xautolm.evaluate.job_folder import DivergedError

#: Tokenizers by what they do with spaces: WordPiece, byte-level with and without a leading space, SentencePiece, and
#: one that spells unknown characters in bytes.
KINDS = ("bert", "gpt2", "roberta", "modernbert", "t5", "gemma3_text")
ODD = [
    ["the", "film", "was", "good"],
    ["😀", "café", "cafe\u0301s", "中文", "👩\u200d🔬!", "İstanbul", "x\r\ny", "New York"],
    ["(", "U.S.", ")", "'s", "-", "1,000"],
    ["the"],
]


@pytest.fixture
def tokenizer_of(tiny_model):
    return lambda name: AutoTokenizer.from_pretrained(tiny_model(name))


def read_at(windows, row):
    """(word, window, token, tokens of the window) wherever a word of a row is read."""
    return [
        (int(word), int(window), token, len(windows.marks_of(window)))
        for window in windows.of_rows([row])
        for token, (word,) in enumerate(windows.marks_of(window))
        if word != NOTHING
    ]


@pytest.mark.parametrize("max_length", [12, 64])
@pytest.mark.parametrize("name", KINDS)
def test_every_word_is_read_once_at_its_first_token(tokenizer_of, name, max_length):
    tokenizer = tokenizer_of(name)
    windows = cut_words(tokenizer, {"words": ODD}, max_length)

    for row, words in enumerate(ODD):
        text = " ".join(words)
        whole = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        found = read_at(windows, row)
        assert [word for word, *_ in sorted(found)] == list(range(len(words)))
        for word, window, token, _ in found:
            start = len(" ".join(words[:word])) + (word > 0)
            spans = [
                (i, span)
                for i, span in zip(whole["input_ids"], whole["offset_mapping"], strict=True)
                if span[0] <= start < span[1]
            ]
            covering = [i for i, span in spans if text[span[0] : span[1]].strip()]
            assert windows.tokens.row(window)[0][token] == covering[0], (words[word], covering)
    assert max(windows.tokens.lengths()) <= max_length


def test_a_word_is_read_where_it_has_most_around_it(tokenizer_of):
    words = ["the", "film", "was", "good"] * 10
    windows = cut_words(tokenizer_of("bert"), {"words": [words]}, 16)

    assert len(windows.rows) > 3
    found = read_at(windows, 0)
    for word, window, token, length in found:
        is_at_an_end_of_the_row = word < 4 or word >= len(words) - 4
        assert is_at_an_end_of_the_row or min(token, length - 1 - token) >= 2, (word, window, token)


def test_words_that_leave_no_token_are_not_read(tokenizer_of):
    windows = cut_words(tokenizer_of("bert"), {"words": [["good", "", "\u200b", " ", "bad"], []]}, 16)

    assert [word for word, *_ in read_at(windows, 0)] == [0, 4]
    assert read_at(windows, 1) == []
    assert unread_tag(["B-X", "O"]) == 1
    assert unread_tag(["NOUN", "VERB"]) == 0


def test_a_row_without_tokens_still_has_a_window(tokenizer_of):
    windows = cut_words(tokenizer_of("gpt2"), {"words": [[], ["good"]]}, 16)

    assert windows.tokens.lengths().tolist() == [1, 1]
    assert windows.rows.tolist() == [0, 1]


def test_the_first_word_is_tokenised_as_at_the_start_of_a_text(tokenizer_of):
    tokenizer = tokenizer_of("modernbert")
    windows = cut_words(tokenizer, {"words": [["the", "film", "the"]]}, 64)

    assert windows.tokens.row(0)[0] == tokenizer("the film the")["input_ids"]


def test_losses_of_parts_of_a_batch_add_up_to_that_of_the_batch():
    torch.manual_seed(0)
    logits, tags = torch.randn(4, 5, 3), torch.randint(0, 3, (4, 5))
    tags[0, 2:] = tags[3] = IGNORED
    for weights in (None, torch.tensor([1.0, 2.0, 5.0])):
        loss = TagCrossEntropy(weights)
        whole = loss({"logits": logits}, tags)
        kept = tags != IGNORED
        assert whole == pytest.approx(float(torch.nn.functional.cross_entropy(logits[kept], tags[kept], weights)))
        parts = [loss({"logits": logits[p]}, tags[p], loss.weight_of(tags)) for p in (slice(0, 1), slice(1, 4))]
        assert torch.stack(parts).sum() == pytest.approx(float(whole))
        assert loss({"logits": logits[3:]}, tags[3:]) == 0.0  # a batch without words
        with pytest.raises(DivergedError):
            loss({"logits": logits * float("nan")}, tags)
