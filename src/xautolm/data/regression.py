"""Text regression: one text or a pair, one number each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd

from xautolm.data.assembly import Reading, assembled, text_keys, texts_with
from xautolm.data.classification import oddities
from xautolm.data.columns import TARGET_NAMES, Wanted
from xautolm.data.labels import MOST_NUMBERS, is_spread
from xautolm.data.parts import Part
from xautolm.data.rows import LARGEST_SHARE_UNUSABLE, clean_rows, is_number
from xautolm.data.source import Table, Tables
from xautolm.data.wording import count, listing
from xautolm.errors import DataError
from xautolm.records import Task

KIND = "text-regression"
SCORES = Wanted(
    KIND,
    "score",
    (
        ("score", "similarity_score", "relatedness_score", "similarity", "relatedness", "rating", "value", "price"),
        *TARGET_NAMES,
    ),
)
#: Strata of a cut: tenths of the scores, so that every split covers their whole range.
N_STRATA = 10


def regression_task(tables: Tables, roles: Mapping[str, str], seed: int, notes: Sequence[str] = ()) -> Task:
    """Put a regression task together.

    Args:
        tables: by role.
        roles: role -> column, from `columns.text_columns`.
        seed: seed of the cut.
        notes: sentences that come first.

    Returns:
        The task: `targets` are finite numbers as written, there are no labels.

    Raises:
        DataError: the texts cannot be used, or most scores are no numbers, or all are the same.
    """
    notes, parts = list(notes), {}
    for role, table in tables.tables.items():
        scores = score_cells(table, roles["target"], notes)
        rows = clean_rows(table, roles, scores, "score")
        notes += rows.notes
        keys = text_keys(rows.texts, rows.pairs)
        parts[role] = Part(rows.texts, rows.pairs, _strata(rows.labels), keys, keys, targets=rows.labels)
    _check_spread(parts["train"].targets or (), f"`{tables.tables['train'].where}`: column `{roles['target']}`")
    return assembled(
        tables,
        Reading(KIND, roles, parts, notes=notes),
        seed,
        rows=lambda part: texts_with(part, part.targets or ()),
        oddities=partial(oddities, noun="score"),
    )


def looks_like_scores(table: Table, column: str) -> bool:
    """Whether a target column holds real numbers, too many of them different to be classes."""
    values = [_number(cell) for cell in table.frame[column].tolist() if not _is_missing(cell)]
    numbers = [value for value in values if value is not None]
    if not values or len(numbers) < len(values) or all(value.is_integer() for value in numbers):
        return False
    n_distinct = len(set(numbers))
    return n_distinct > MOST_NUMBERS or is_spread(n_distinct, len(numbers))


def score_cells(table: Table, column: str, notes: list[str]) -> list[float | None]:
    """The numbers of a column, None where there is none.

    Args:
        table: has the column.
        column: its name.
        notes: gets a sentence when values are no numbers.

    Raises:
        DataError: more than half of the values are no numbers.
    """
    cells = table.frame[column].tolist()
    scores = [None if _is_missing(cell) else _number(cell) for cell in cells]
    wrong = [i for i, cell in enumerate(cells) if scores[i] is None and not _is_missing(cell)]
    if not wrong:
        return scores
    shown = listing((f"row {i + 1}: {cells[i]!r:.40}" for i in wrong), at_most=3)
    found = f"{count(len(wrong), 'value')} of {len(cells):,} in column `{column}` of `{table.where}`"
    if len(wrong) > LARGEST_SHARE_UNUSABLE * len(cells):
        raise DataError(
            f"{found} cannot be read as finite numbers ({shown}); expected a number per row, such as 3 or 0.25. Name "
            "the column of the scores with `--target`, or use another `--task`"
        )
    notes.append(f"{found} cannot be read as finite numbers ({shown})")
    return scores


def _is_missing(cell: object) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or cell is pd.NA or (isinstance(cell, float | np.floating) and math.isnan(cell))


def _number(cell: object) -> float | None:
    """A cell as a finite number; None when it is none.

    >>> [_number(cell) for cell in (3, "0.25", " 1e3 ", True, "1,5", float("inf"))]
    [3.0, 0.25, 1000.0, None, None, None]
    """
    if isinstance(cell, str):
        return float(cell) if is_number(cell) else None
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.integer | np.floating | Decimal):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


def _strata(scores: Sequence[float]) -> list[int]:
    """The tenth of the scores in which each is; equal scores are in the same.

    >>> _strata([1.0, 2.0, 2.0, 3.0])
    [0, 2, 2, 7]
    """
    ordered = np.sort(np.asarray(scores, dtype=float))
    places = np.searchsorted(ordered, np.asarray(scores, dtype=float), side="left")
    return [int(place) for place in places * N_STRATA // max(len(ordered), 1)]


def _check_spread(scores: Sequence[object], where: str) -> None:
    if len(set(scores)) == 1:
        raise DataError(
            f"{where} has only the score {scores[0]!r} ({count(len(scores), 'row')}); expected different numbers. "
            "Is it the right column?"
        )
