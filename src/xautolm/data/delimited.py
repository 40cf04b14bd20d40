"""Reads csv and tsv text exactly: cells stay strings, and a stray quote never swallows lines.

The csv module is used instead of `pandas.read_csv` because it tells what pandas hides: rows that are long,
quotes that never close, and the line where it happened.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

import pandas as pd

from xautolm.errors import DataError

DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}

_WELL_QUOTED = re.compile(r'"(?:[^"]|"")*"', re.DOTALL)
_STRAY_RETURN = re.compile(r"\r(?!\n)")
_RETURN = "\ufdd0"  # stands for a stray carriage return; a code point that Unicode keeps out of text
_HEADER_SHOWN = 80


@dataclass(frozen=True, slots=True)
class _Records:
    """Records of a file and the line on which each ends; the first record is the header."""

    cells: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        return len(self.cells[0])

    def first_too_long(self) -> int | None:
        width = self.width
        return next((i for i, row in enumerate(self.cells) if len(row) > width and any(row[width:])), None)

    def is_rectangular(self) -> bool:
        width = self.width
        return all(len(row) == width or (len(row) > width and not any(row[width:])) for row in self.cells)


def parse_delimited(text: str, delimiter: str, where: str) -> pd.DataFrame:
    """Parse csv or tsv text.

    A csv file is read with quoting; when its quotes contradict csv rules but every line splits into the same
    number of cells, quotes are plain characters. A tsv file is read the other way round: quotes are plain
    characters unless every cell that contains one is quoted as csv writers do it, or only quoting makes the
    rows equally long.

    Args:
        text: content of the file, not blank.
        delimiter: `,` or a tab.
        where: the file as named to the user.

    Returns:
        All cells as strings as written, None where a line is too short. Names in the header may repeat.

    Raises:
        DataError: another delimiter fits the header, a line has too many cells, or quotes do not close.
    """
    _check_delimiter(text, delimiter, where)
    raw = _split(text, delimiter)
    if '"' not in text:
        return _frame(raw, delimiter, where)
    try:
        quoted = _parse(text, delimiter)
    except csv.Error as error:
        if raw.is_rectangular() and (delimiter == "\t" or not _has_quoted_cell(raw)):
            return _frame(raw, delimiter, where)
        raise DataError(
            f"`{where}`: the quotes of the {_kind(delimiter)} file do not match near line {error.args[1]} "
            f"({error.args[0]}); "
            'write a quote inside a quoted cell twice (`""`), or save the data as `.jsonl`'
        ) from error
    if delimiter == "\t" and _quotes_are_plain(raw, quoted):
        return _frame(raw, delimiter, where)
    return _frame(quoted, delimiter, where)


def _quotes_are_plain(raw: _Records, quoted: _Records) -> bool:
    if not raw.is_rectangular():
        return not quoted.is_rectangular()
    return not all(_WELL_QUOTED.fullmatch(cell) for row in raw.cells for cell in row if '"' in cell)


def _has_quoted_cell(raw: _Records) -> bool:
    return any(_WELL_QUOTED.fullmatch(cell) for row in raw.cells for cell in row if cell[:1] == '"')


def _split(text: str, delimiter: str) -> _Records:
    """Split at line ends and delimiters only; quotes are plain characters."""
    lines = text.split("\n") if "\n" in text else text.split("\r")
    cells, numbers = [], []
    for number, line in enumerate(lines, start=1):
        content = line.removesuffix("\r")
        if content.strip(" "):
            cells.append(content.split(delimiter))
            numbers.append(number)
    return _Records(cells, numbers)


def _parse(text: str, delimiter: str) -> _Records:
    """Parse with csv quoting, strictly; an error carries the line as its second argument."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    # The csv module takes a stray carriage return for a line end; in a file with other line ends it is text.
    stream = io.StringIO(_STRAY_RETURN.sub(_RETURN, text), newline="\n")
    limit = csv.field_size_limit(max(len(text), 131_072))  # the default refuses documents over 128 KiB
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    cells, lines = [], []
    try:
        for row in reader:
            if row:
                cells.append([cell.replace(_RETURN, "\r") for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise csv.Error(str(error), reader.line_num) from error
    finally:
        csv.field_size_limit(limit)
    return _Records(cells, lines)


def _frame(records: _Records, delimiter: str, where: str) -> pd.DataFrame:
    too_long = records.first_too_long()
    width = records.width
    if too_long is not None:
        raise DataError(
            f"`{where}`, line {records.lines[too_long]}: expected {width} cells as in the header, came "
            f"{len(records.cells[too_long])}; put cells that contain a {DELIMITER_NAMES[delimiter]} in "
            "double quotes, or save the data as `.jsonl`"
        )
    header = [name.strip() for name in records.cells[0]]
    rows = [[*row[:width], *([None] * (width - len(row)))] for row in records.cells[1:]]
    frame = pd.DataFrame(rows, columns=range(width), dtype=object)
    frame.columns = pd.Index(header)
    return frame


def _check_delimiter(text: str, delimiter: str, where: str) -> None:
    """Refuse a header that the suffix's delimiter leaves in one piece while another one splits it."""
    header = text.lstrip("\r\n").split("\n", 1)[0].split("\r", 1)[0]
    if len(header.split(delimiter)) > 1:
        return
    other = next((d for d in DELIMITER_NAMES if d in header), None)
    if other is None:
        return
    n_columns = len(next(csv.reader([header], delimiter=other)))
    if other == "\t":
        advice = "rename it to `.tsv`"
    elif other == ",":
        advice = "rename it to `.csv`"
    else:
        advice = f"save it with commas: `pandas.read_csv({where!r}, sep={other!r}).to_csv('new.csv', index=False)`"
    raise DataError(
        f"`{where}` was read with the delimiter {DELIMITER_NAMES[delimiter]} and gives one column; its "
        f"header is {header[:_HEADER_SHOWN]!r}. With a {DELIMITER_NAMES[other]} it has {n_columns} columns: "
        f"{advice}"
    )


def _kind(delimiter: str) -> str:
    return "csv" if delimiter == "," else "tsv"
