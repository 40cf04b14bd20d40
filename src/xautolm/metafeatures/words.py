"""What words a data set is made of: vocabulary, its growth, scripts, repeats. Linear in the text."""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

SEED = 42
#: Words over which the type-token ratio is taken: it falls with the number of words, so that must be fixed.
RATIO_WORDS = 10_000
#: Rows whose characters are counted at once.
_CHUNK_ROWS = 2_000

_WORD = re.compile(r"\w+")


def word_features(texts: Sequence[str]) -> dict[str, float]:
    """Vocabulary, its growth, and the type-token ratio, words being runs of letters and digits, case folded.

    Args:
        texts: one document per row.

    Returns:
        `mean_words` per row; `vocabulary_size`; `vocabulary_growth`, the exponent b of Heaps' law V(n) = k n^b between
        half of the words and all of them in a seeded order of the rows (1 = every word is new, 0 = none);
        `type_token_ratio` of the first 10,000 words in that order. All 0 without words.

    >>> word_features(["a b", "a b"])["vocabulary_growth"], word_features(["a b", "c d"])["vocabulary_growth"]
    (0.0, 1.0)
    """
    order = list(range(len(texts)))
    random.Random(SEED).shuffle(order)
    vocabulary: set[str] = set()
    grown: list[tuple[int, int]] = [(0, 0)]
    first: set[str] = set()
    n_words = n_first = 0
    for row in order:
        words = _WORD.findall(texts[row].casefold())
        n_words += len(words)
        vocabulary.update(words)
        if n_first < RATIO_WORDS:
            taken = words[: RATIO_WORDS - n_first]
            first.update(taken)
            n_first += len(taken)
        grown.append((n_words, len(vocabulary)))
    return {
        "mean_words": n_words / len(texts) if texts else 0.0,
        "vocabulary_size": float(len(vocabulary)),
        "vocabulary_growth": _growth(grown),
        "type_token_ratio": len(first) / n_first if n_first else 0.0,
    }


def _growth(grown: Sequence[tuple[int, int]]) -> float:
    """Exponent of Heaps' law between the row that holds the middle word and the end."""
    n_words, n_types = grown[-1]
    half = next((point for point in grown if point[0] >= n_words / 2), grown[-1])
    if half[0] in (0, n_words):
        return 1.0 if n_words and n_types == n_words else 0.0
    return min(math.log(n_types / half[1]) / math.log(n_words / half[0]), 1.0)


def character_features(texts: Iterable[str]) -> dict[str, float]:
    """Shares of letters that are not Latin, and of digits and punctuation among all characters; 0 without any.

    >>> character_features(["ab12", "Ж!"])["non_latin_share"]
    0.3333333333333333
    """
    counts: Counter[str] = Counter()
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK_ROWS:
            counts.update("".join(chunk))
            chunk.clear()
    counts.update("".join(chunk))
    kinds: Counter[str] = Counter()
    for character, n in counts.items():
        kinds[_kind(character)] += n
    n_all, n_letters = sum(counts.values()), kinds["latin"] + kinds["letter"]
    return {
        "non_latin_share": kinds["letter"] / n_letters if n_letters else 0.0,
        "digit_share": kinds["digit"] / n_all if n_all else 0.0,
        "punctuation_share": kinds["punctuation"] / n_all if n_all else 0.0,
    }


@lru_cache(maxsize=100_000)
def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("L"):
        return "latin" if unicodedata.name(character, "").startswith("LATIN") else "letter"
    if category.startswith("N"):
        return "digit"
    return "punctuation" if category.startswith("P") else "other"


def duplicate_share(texts: Sequence[str]) -> float:
    """Share of the rows whose text stood in an earlier row, case and white space apart.

    >>> round(duplicate_share(["Good  phone", "good phone", "bad"]), 4)
    0.3333
    """
    if not texts:
        return 0.0
    # Hashes, not texts: a set of long documents would double the memory of the data.
    return 1.0 - len({hash(" ".join(text.casefold().split())) for text in texts}) / len(texts)


def pair_features(first: Sequence[str], second: Sequence[str] | None) -> dict[str, float]:
    """How alike the two texts of a row are: mean Jaccard index of their words, mean ratio of their lengths.

    Args:
        first: first text of each row.
        second: second text of each row; None for tasks of single texts.

    Returns:
        `is_pair`, `pair_overlap` in [0, 1], `pair_length_ratio` (shorter over longer, in characters) in [0, 1]; 0 for
        single texts.

    >>> pair_features(["a b c"], ["b c d"])
    {'is_pair': 1.0, 'pair_overlap': 0.5, 'pair_length_ratio': 1.0}
    """
    if second is None:
        return {"is_pair": 0.0, "pair_overlap": 0.0, "pair_length_ratio": 0.0}
    ratio = 0.0
    for a, b in zip(first, second, strict=True):
        longer = max(len(a), len(b))
        ratio += min(len(a), len(b)) / longer if longer else 1.0
    n_rows = max(len(first), 1)
    overlap = sum(word_overlaps(first, second)) / n_rows
    return {"is_pair": 1.0, "pair_overlap": overlap, "pair_length_ratio": ratio / n_rows}


def word_overlaps(first: Sequence[str], second: Sequence[str]) -> list[float]:
    """Jaccard index of the words of the two texts of each row; 0 where neither has any."""
    overlaps = []
    for a, b in zip(first, second, strict=True):
        words_a, words_b = set(_WORD.findall(a.casefold())), set(_WORD.findall(b.casefold()))
        n_both = len(words_a | words_b)
        overlaps.append(len(words_a & words_b) / n_both if n_both else 0.0)
    return overlaps
