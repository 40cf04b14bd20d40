"""The accepted answers of a question, in the forms of SQuAD and DROP; positions are checked against the context."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from xautolm.data.rows import encodable
from xautolm.errors import DataError
from xautolm.records import Answer

#: Keys of an answer object: SQuAD has `text` and `answer_start`, DROP on the hub `spans`.
_TEXT_KEYS, _START_KEY = ("text", "spans"), "answer_start"
_DEEPEST = 3
_MISPLACED = -2  # a position that no answer has
_NO_SPAN = (None, -1)  # how data say that an answer is no span of the context
#: An object or a list written as text: what a csv file makes of SQuAD's answers.
_STRUCTURED = re.compile(r"""\s*(\{\s*['"](text|spans|answer_start)['"]|\[\s*(['"{\]]|\d+\s*\]))""")


def answers_of(value: object, context: str, where: str, flag: str) -> tuple[tuple[Answer, ...], int]:
    """Take the accepted answers out of one cell, for users: as `read_answers`, with messages.

    Args:
        value: the cell.
        context: the text that positions refer to.
        where: data and column as named to the user.
        flag: option that names the column.

    Raises:
        DataError: the cell has another form, or holds SQuAD's form written as text.
    """
    forms = 'a string, a list of strings or `{"text": [...], "answer_start": [...]}`'
    if isinstance(value, str) and _STRUCTURED.match(value):
        raise DataError(
            f"{where} holds lists or objects written as text ({value[:60]!r}); expected {forms}. A csv or tsv file "
            "can hold one plain answer per row: save the data as `.jsonl` or `.parquet`"
        )
    try:
        return read_answers(value, context)
    except TypeError as error:
        raise DataError(f"{where} holds {error}, expected {forms}; name another column with `{flag}`") from None


def read_answers(value: object, context: str) -> tuple[tuple[Answer, ...], int]:
    """Take the accepted answers out of one cell.

    Args:
        value: a string or number, `{"text": [...], "answer_start": [...]}`, a list of strings or of such objects, or
            nothing (unanswerable).
        context: the text that positions refer to.

    Returns:
        The answers that are not blank, each once, in order; and how many stated a position at which the context has
        something else: those are kept without it.

    Raises:
        TypeError: the cell has another form; the message names it.

    >>> read_answers({"text": ["sat", "cat"], "answer_start": [8, 4]}, "The cat ran")
    ((Answer(text='sat', start=None), Answer(text='cat', start=4)), 1)
    >>> read_answers(["12", " ", "twelve", "12"], "")
    ((Answer(text='12', start=None), Answer(text='twelve', start=None)), 0)
    >>> read_answers({"text": [], "answer_start": []}, "The cat ran")
    ((), 0)
    """
    answers: dict[Answer, None] = {}
    n_misplaced = 0
    for text, start in _spans(value, depth=0):
        found = encodable(text)
        if not found.strip():
            continue
        is_there = start is not None and start >= 0 and context.startswith(found, start)
        n_misplaced += start not in _NO_SPAN and not is_there
        answers[Answer(found, start if is_there else None)] = None
    return tuple(answers), n_misplaced


def _spans(value: object, depth: int) -> Iterator[tuple[str, int | None]]:
    """Text and stated position of each answer in a cell."""
    if isinstance(value, Mapping) and any(key in value for key in _TEXT_KEYS):
        texts = _listed(next(value[key] for key in _TEXT_KEYS if key in value))
        starts = _listed(value.get(_START_KEY)) or [None] * len(texts)
        if len(starts) != len(texts):
            starts = [_MISPLACED] * len(texts)
        for text, start in zip(texts, starts, strict=True):
            yield _text(text), _position(start)
    elif isinstance(value, list | tuple | np.ndarray) and depth < _DEEPEST:
        for item in value:
            yield from _spans(item, depth + 1)
    else:
        yield _text(value), None


def _text(value: object) -> str:
    """An answer as text, blank when there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return "" if math.isnan(value) else str(value)
    if value is None or value is pd.NA:
        return ""
    raise TypeError(f"{type(value).__name__} values")


def _listed(value: object) -> Sequence[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value]


def _position(start: object) -> int | None:
    if start is None:
        return None
    is_whole = isinstance(start, int | float | np.number) and not isinstance(start, bool) and float(start) % 1 == 0
    return int(start) if is_whole else _MISPLACED  # type: ignore[call-overload]  # a number, as just checked
