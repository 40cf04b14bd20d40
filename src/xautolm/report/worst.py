"""The test rows that the exported model answered worst, as the run left them in `test_worst.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xautolm.report.wording import clean, number

_LONGEST = 240


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A test row and what the model made of it.

    Attributes:
        row: its number in the test split, from 0.
        text: what the model was asked, shortened.
        expected: what would have been right; alternatives are separated by bars.
        predicted: what the model said.
        score: of this row, in [0, 1]; None when the file holds none.
    """

    row: int
    text: str
    expected: str
    predicted: str
    score: float | None


def read_worst(content: Mapping[str, Any]) -> tuple[WorstRow, ...]:
    """Rows of a `test_worst.json`, worst first; entries of another form are left out."""
    listed = content.get("worst")
    found = []
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("row"), int):
            continue
        score = entry.get("score")
        found.append(
            WorstRow(
                row=entry["row"],
                text=clean(entry.get("text", ""), _LONGEST),
                expected=_said(entry.get("expected")),
                predicted=_said(entry.get("predicted")),
                score=float(score) if isinstance(score, int | float) else None,
            )
        )
    return tuple(found)


def _said(value: Any) -> str:
    """An answer in words.

    >>> _said(["Paris", "in Paris"]), _said([]), _said(2.5), _said(True)
    ('Paris | in Paris', '(none)', '2.5', 'True')
    """
    if isinstance(value, list):
        return clean(" | ".join(map(str, value)), _LONGEST) if value else "(none)"
    if isinstance(value, float):
        return number(value)
    return clean(value, _LONGEST) if value != "" else "(none)"
