"""Turns a table into usable rows: texts are strings, rows without text or target are dropped and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xautolm.data.source import Table
from xautolm.data.wording import count, listing
from xautolm.errors import DataError

#: Above this share of unusable rows the data are refused instead of repaired.
LARGEST_SHARE_UNUSABLE = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Usable rows, column-wise.

    Attributes:
        labels: what each row asks for, as read: a raw label (csv: a string), or what the caller made of it.
        notes: sentences about what was dropped or converted.
    """

    texts: list[str]
    pairs: list[str] | None
    labels: list[Any]
    notes: list[str]


def clean_rows(
    table: Table, columns: Mapping[str, str], cells: Sequence[Any] | None = None, noun: str = "label"
) -> Rows:
    """Take text, text pair and target from a table.

    Args:
        table: with at least one row and the named columns.
        columns: role -> column.
        cells: targets that were already read, None where a row has none, (n_rows,); by default those of the column
            are taken as labels.
        noun: what a target is called in messages.

    Returns:
        The rows that have all they need, in order, texts as written.

    Raises:
        DataError: a text column of numbers or of nested values, or more than half of the rows lack text or
            target.
    """
    notes: list[str] = []
    texts = text_cells(table, columns["text"], "--text", notes)
    pairs = text_cells(table, columns["text_pair"], "--text", notes) if "text_pair" in columns else None
    labels = label_cells(table, columns["target"]) if cells is None else cells
    no_text = [text is None or (pairs is not None and pairs[i] is None) for i, text in enumerate(texts)]
    keep = [i for i, label in enumerate(labels) if label is not None and not no_text[i]]
    n_no_text, n_dropped = sum(no_text), len(labels) - len(keep)
    lacks = f"{n_no_text:,} without text, {n_dropped - n_no_text:,} without {noun}"
    if n_dropped > LARGEST_SHARE_UNUSABLE * len(labels):
        raise DataError(
            f"`{table.where}`: {n_dropped:,} of {count(len(labels), 'row')} cannot be used ({lacks}); expected text "
            f"in {_text_columns(columns)} and a {noun} in `{columns['target']}`. Correct the file, or name other "
            "columns with `--text` and `--target`"
        )
    if n_dropped:
        notes.append(f"dropped {count(n_dropped, 'row')} of {len(labels):,} in `{table.where}`: {lacks}")
    return Rows(
        texts=[encodable(texts[i]) for i in keep],
        pairs=None if pairs is None else [encodable(pairs[i]) for i in keep],
        labels=[labels[i] for i in keep],
        notes=notes,
    )


def _text_columns(columns: Mapping[str, str]) -> str:
    return " and ".join(f"`{columns[role]}`" for role in ("text", "text_pair") if role in columns)


def text_cells(table: Table, column: str, flag: str, notes: list[str]) -> list[str | None]:
    """The texts of a column as written, numbers among them as text.

    Args:
        table: has the column.
        column: its name.
        flag: option that names the column, for messages.
        notes: gets a sentence when numbers were converted.

    Returns:
        One text per row, None where it is missing or blank.

    Raises:
        DataError: a column of numbers or of nested values.
    """
    series = table.frame[column]
    is_null = series.isna().tolist()
    cells: list[str | None] = []
    n_converted = 0
    for value, null in zip(series.tolist(), is_null, strict=True):
        if null or (isinstance(value, str) and not value.strip()):
            cells.append(None)
            continue
        if not isinstance(value, str):
            if not isinstance(value, bool | int | float | np.number | np.bool_):
                raise DataError(
                    f"`{table.where}`: column `{column}` holds {type(value).__name__} values, expected text; "
                    f"name a column of plain strings with `{flag}`"
                )
            n_converted += 1
        cells.append(str(value))
    _check_numbers(table.where, column, flag, [cell for cell in cells if cell is not None], n_converted)
    if n_converted:
        notes.append(
            f"{count(n_converted, 'value')} of column `{column}` in `{table.where}` converted from number to text"
        )
    return cells


def _check_numbers(where: str, column: str, flag: str, texts: list[str], n_converted: int) -> None:
    n_numbers = max(n_converted, sum(is_number(text) for text in texts))  # booleans are converted too
    if n_numbers > LARGEST_SHARE_UNUSABLE * len(texts):
        raise DataError(
            f"`{where}`: column `{column}` looks like a number column ({listing(map(str.strip, texts), at_most=3)}), "
            f"expected text; name the text column with `{flag}`"
        )


def is_number(text: str) -> bool:
    """Whether a string is nothing but a finite decimal number.

    >>> [is_number(text) for text in ("12", " -3.5e2 ", "12 monkeys", "nan", "1_000", "")]
    [True, True, False, False, False, False]
    """
    if not text or text.lstrip()[:1] not in "+-.0123456789" or "_" in text:  # cheap: most texts end here
        return False
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def label_cells(table: Table, column: str) -> list[Any]:
    """The cells of a target column, stripped in csv and tsv; None where one is missing or blank."""
    series = table.frame[column]
    cells: list[Any] = []
    for value, null in zip(series.tolist(), series.isna().tolist(), strict=True):
        if null or (isinstance(value, str) and not value.strip()):
            cells.append(None)
        elif isinstance(value, str) and table.is_delimited:
            cells.append(value.strip())
        else:
            cells.append(value.item() if isinstance(value, np.generic) else value)
    return cells


def encodable(text: str | None) -> str:
    r"""Replace lone surrogates (a broken `\ud83d` in JSON), which no tokenizer and no file can take."""
    if text is None:
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
