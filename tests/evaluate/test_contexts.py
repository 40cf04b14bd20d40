"""Contexts are cut into windows that hold every answer, and answers are read off exactly as they stand."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from xautolm.evaluate.formulations.contexts import (
    ENDS,
    NO_ANSWER,
    STARTS,
    Guess,
    answer_text,
    best_span,
    cut_contexts,
    span_labels,
)
from xautolm.evaluate.formulations.spans import SpanLoss
from xautolm.evaluate.formulations.windows import IGNORED, NOTHING
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.spotting import AnswerForm

ENCODERS = ("bert", "roberta", "deberta-v2", "modernbert", "albert")
ODD = [
    ("the 😀 film\r\nwas  good", "😀"),
    ("the 😀😀 film\r\nwas  good", "film\r\nwas"),
    ("a cafe\u0301 today", "cafe\u0301"),
    ("音楽は北京で。", "北京"),
    ("  very 'good'; bad", "'good'"),
    ("x\u00a0y 1,000.5 z", "1,000.5"),
    ("good", "good"),
]
FORM = AnswerForm(may_be_missing=False, max_tokens=30)


@pytest.fixture
def tokenizer_of(tiny_model):
    return lambda name: AutoTokenizer.from_pretrained(tiny_model(name))


def logits_for(labels):
    """Those of a model that is sure of the labels of a window."""
    flags = np.stack([labels & STARTS, labels & ENDS], axis=1)
    return np.where((labels[:, None] != IGNORED) & (flags > 0), 9.0, -9.0).astype(np.float32)


@pytest.mark.parametrize("max_length", [24, 64])
@pytest.mark.parametrize("name", ENCODERS)
def test_answers_come_back_exactly(tokenizer_of, name, max_length):
    rows = {"texts": ["was?"] * len(ODD), "pairs": [context for context, _ in ODD]}
    windows = cut_contexts(tokenizer_of(name), rows, max_length)

    for row, (context, answer) in enumerate(ODD):
        start = context.index(answer)
        labels = [span_labels(windows.marks_of(i), [(start, start + len(answer))]) for i in windows.of_rows([row])]
        guesses = [
            best_span(windows.marks_of(i), logits_for(own), 30)
            for i, own in zip(windows.of_rows([row]), labels, strict=True)
        ]
        text = answer_text(context, guesses, FORM)
        if answer == "北京" and name in ("deberta-v2", "albert"):  # one unknown token with its neighbours
            assert answer in text
        else:
            assert text == answer


def test_a_window_is_a_question_and_a_part_of_the_context(tokenizer_of):
    tokenizer = tokenizer_of("bert")
    context = "the film was good today " * 12
    windows = cut_contexts(tokenizer, {"texts": ["good film"], "pairs": [context]}, 24)

    seen = set()
    for window in range(len(windows.rows)):
        ids, types = windows.tokens.row(window)
        marks = windows.marks_of(window)
        assert tokenizer.decode(ids).startswith("[CLS] good film [SEP] ")
        assert len(ids) <= 24
        assert types == [0] * 4 + [1] * (len(ids) - 4)
        assert (marks[[0, 1, 2, 3, -1]] == NOTHING).all()
        seen |= {tuple(mark) for mark in marks.tolist() if mark[0] != NOTHING}
    assert sorted(seen) == [match for match in sorted(seen) if context[match[0] : match[1]].isalpha()]
    assert len(seen) == 60


def test_every_short_answer_is_whole_in_some_window(tokenizer_of):
    words = ["the", "film", "was", "good", "today"] * 12
    context = " ".join(words)
    windows = cut_contexts(tokenizer_of("bert"), {"texts": ["good"], "pairs": [context]}, 24)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])

    for first in range(len(words) - 4):
        span = (int(starts[first]), int(starts[first + 4]) - 1)
        labels = [span_labels(windows.marks_of(i), [span]) for i in range(len(windows.rows))]
        assert any(own[NO_ANSWER] == 0 for own in labels), first


def test_a_window_that_cuts_the_answer_holds_none():
    marks = np.array([[-1, -1], [-1, -1], [4, 7], [8, 12], [-1, -1]], dtype=np.int32)

    assert span_labels(marks, [(4, 12)]).tolist() == [0, IGNORED, STARTS, ENDS, IGNORED]
    assert span_labels(marks, [(5, 6)]).tolist() == [0, IGNORED, STARTS | ENDS, 0, IGNORED]
    assert span_labels(marks, [(8, 12), (4, 7)]).tolist() == [0, IGNORED, 3, 3, IGNORED]
    for outside in ([(0, 7)], [(8, 20)], [(20, 22)], []):
        assert span_labels(marks, outside).tolist() == [STARTS | ENDS, IGNORED, 0, 0, IGNORED]


@pytest.mark.parametrize("name", ENCODERS)
def test_questions_and_contexts_of_any_length_are_cut(tokenizer_of, name):
    rows = {"texts": ["", "good " * 200, "was?", "", "😀" * 50], "pairs": ["", "film", "", "bad " * 50, "bad " * 50]}
    windows = cut_contexts(tokenizer_of(name), rows, 24)

    assert sorted(set(windows.rows.tolist())) == [0, 1, 2, 3, 4]
    assert max(windows.tokens.lengths()) <= 24
    assert len(windows.of_rows([1])) == 1
    n_context = [int((windows.marks_of(i)[:, 0] != NOTHING).sum()) for i in windows.of_rows([4])]
    assert min(n_context[:-1]) >= 6  # a quarter of the window
    nothing = best_span(windows.marks_of(0), np.zeros((int(windows.tokens.lengths()[0]), 2), np.float32), 30)
    assert answer_text("", [nothing], FORM) == ""


def test_the_best_span_is_the_best_of_all(tokenizer_of):
    rng = np.random.default_rng(0)
    marks = np.full((12, 2), NOTHING, dtype=np.int32)
    context = [3, 4, 5, 7, 8, 9, 10]  # one token of the context stands for nothing
    marks[context] = [(10 * i, 10 * i + 5) for i in context]
    for most in (1, 3, 30):
        logits = rng.standard_normal((12, 2)).astype(np.float32)
        allowed = np.array([0, *context])
        scores = logits[allowed] - np.log(np.exp(logits[allowed]).sum(axis=0))
        pairs = [(i, j) for i in range(1, 8) for j in range(i, min(i + most, 8))]
        best = max(pairs, key=lambda pair: scores[pair[0], 0] + scores[pair[1], 1])
        guess = best_span(marks, logits, most)

        assert guess.span == (10 * allowed[best[0]], 10 * allowed[best[1]] + 5)
        assert guess.score == pytest.approx(scores[best[0], 0] + scores[best[1], 1], rel=1e-5)
        assert guess.no_answer == pytest.approx(scores[0].sum(), rel=1e-5)


def test_the_surest_window_answers_unless_all_are_surer_of_none():
    guesses = [Guess((0, 3), -5.0, -0.1), Guess((4, 7), -1.0, -2.0)]
    may_miss = AnswerForm(may_be_missing=True, max_tokens=30)

    assert answer_text("one two", guesses, FORM) == "two"
    assert answer_text("one two", guesses, may_miss) == "two"
    unsure = [guesses[0], Guess((4, 7), -3.0, -2.0)]
    assert answer_text("one two", unsure, may_miss) == ""
    assert answer_text("one two", unsure, FORM) == "two"


def test_the_loss_takes_places_together_and_no_notice_of_padding():
    torch.manual_seed(0)
    labels = torch.tensor([[0, IGNORED, 3, 0, 1, 2, 0], [3, IGNORED, 0, 0, 0, 0, IGNORED]])
    outputs = {"start_logits": torch.randn(2, 7), "end_logits": torch.randn(2, 7)}
    loss = SpanLoss()
    whole = float(loss(outputs, labels))

    parts = []
    for name, places in (("start_logits", [[2, 4], [0]]), ("end_logits", [[2, 5], [0]])):
        for row, right in enumerate(places):
            possible = labels[row] != IGNORED
            shares = torch.where(possible, outputs[name][row].exp(), 0.0)
            parts.append(-torch.log(shares[right].sum() / shares.sum()))
    assert whole == pytest.approx(float(torch.stack(parts).mean()))

    padded = {name: torch.cat([values, torch.randn(2, 5)], dim=1) for name, values in outputs.items()}
    more = torch.cat([labels, torch.full((2, 5), IGNORED)], dim=1)
    assert float(loss(padded, more)) == pytest.approx(whole)
    halves = [
        loss({k: v[i : i + 1] for k, v in outputs.items()}, labels[i : i + 1], loss.weight_of(labels)) for i in (0, 1)
    ]
    assert float(sum(halves)) == pytest.approx(whole)
    with pytest.raises(DivergedError):
        loss({name: values * float("nan") for name, values in outputs.items()}, labels)
