"""Why a foreign row is refused, in words that are safe to print."""

from __future__ import annotations

_SHOWN_CHARS = 60


class RowError(Exception):
    """A row cannot be used; the message says what was expected and what came."""


def shown(value: object) -> str:
    """A foreign value for a message: short, on one line.

    >>> shown("x" * 100)[-3:]
    '...'
    """
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # an integer of too many digits; nested too deeply
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
