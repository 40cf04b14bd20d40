"""Words of a row and the tokens that they are read at. Worker side."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xautolm.evaluate.formulations.windows import NOTHING, Window, Windows, stored
from xautolm.space.windows import shared_tokens

_CHUNK = 1000
#: A place where a word can be read: tokens to the nearer end of the window, window, token.
_Place = tuple[int, int, int]


def cut_words(tokenizer: Any, rows: Mapping[str, Any], max_length: int) -> Windows:
    """Windows of rows of words; the one mark of a token is the word that is read at it.

    The words are tokenised as a text, joined by spaces, as the tokenizer's model was trained and as it will be used: so
    byte-level tokenizers need no option that puts a space before the first word. A word is read at its first token
    (Devlin et al. 2019, section 5.3), once: in the window where this token has most context. Of a word without tokens
    (white space, characters that the tokenizer drops) nothing is read.

    Args:
        tokenizer: a fast one.
        rows: `words` of each row.
        max_length: tokens per window.
    """
    windows = []
    words = rows["words"]
    for start in range(0, len(words), _CHUNK):
        windows += _cut(tokenizer, words[start : start + _CHUNK], max_length)
    return stored(windows)


def _cut(tokenizer: Any, rows: Sequence[Sequence[str]], max_length: int) -> list[list[Window]]:
    texts = [" ".join(words) for words in rows]
    tokenizer.truncation_side = "right"
    encoded = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        stride=shared_tokens("words", max_length - tokenizer.num_special_tokens_to_add(pair=False)),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    indices: list[list[int]] = [[] for _ in rows]
    for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
        indices[row].append(window)
    return [_row(tokenizer, encoded, own, text, words) for own, text, words in zip(indices, texts, rows, strict=True)]


def _row(tokenizer: Any, encoded: Any, own: Sequence[int], text: str, words: Sequence[str]) -> list[Window]:
    offsets = [_text_offsets(encoded, window) for window in own]
    places = _places(offsets, text, words)
    windows = []
    for i, window in enumerate(own):
        ids, types = encoded["input_ids"][window], encoded["token_type_ids"][window]
        if not ids:  # decoders' tokenizers make no token of an empty text
            ids, types = [tokenizer.pad_token_id or tokenizer.eos_token_id or 0], [0]
        marks = np.full((len(ids), 1), NOTHING, dtype=np.int32)
        for word, (_, at, token) in places.items():
            if at == i:
                marks[token] = word
        windows.append(Window(ids, types, marks))
    return windows


def _text_offsets(encoded: Any, window: int) -> list[tuple[int, int] | None]:
    """First and last character of each token of a window; None for special tokens."""
    parts = encoded.sequence_ids(window)
    return [
        None if part is None else (int(start), int(end))
        for part, (start, end) in zip(parts, encoded["offset_mapping"][window], strict=True)
    ]


def _places(windows: Sequence[Sequence[tuple[int, int] | None]], text: str, words: Sequence[str]) -> dict[int, _Place]:
    """Where each word is read: at its first token, in the window that has most around it."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    firsts: dict[int, tuple[int, list[_Place]]] = {}
    for i, offsets in enumerate(windows):
        seen: set[int] = set()
        for token, span in enumerate(offsets):
            found = _word_of(span, text, starts)
            if found is None or found[0] in seen:
                continue
            number, char = found
            seen.add(number)
            place = (min(token, len(offsets) - 1 - token), -i, token)
            known = firsts.get(number)
            if known is None or char < known[0]:
                firsts[number] = (char, [place])
            elif char == known[0]:
                known[1].append(place)
    best = {number: max(places) for number, (_, places) in firsts.items()}
    return {number: (room, -window, token) for number, (room, window, token) in best.items()}


def _word_of(span: tuple[int, int] | None, text: str, starts: Sequence[int]) -> tuple[int, int] | None:
    """The word of a token and the first character of the token that is no white space; None when it has no such."""
    if span is None:
        return None
    covered = text[span[0] : span[1]]
    char = span[0] + len(covered) - len(covered.lstrip())
    return None if char >= span[1] else (bisect_right(starts, char) - 1, char)
