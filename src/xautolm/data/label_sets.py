"""The labels of each row of a multi-label task, in the forms that files have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from xautolm.data.labels import MOST_NUMBERS, is_spread
from xautolm.data.listed import holds_lists, is_list, is_missing, parse_list, writes_lists
from xautolm.data.rows import LARGEST_SHARE_UNUSABLE
from xautolm.data.source import Table
from xautolm.data.wording import count, listing, names
from xautolm.errors import DataError
from xautolm.records import Label

#: What may stand between labels, the strongest first: where a stronger one occurs, weaker ones are part of a label.
SEPARATORS = ("|", ";", ",")

#: Labels of a row as read; None = the row says nothing.
RawSet = tuple[object, ...] | None
_YES, _NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})


def find_separator(texts: Sequence[str]) -> str | None:
    """What stands between the labels; None when no text has any of `SEPARATORS`.

    >>> find_separator(["a, b; c", "d"]), find_separator(["a,b"]), find_separator(["a b"])
    (';', ',', None)
    """
    return next((separator for separator in SEPARATORS if any(separator in text for text in texts)), None)


def read_sets(cells: Mapping[str, Sequence[object]], where: str) -> tuple[dict[str, list[RawSet]], bool, list[str]]:
    """Take the labels of each row out of a column: lists, text of lists, text with separators, or single labels.

    Args:
        cells: role -> cells.
        where: the target column and data as named to the user.

    Returns:
        Role -> labels of each row, none twice (blank text and an empty list = no label, a missing cell = None); whether
        they were split from text, so that their type is to be found; sentences about how.

    Raises:
        DataError: a list that cannot be read, or holds what is no label.
    """
    everything = [cell for part in cells.values() for cell in part]
    texts = [cell for cell in everything if isinstance(cell, str)]
    if holds_lists(everything):
        return {role: [_set(cell, where) for cell in part] for role, part in cells.items()}, False, []
    if writes_lists(everything):
        parsed = {role: [_parsed(cell, where) for cell in part] for role, part in cells.items()}
        return {role: [_set(cell, where) for cell in part] for role, part in parsed.items()}, False, []
    separator = find_separator(texts)
    if separator is None:
        known = names(SEPARATORS)
        note = f"no row of {where} has more than one label; expected lists, or labels with one of {known} between them"
    else:
        note = f"labels in {where} are read as separated by `{separator}`"
    split = {role: [_split(cell, separator, where) for cell in part] for role, part in cells.items()}
    return split, bool(texts), [note]


def _parsed(cell: object, where: str) -> object:
    return parse_list(cell, where) if isinstance(cell, str) else cell


def _split(cell: object, separator: str | None, where: str) -> RawSet:
    if not isinstance(cell, str):
        return _set(cell, where)
    return _set([part.strip() for part in cell.split(separator)] if separator else [cell.strip()], where)


def _set(cell: object, where: str) -> RawSet:
    if is_missing(cell):
        return None
    items = list(cell) if is_list(cell) else [cell]  # type: ignore[call-overload]  # a list, as just checked
    plain = [item.item() if isinstance(item, np.generic) else item for item in items]
    odd = next((item for item in plain if not (is_missing(item) or isinstance(item, bool | int | float | str))), None)
    if odd is not None:
        raise DataError(
            f'{where} holds {type(odd).__name__} values in a list, expected labels such as `["a", "b"]`; name '
            "another column with `--target`"
        )
    return tuple(dict.fromkeys(item for item in plain if not is_missing(item) and str(item).strip()))


def indicated_sets(table: Table, columns: Sequence[str], notes: list[str]) -> list[RawSet]:
    """The labels of each row in columns of 0 and 1, one per label and named like it.

    Args:
        table: has the columns.
        columns: their names.
        notes: gets a sentence when a column holds something else; such a row says nothing.

    Raises:
        DataError: more than half of the rows hold something else.
    """
    cells = [table.frame[column].tolist() for column in columns]
    rows = [[_is_set(cell) for cell in row] for row in zip(*cells, strict=True)]
    odd = [i for i, row in enumerate(rows) if None in row]
    if odd:
        shown = listing((f"row {i + 1}: {cells[rows[i].index(None)][i]!r:.40}" for i in odd), at_most=3)
        found = f"{count(len(odd), 'row')} of {len(rows):,} in `{table.where}` with other values than 0 and 1 ({shown})"
        if len(odd) > LARGEST_SHARE_UNUSABLE * len(rows):
            raise DataError(f"{found} in {names(columns)}; expected 0 or 1 in each of these columns")
        notes.append(found)
    return [
        None if None in row else tuple(column for column, is_set in zip(columns, row, strict=True) if is_set)
        for row in rows
    ]


def indicator_columns(table: Table) -> list[str]:
    """The columns that hold nothing but 0 and 1."""
    names_of = [str(name) for name in table.frame.columns]
    unique = [name for name in names_of if names_of.count(name) == 1]
    return [name for name in unique if all(_is_set(cell) is not None for cell in table.frame[name].tolist())]


def _is_set(cell: object) -> bool | None:
    """What a cell says of its label; None when neither yes nor no.

    >>> [_is_set(cell) for cell in (1, "0", True, 0.0, "False", "", 2, None)]
    [True, False, True, False, False, None, None, None]
    """
    text = str(cell).strip().casefold()
    return True if text in _YES else False if text in _NO else None


def known_labels(sets: Sequence[Sequence[Label]], where: str) -> tuple[tuple[Label, ...], list[str]]:
    """Take the label set from the training rows.

    Args:
        sets: labels of each row, of one type.
        where: the target column and data as named to the user.

    Returns:
        The distinct labels, sorted; a sentence about those with one row.

    Raises:
        DataError: fewer than two labels, or too many for their rows.
    """
    counts = Counter(label for found in sets for label in found)
    if len(counts) < 2:
        only = f"only the label {next(iter(counts))!r}" if counts else "no label"
        raise DataError(
            f"{where} has {only} ({count(len(sets), 'row')}); expected at least two labels. Is it the right column?"
        )
    if len(counts) > MOST_NUMBERS and is_spread(len(counts), len(sets)):
        few = listing((repr(label) for label in counts), at_most=3)
        raise DataError(
            f"{where} looks like text: {len(counts):,} distinct labels in {count(len(sets), 'row')} ({few}); expected "
            "labels that many rows share. Name the label column with `--target`"
        )
    single = sorted((label for label, n in counts.items() if n == 1), key=str)
    shown = listing(repr(label) for label in single)
    notes = [f"{count(len(single), 'label')} of {len(counts):,} with one row (no score sees them): {shown}"]
    return tuple(sorted(counts)), notes if single else []
