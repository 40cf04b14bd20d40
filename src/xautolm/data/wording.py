"""Phrases shared by the messages of the load stage: counts, lists of names and the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def count(n: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(4000, "row"), count(2, "class")
    ('1 row', '4,000 rows', '2 classes')
    """
    if n == 1:
        return f"{n} {noun}"
    return f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def listing(items: Iterable[str], *, at_most: int = 8) -> str:
    """Join items for a sentence, the rest as a count.

    >>> listing(["a", "b", "c"])
    'a, b, c'
    >>> listing("abcdef", at_most=2)
    'a, b and 4 more'
    """
    found = list(items)
    shown = ", ".join(found[:at_most])
    return shown if len(found) <= at_most else f"{shown} and {len(found) - at_most:,} more"


def names(items: Iterable[str]) -> str:
    """List identifiers in backticks.

    >>> names(["text", "label"])
    '`text`, `label`'
    """
    return listing(f"`{item}`" for item in items)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that `name` was probably meant to be, None when none is close.

    >>> nearest("Sentimant", ["text", "sentiment"])
    'sentiment'
    """
    folded = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None
