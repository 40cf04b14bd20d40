"""Scores of tagged words: whole entities, as conlleval and the `seqeval` package count them, and single words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

OUTSIDE = "O"
#: A tag of one of the usual schemes: where the word stands in its entity, and what the entity is.
_TAG = re.compile(r"([BIMELSUW])(?:-(.*))?", re.DOTALL)
#: Letters that other schemes (BILOU, BMEWO) have for the places of IOBES.
_PLACES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}

#: Place in its entity (B, I, E, S or O) and type of a word.
Place = tuple[str, str]
#: Type, first and last word.
Entity = tuple[str, int, int]


def tagging_scores(
    truth: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], names: Sequence[str]
) -> dict[str, float]:
    """F1, precision and recall of entities with their exact words and type over all rows, and accuracy per word.

    Args:
        truth: tag indices of the words of each row.
        predicted: tag indices of the words of each row.
        names: tags of the task.

    Returns:
        `f1`, `precision`, `recall` (0 where nothing is found or nothing is there) and `accuracy`.

    >>> names = ["B-PER", "I-PER", "O"]
    >>> tagging_scores([[0, 1, 2, 0]], [[0, 1, 2, 2]], names)
    {'f1': 0.6666666666666666, 'precision': 1.0, 'recall': 0.5, 'accuracy': 0.75}
    """
    places = tag_places(names)
    n_right = n_found = n_wanted = n_words = n_words_right = 0
    for row, given in zip(truth, predicted, strict=True):
        n_words += len(row)
        n_words_right += sum(a == b for a, b in zip(row, given, strict=True))
        wanted = set(entities([places[tag] for tag in row]))
        found = set(entities([places[tag] for tag in given]))
        n_wanted, n_found, n_right = n_wanted + len(wanted), n_found + len(found), n_right + len(wanted & found)
    return {
        "f1": 2 * n_right / max(n_found + n_wanted, 1),
        "precision": n_right / max(n_found, 1),
        "recall": n_right / max(n_wanted, 1),
        "accuracy": n_words_right / max(n_words, 1),
    }


def tag_places(names: Sequence[str]) -> list[Place]:
    """What each tag says of a word.

    Tags of no scheme name types: with an `O` among them, neighbours of one type are one entity; without, as in parts of
    speech, every word is an entity, and F1, precision and recall are the accuracy.

    >>> tag_places(["B-PER", "L-PER", "O"])
    [('B', 'PER'), ('E', 'PER'), ('O', '')]
    >>> tag_places(["LOC", "O"]), tag_places(["NOUN", "I"])
    ([('I', 'LOC'), ('O', '')], [('S', 'NOUN'), ('S', 'I')])
    """
    parsed = [_TAG.fullmatch(name) for name in names if name != OUTSIDE]
    n_typed = sum(match is not None and match[2] is not None for match in parsed)
    is_scheme = 2 * n_typed > len(parsed) or (OUTSIDE in names and all(parsed))
    return [_place(name, is_scheme, OUTSIDE in names) for name in names]


def _place(name: str, is_scheme: bool, has_outside: bool) -> Place:
    match = _TAG.fullmatch(name) if is_scheme else None
    if name == OUTSIDE:
        return OUTSIDE, ""
    if match is not None:
        return _PLACES[match[1]], match[2] or ""
    return "I" if has_outside else "S", name


def entities(places: Sequence[Place]) -> Iterator[Entity]:
    """The entities of a row, read as leniently as conlleval reads them: an entity may start with any place.

    A word goes on with the entity of the word before it when that one begins it or is inside, this one is inside or
    ends it, and both have one type. Source: conlleval's rules, which `seqeval` has without a `mode`.

    >>> list(entities([("I", "PER"), ("E", "PER"), ("E", "PER"), ("O", ""), ("B", "LOC")]))
    [('PER', 0, 1), ('PER', 2, 2), ('LOC', 4, 4)]
    """
    start = 0
    previous: Place = (OUTSIDE, "")
    for i, current in enumerate([*places, (OUTSIDE, "")]):
        goes_on = previous[0] in "BI" and current[0] in "IE" and previous[1] == current[1]
        if not goes_on:
            if previous[0] != OUTSIDE:
                yield previous[1], start, i - 1
            start = i
        previous = current
