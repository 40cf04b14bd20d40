"""Where accepted answers stand in a context, and what answers of a task look like. No training stack."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: First character of an answer in its context and the one after its last.
Span = tuple[int, int]
#: An accepted answer in JSON: `text` and `start`.
AnswerFields = Mapping[str, object]

#: Tokens of the longest answer that is looked for, as in BERT's script for SQuAD, of whose answers 99.5 % are shorter.
_USUAL_TOKENS = 30
#: Tokens are seldom shorter on average.
_CHARS_PER_TOKEN = 3
_QUANTILE = 0.99
#: Scripts, besides the wide ones of East Asia, that put no spaces between words: Thai and Lao, Burmese, Khmer.
_UNSPACED = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))
_ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What the answers of a task look like to a model that looks for them.

    Attributes:
        may_be_missing: whether some questions have no answer, so that a model may give none.
        max_tokens: tokens of the longest answer that is looked for.
    """

    may_be_missing: bool
    max_tokens: int


def answer_form(rows: Sequence[Sequence[AnswerFields]]) -> AnswerForm:
    """The form of the answers of training rows.

    Args:
        rows: accepted answers of each row, the main one first.

    >>> answer_form([[{"text": "cat"}], []])
    AnswerForm(may_be_missing=True, max_tokens=30)
    >>> answer_form([[{"text": "a" * 300}]]).max_tokens
    100
    """
    lengths = sorted(len(str(answers[0]["text"])) for answers in rows if answers)
    long = lengths[math.ceil(_QUANTILE * len(lengths)) - 1] if lengths else 0
    return AnswerForm(
        may_be_missing=any(not answers for answers in rows),
        max_tokens=max(_USUAL_TOKENS, math.ceil(long / _CHARS_PER_TOKEN)),
    )


def find_answer(context: str, answers: Sequence[AnswerFields]) -> list[Span]:
    """Where the first accepted answer that can be found stands in its context.

    An answer with a position stands there. Another is looked for as a whole, in its own case and then in any, and may
    stand at several places, of which nobody said which is meant.

    Args:
        context: text.
        answers: accepted answers, the main one first.

    Returns:
        Spans without white space at their ends; none when no answer is there, as with sums and counts.

    >>> find_answer("A cat and a Cat", [{"text": "cat ", "start": 2}])
    [(2, 5)]
    >>> find_answer("A cat, a cats and a Cat: cat.", [{"text": "dog", "start": None}, {"text": "cat", "start": None}])
    [(2, 5), (25, 28)]
    >>> find_answer("12 and 2.5 of 2", [{"text": "2", "start": None}])
    [(14, 15)]
    """
    for answer in answers:
        text = str(answer["text"])
        start = answer.get("start")
        if isinstance(start, int):
            first = start + len(text) - len(text.lstrip())
            return [(first, start + len(text.rstrip()))]
        found = _occurrences(context, text.strip())
        if found:
            return found
    return []


def _occurrences(context: str, text: str) -> list[Span]:
    """Places of a text that are no part of a longer word or number."""
    for flags in (0, re.IGNORECASE):
        spans = [match.span() for match in re.finditer(re.escape(text), context, flags)] if text else []
        whole = [(start, end) for start, end in spans if _is_whole(context, start, end)]
        if whole:
            return whole
    return []


def whole_characters(context: str, start: int, end: int) -> Span:
    """A span and what is missing of its first and last character as users see them: accents, parts of joined emoji.

    Tokenizers that drop accents leave them out of what a token covers.

    >>> whole_characters("a cafe\u0301", 2, 6)
    (2, 7)
    """
    while 0 < start < end and _is_joined(context, start):
        start -= 1
    while start < end < len(context) and _is_joined(context, end):
        end += 1
    return start, end


def _is_joined(context: str, place: int) -> bool:
    """Whether the character at a place belongs to the one before it."""
    before, after = context[place - 1], context[place]
    is_mark = unicodedata.category(after) in ("Mn", "Mc", "Me") or after == _ZERO_WIDTH_JOINER
    return is_mark or before == _ZERO_WIDTH_JOINER


def _is_whole(context: str, start: int, end: int) -> bool:
    if whole_characters(context, start, end) != (start, end):
        return False
    return not (_is_inside(context, start) or _is_inside(context, end))


def _is_inside(context: str, place: int) -> bool:
    """Whether a place between two characters is inside a word or a number."""
    before, after = context[:place][-1:], context[place : place + 1]
    if _is_of_word(before) and _is_of_word(after):
        return True
    left, right = context[:place][-2:], context[place : place + 2]
    after_point = re.fullmatch(r"\d[.,]", left) and after.isdigit()
    before_point = before.isdigit() and re.fullmatch(r"[.,]\d", right)
    return bool(after_point or before_point)


def _is_of_word(char: str) -> bool:
    """Whether a character is of a word that spaces set off: not so in Chinese, Japanese, Thai and their like."""
    if not char.isalnum() or unicodedata.east_asian_width(char) in "WF":
        return False
    return not any(first <= char <= last for first, last in _UNSPACED)
