"""Label types and the label set, and the targets that no classifier can be trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from xautolm.data.rows import is_number
from xautolm.data.wording import count, listing
from xautolm.errors import DataError
from xautolm.records import Label

#: More distinct values than this, or a larger share of the rows, and a target is not a set of classes.
LARGEST_SHARE_DISTINCT = 0.5
MOST_NUMBERS = 20

_INTEGER = re.compile(r"0|-?[1-9]\d*")


def infer_labels(values: Sequence[str]) -> list[Label]:
    """Give the labels of a csv or tsv file their type, judged on all values together.

    Args:
        values: labels as written.

    Returns:
        Integers when all are integers in their usual form (so `001` stays a string), booleans when all are
        `true` or `false` in any case, else the strings.

    >>> infer_labels(["1", "0"]), infer_labels(["True", "false"]), infer_labels(["001", "2"])
    ([1, 0], [True, False], ['001', '2'])
    """
    distinct = set(values)
    if all(_INTEGER.fullmatch(value) for value in distinct):
        return [int(value) for value in values]
    if {value.casefold() for value in distinct} <= {"true", "false"}:
        return [value.casefold() == "true" for value in values]
    return list(values)


def type_labels(
    raw: Mapping[str, Sequence[Any]], delimited: Collection[str], where: str
) -> tuple[dict[str, list[Label]], list[str]]:
    """Bring the labels of all splits to one type.

    Args:
        raw: role -> labels as read.
        delimited: the roles read from csv or tsv, whose labels are untyped strings.
        where: the target column and data as named to the user.

    Returns:
        Role -> labels (all bool, all int or all str), and sentences about conversions.

    Raises:
        DataError: labels of several types, or of a type that is no label.

    >>> type_labels({"train": ["0", "1"], "test": [1]}, {"train"}, "`label`")
    ({'train': [0, 1], 'test': [1]}, [])
    """
    texts = [value for role in raw if role in delimited for value in raw[role]]
    inferred = iter(infer_labels(texts))
    typed = {
        role: [next(inferred) for _ in values] if role in delimited else list(values) for role, values in raw.items()
    }
    types = Counter(type(value).__name__ for values in typed.values() for value in values)
    others = set(types) - {"bool", "int", "str", "float"}
    if others:
        raise DataError(f"{where} holds {listing(sorted(others))} values, expected integers, booleans or strings")
    notes: list[str] = []
    if "float" in types and set(types) <= {"int", "float"}:
        typed, note = _without_floats(typed, where)
        notes.append(note)
    elif len(types) > 1:
        found = listing(f"{name} ({n:,})" for name, n in types.most_common())
        raise DataError(f"{where} mixes types: {found}; expected one type, e.g. write all labels as strings")
    return typed, notes


def _without_floats(typed: Mapping[str, Sequence[Any]], where: str) -> tuple[dict[str, list[Label]], str]:
    if all(float(value).is_integer() for values in typed.values() for value in values):
        return {role: [int(v) for v in values] for role, values in typed.items()}, (
            f"{where} holds real numbers without fraction; they are used as integers"
        )
    return {role: [str(float(v)) for v in values] for role, values in typed.items()}, (
        f"{where} holds real numbers; each distinct number is used as a class and given back as a string"
    )


def label_set(labels: Sequence[Label], where: str) -> tuple[Label, ...]:
    """Take the classes from the training labels.

    Args:
        labels: labels of all rows that may become training rows, of one type.
        where: the target column and data as named to the user.

    Returns:
        The distinct labels, sorted.

    Raises:
        DataError: one class only, too many distinct values for classes, or classes with one row.
    """
    counts = Counter(labels)
    n_distinct, n_rows = len(counts), len(labels)
    if n_distinct < 2:
        only = f"only the class {next(iter(counts))!r}" if counts else "no class"
        raise DataError(
            f"{where} has {only} ({count(n_rows, 'row')}); expected at least two classes. Is it the right column?"
        )
    _check_distinct(counts, n_rows, where)
    single = sorted((label for label, n in counts.items() if n == 1), key=str)
    if single:
        found = listing(repr(label) for label in single)
        raise DataError(
            f"{where} has {'a class' if len(single) == 1 else f'{len(single):,} classes'} with one row: "
            f"{found}; expected at least two rows of each class (one to train on, one to measure). Add rows, "
            "merge classes or remove these rows"
        )
    return tuple(sorted(counts))


def is_spread(n_distinct: int, n_rows: int) -> bool:
    """Whether more than half of the rows have a value of their own."""
    return n_distinct > LARGEST_SHARE_DISTINCT * n_rows


def _check_distinct(counts: Counter[Label], n_rows: int, where: str) -> None:
    n_distinct = len(counts)
    is_many = is_spread(n_distinct, n_rows)
    numbers = [label for label in counts if isinstance(label, str) and is_number(label)]
    has_fraction = any("." in label or "e" in label.casefold() for label in numbers)
    few = listing((repr(label) for label in counts), at_most=3)
    if len(numbers) == n_distinct and has_fraction and (is_many or n_distinct > MOST_NUMBERS):
        raise DataError(
            f"{where} looks like a regression target: {n_distinct:,} distinct real numbers in "
            f"{count(n_rows, 'row')} ({few}); expected classes. Predict the numbers with `--task text-regression`, "
            "group them into classes, or name another column with `--target`"
        )
    if is_many and n_distinct > MOST_NUMBERS:
        other = "text-regression" if all(isinstance(label, int) for label in counts) else "text-generation"
        raise DataError(
            f"{where} looks like an id or text column: {n_distinct:,} distinct values in "
            f"{count(n_rows, 'row')} ({few}); expected a few classes. Name the label column with `--target`, or, if "
            f"these are what a model should give, say `--task {other}`"
        )


def check_known(labels: Sequence[Label], known: Sequence[Label], where: str) -> None:
    """Refuse validation or test labels that the training data do not have.

    Raises:
        DataError: naming the labels and how many rows have them.
    """
    unseen = Counter(label for label in labels if label not in set(known))
    if unseen:
        found = listing(f"{label!r} ({count(n, 'row')})" for label, n in unseen.most_common())
        raise DataError(
            f"{where} has labels that the training data do not have: {found}; known are "
            f"{listing(repr(label) for label in known)}. Correct or remove these rows, or add such rows to "
            "the training data"
        )
