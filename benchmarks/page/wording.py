"""Markdown from rows and words."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

_WIDTH = 120


def markdown(lines: Sequence[Sequence[str]]) -> str:
    r"""A table; the first row is its head.

    >>> print(markdown([["a", "b"], ["1", "2 | 3"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 \| 3 |
    """
    head, *rest = lines
    rows = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def paragraph(text: str, first: str = "", then: str = "") -> str:
    """Words in lines of at most 120 characters, whatever lines they came in.

    Args:
        text: the words.
        first: what stands before the first line.
        then: what stands before the others.
    """
    return fill(
        " ".join(text.split()), _WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def listed(items: Sequence[str]) -> str:
    """A list."""
    return "\n".join(paragraph(item, "- ", "  ") for item in items)
