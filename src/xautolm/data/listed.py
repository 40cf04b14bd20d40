"""Lists in cells: as lists, as JSON or Python text of a list, or as text with something between the items."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from xautolm.errors import DataError

#: Numpy's text of a list of strings has no commas: Python reads two neighbours as one string.
_NEIGHBOURS = re.compile(r"""(['"])\s+(['"])""")
_SHOWN = 60


def is_list(cell: object) -> bool:
    """Whether a cell is a list (in parquet files: an array)."""
    return isinstance(cell, list | tuple | np.ndarray)


def is_missing(cell: object) -> bool:
    """Whether there is nothing in a cell; blank text is something."""
    return cell is None or cell is pd.NA or (isinstance(cell, float | np.floating) and bool(np.isnan(cell)))


def holds_lists(cells: Iterable[object]) -> bool:
    """Whether a column holds lists: at least one cell does."""
    return any(is_list(cell) for cell in cells)


def writes_lists(cells: Sequence[object]) -> bool:
    """Whether a column holds lists written as text: most of its cells begin and end like one.

    >>> writes_lists(['["a"]', "[]", ""]), writes_lists(["[CLS] a", "b"])
    (True, False)
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    return 2 * sum(text[0] == "[" and text[-1] == "]" for text in texts) > len(texts)


def all_written(cells: Iterable[object]) -> bool:
    """Whether every cell that is not blank is a list that JSON or Python wrote as text, and there is one.

    >>> all_written(["['a', 'b']", "", None]), all_written(["[1]", "[a]"]), all_written(["", None])
    (True, False, False)
    """
    n_lists = 0
    for cell in cells:
        if is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
            continue
        if not isinstance(cell, str) or cell.lstrip()[0] != "[" or not isinstance(_read_list(cell), list):
            return False
        n_lists += 1
    return n_lists > 0


def parse_list(text: str, where: str) -> list[object]:
    """Read a list that JSON or Python wrote as text; no text is an empty one.

    Args:
        text: the cell.
        where: data and column as named to the user.

    Raises:
        DataError: it is no such list.

    >>> parse_list('["a", "b"]', "x"), parse_list("['a', 'b']", "x"), parse_list(" ", "x")
    (['a', 'b'], ['a', 'b'], [])
    """
    if not text.strip():
        return []
    value = _read_list(text)
    if not isinstance(value, list):
        raise DataError(
            f"{where} holds lists written as text, but one cannot be read: {text[:_SHOWN]!r}; expected JSON such as "
            '`["a", "b"]`. Correct it, or save the data as `.jsonl` or `.parquet`'
        )
    return value


def _read_list(text: str) -> object:
    """What JSON or Python reads in a text; None when neither can."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        pass
    if _NEIGHBOURS.search(text):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
