"""Contexts cut into windows behind their questions, and answers read off them. Worker side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xautolm.evaluate.formulations.windows import IGNORED, NOTHING, Window, Windows, stored
from xautolm.evaluate.spotting import AnswerForm, Span, whole_characters
from xautolm.space.windows import shared_tokens

_CHUNK = 500
#: Share of a window that a question leaves to the context, however long it is.
_CONTEXT_SHARE = 0.25
#: Labels of tokens are sums of these; a token where no answer can start or end is `IGNORED`.
POSSIBLE, STARTS, ENDS = 0, 1, 2
#: The first token, which is none of the context, stands for "no answer here" (Devlin et al. 2019, section 4.3).
NO_ANSWER = 0


def cut_contexts(tokenizer: Any, rows: Mapping[str, Any], max_length: int) -> Windows:
    """Windows of question and a part of the context; the marks of a token are its first character and the one after.

    Only tokens of the context have marks. A question is not cut unless it leaves less than a quarter of a window.

    Args:
        tokenizer: a fast one.
        rows: questions (`texts`) and contexts (`pairs`).
        max_length: tokens per window.
    """
    tokenizer.truncation_side = "right"
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    least = max(int(_CONTEXT_SHARE * max_length), 1)
    windows: list[list[Window]] = [[] for _ in rows["texts"]]
    groups: dict[int, list[int]] = {}
    questions = []
    for row, (question, length) in enumerate(_cut_questions(tokenizer, rows["texts"], room - least)):
        questions.append(question)
        groups.setdefault(shared_tokens("contexts", room - length), []).append(row)
    for stride, members in groups.items():
        for start in range(0, len(members), _CHUNK):
            chunk = members[start : start + _CHUNK]
            pairs = [questions[row] for row in chunk], [rows["pairs"][row] for row in chunk]
            for row, window in _encode(tokenizer, pairs, max_length, stride):
                windows[chunk[row]].append(window)
    return stored(windows)


def _cut_questions(tokenizer: Any, questions: Sequence[str], most: int) -> list[tuple[str, int]]:
    """Questions and their tokens, the end of those with more than `most` tokens left out."""
    found = []
    for start in range(0, len(questions), _CHUNK):
        chunk = list(questions[start : start + _CHUNK])
        encoded = tokenizer(chunk, add_special_tokens=False, return_offsets_mapping=True)
        for question, ids, offsets in zip(chunk, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            kept, length = question, len(ids)
            while length > most:  # again, for what is left may be cut into other tokens
                kept = kept[: max(int(offsets[most - 1][1]), 1)] if length == len(ids) else kept[:-1]
                length = len(tokenizer(kept, add_special_tokens=False)["input_ids"])
            found.append((kept, length))
    return found


def _encode(
    tokenizer: Any, pairs: tuple[list[str], list[str]], max_length: int, stride: int
) -> list[tuple[int, Window]]:
    """Windows of some rows, each with its row."""
    encoded = tokenizer(
        *pairs,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    windows = []
    for i, row in enumerate(encoded["overflow_to_sample_mapping"]):
        marks = np.asarray(encoded["offset_mapping"][i], dtype=np.int32).reshape(-1, 2)
        is_context = np.array([part == 1 for part in encoded.sequence_ids(i)])
        marks[~is_context | (marks[:, 0] >= marks[:, 1])] = NOTHING
        windows.append((row, Window(encoded["input_ids"][i], encoded["token_type_ids"][i], marks)))
    return windows


def span_labels(marks: NDArray[np.int32], spans: Sequence[Span]) -> NDArray[np.int64]:
    """Labels of the tokens of a window: where an answer could start and end, and where it does.

    Args:
        marks: characters of each token, shape (n_tokens, 2).
        spans: where the answer stands, maybe several times, maybe outside of this window.

    Returns:
        Sums of `STARTS` and `ENDS`, or `IGNORED`, shape (n_tokens,); the first token is both when the window holds
        no whole answer.
    """
    labels = np.where(marks[:, 0] == NOTHING, IGNORED, POSSIBLE).astype(np.int64)
    labels[NO_ANSWER] = POSSIBLE
    context = np.flatnonzero(marks[:, 0] != NOTHING)
    for start, end in spans:
        covering = context[(marks[context, 1] > start) & (marks[context, 0] < end)]
        if not len(covering):
            continue
        first, last = covering[0], covering[-1]
        is_cut = (first == context[0] and marks[first, 0] > start) or (last == context[-1] and marks[last, 1] < end)
        if not is_cut:
            labels[first] |= STARTS
            labels[last] |= ENDS
    if not (labels > POSSIBLE).any():
        labels[NO_ANSWER] = STARTS | ENDS
    return labels


@dataclass(frozen=True, slots=True)
class Guess:
    """The best span of a window and how likely none is, both as sums of two log-probabilities."""

    span: Span
    score: float
    no_answer: float


def best_span(marks: NDArray[np.int32], logits: NDArray[np.float32], max_tokens: int) -> Guess:
    """The most likely span of a window among all of at most `max_tokens` tokens.

    Start and end have probabilities over the tokens of the context and the first token, as in training, so that windows
    can be compared: one without the answer leaves little to its spans.

    Args:
        marks: characters of each token, shape (n_tokens, 2).
        logits: for start and end, shape (n_tokens, 2).
        max_tokens: of the longest span.
    """
    context = np.flatnonzero(marks[:, 0] != NOTHING)
    allowed = np.concatenate([[NO_ANSWER], context[context != NO_ANSWER]])
    chosen = logits[allowed].astype(np.float64)
    shifted = chosen - chosen.max(axis=0)
    scores = shifted - np.log(np.exp(shifted).sum(axis=0))
    none = float(scores[0].sum())
    starts, ends = scores[1:, 0], scores[1:, 1]
    best = (-np.inf, 0, 0)
    for length in range(min(max_tokens, len(starts))):
        sums = starts[: len(starts) - length] + ends[length:]
        at = int(sums.argmax())
        best = max(best, (float(sums[at]), -length, at))
    score, length, at = best[0], -best[1], best[2]
    if score == -np.inf:  # an empty context
        return Guess((0, 0), score, none)
    tokens = allowed[1:]
    return Guess((int(marks[tokens[at], 0]), int(marks[tokens[at + length], 1])), score, none)


def answer_text(context: str, guesses: Sequence[Guess], form: AnswerForm) -> str:
    """The answer of a row: the most likely span of all its windows, or none.

    None when even the window that is least sure that it holds no answer is surer of that. Source: the null score of the
    official BERT script for SQuAD 2.0, with a threshold of 0: it would have to be tuned on the rows that are scored.

    Args:
        context: text.
        guesses: of the row's windows.
        form: of the task's answers; where none may be missing, there always is one.
    """
    best = max(guesses, key=lambda guess: guess.score)
    if form.may_be_missing and min(guess.no_answer for guess in guesses) > best.score:
        return ""
    start, end = whole_characters(context, *best.span)
    return context[start:end].strip()
