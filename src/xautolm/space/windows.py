"""Rows that are longer than a model reads: cut, or read whole in overlapping windows, and what these amount to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from xautolm.records import ModelSpec
from xautolm.space.workload import ReadIn, TaskSize

#: Task kind -> how rows are read that are longer than the model reads; others are cut.
READ_IN: Mapping[str, ReadIn] = {"token-classification": "words", "question-answering": "contexts"}
_MOST_SHARED = 128
#: Tokens that every window has again: special tokens, and a question (SQuAD's and DROP's have 14 tokens in the median).
_REPEATED: Mapping[ReadIn, int] = {"words": 2, "contexts": 17}


def shared_tokens(read_in: ReadIn, room: int) -> int:
    """Tokens that a window has in common with the one before it.

    Args:
        read_in: `words` or `contexts`.
        room: tokens per window without special tokens and question.

    >>> shared_tokens("words", 64), shared_tokens("contexts", 40), shared_tokens("contexts", 490)
    (16, 20, 128)
    """
    return room // 4 if read_in == "words" else min(_MOST_SHARED, room // 2)


def as_read(size: TaskSize, model: ModelSpec, max_length: int) -> TaskSize:
    """The size of a task whose rows are the windows that a model reads.

    Args:
        size: of the task.
        model: that reads it; one that writes answers cuts contexts.
        max_length: tokens per window.
    """
    is_cut = size.read_in == "rows" or (size.read_in == "contexts" and model.family != "encoder")
    return size if is_cut else _in_windows(size, min(max_length, model.context))


@lru_cache(maxsize=1024)
def _in_windows(size: TaskSize, longest: int) -> TaskSize:
    """A task of windows.

    >>> short = TaskSize(100, 20, 2, (10,) * 100 + (90,), read_in="words")
    >>> long = _in_windows(short, 50)
    >>> long.n_train, long.token_quantiles[-4:]
    (102, (10, 18, 50, 50))
    """
    room = max(longest - _REPEATED[size.read_in], 1)
    step = max(room - shared_tokens(size.read_in, room), 1)
    lengths: list[int] = []
    for n in size.token_quantiles:
        n_more = math.ceil(max(n - longest, 0) / step)
        lengths += [min(n, longest)] if not n_more else [*[longest] * n_more, n - n_more * step]
    if len(lengths) == len(size.token_quantiles):
        return size
    share = len(lengths) / len(size.token_quantiles)
    lengths.sort()
    quantiles = tuple(lengths[round(q / 100 * (len(lengths) - 1))] for q in range(101))
    n_train, n_validation = round(share * size.n_train), round(share * size.n_validation)
    return replace(size, n_train=n_train, n_validation=n_validation, token_quantiles=quantiles)
