"""Schemes of tags (IOB1, IOB2, IOBES, BILOU): which one data have, and tags that break it written as it asks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from xautolm.data.wording import count, listing
from xautolm.errors import DataError
from xautolm.evaluate.metrics.entities import OUTSIDE, Place, entities, tag_places

_TYPED = re.compile(r"([BIMELSUW])-.+", re.DOTALL)
_BARE = frozenset("BIMELSUW")
#: Last and only word of an entity, by the letter that data have for either.
_ENDS, _SINGLES = {"E": "S", "L": "U"}, {"S": "E", "W": "E", "U": "L"}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How tags say where a word stands in its entity: one letter for each place.

    Attributes:
        name: as people call it.
        inside: letter of words in the middle.
        end: of the last word.
        single: of an only word.
    """

    name: str
    inside: str
    end: str
    single: str

    def written(self, tags: Sequence[str]) -> list[str]:
        """The tags of a row as the scheme writes the entities that conlleval reads in them.

        >>> IOB2.written(["I-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        ['B-PER', 'I-PER', 'O', 'B-LOC', 'B-LOC']
        """
        new = [OUTSIDE] * len(tags)
        for kind, first, last in entities([place_of(tag) for tag in tags]):
            for i in range(first, last + 1):
                letter = self.inside
                if first == last:
                    letter = self.single
                elif i in (first, last):
                    letter = "B" if i == first else self.end
                new[i] = f"{letter}-{kind}" if kind else letter
        return new


IOB2 = Scheme("IOB2", "I", "I", "B")


@lru_cache(maxsize=10_000)
def place_of(tag: str) -> Place:
    """Place and type that a tag says, in a scheme whatever else the data lack."""
    return tag_places([tag, "B-", OUTSIDE])[0]


def find_scheme(counts: Mapping[str, int], where: str) -> Scheme | None:
    """The scheme of a set of tags; None when they have none, or say only inside or outside.

    Args:
        counts: tag -> words.
        where: the target column and data as named to the user.

    Raises:
        DataError: some tags are of a scheme and others of none.

    >>> find_scheme({"O": 5, "B-PER": 1, "I-PER": 1}, "x").name, find_scheme({"O": 5, "U-PER": 1, "B-PER": 1}, "x").name
    ('IOB2', 'BILOU')
    >>> find_scheme({"NOUN": 3, "VERB": 2}, "x"), find_scheme({"O": 5, "I-PER": 1}, "x")
    (None, None)
    """
    tags = [tag for tag in counts if tag != OUTSIDE]
    typed = [tag for tag in tags if _TYPED.fullmatch(tag)]
    is_bare = OUTSIDE in counts and bool(tags) and set(tags) <= _BARE
    if not is_bare and 2 * len(typed) <= len(tags):
        return None
    others = [] if is_bare else [tag for tag in tags if tag not in typed]
    if others:
        found = listing(f"{tag!r} ({count(counts[tag], 'word')})" for tag in others)
        raise DataError(
            f"{where} mixes tags such as {typed[0]!r} with others: {found}; expected `O` or a tag like `B-PER` for "
            "every word. Correct these tags"
        )
    letters = Counter[str]()
    for tag in tags:
        letters[tag[0]] += counts[tag]
    return _scheme(letters)


def _scheme(letters: Counter[str]) -> Scheme | None:
    if set(letters) == {"I"}:
        return None
    inside = "M" if letters["M"] > letters["I"] else "I"
    end = max(_ENDS, key=lambda letter: letters[letter])
    single = max(_SINGLES, key=lambda letter: letters[letter])
    if not letters[end] and not letters[single]:
        return IOB2
    if not letters[end]:
        end = _SINGLES[single]
    if not letters[single]:
        single = _ENDS[end]
    return Scheme("BILOU" if end == "L" else "IOBES", inside, end, single)


def repaired(rows: Sequence[Sequence[str]], scheme: Scheme, where: str) -> tuple[list[list[str]], list[str]]:
    """Write the tags of every row as their scheme asks.

    Args:
        rows: tags of each row.
        scheme: theirs.
        where: the data as named to the user.

    Returns:
        The tags, and a sentence when some changed: entities that begin with `I-`, as in IOB1, or that a sentence breaks
        off. The entities that conlleval reads are the same before and after.
    """
    new = [scheme.written(row) for row in rows]
    n_changed = sum(a != b for row, old in zip(new, rows, strict=True) for a, b in zip(row, old, strict=True))
    n_words = sum(map(len, rows))
    changed = f"{count(n_changed, 'tag')} of {n_words:,} in `{where}`"
    return new, [f"{changed} written as {scheme.name} asks (the entities stay the same)"] if n_changed else []
