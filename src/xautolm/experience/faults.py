"""Database errors as `StoreError`: what was expected, what came, what to do, without SQL and passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from xautolm.errors import StoreError
from xautolm.experience.location import HIDDEN, display_url, secrets_of

#: Part of a driver's message -> what is wrong and what to do.
_EXPLANATIONS = (
    ("not a database", "is not a database. Name another file with `--store`, or move this one away."),
    ("malformed", "is damaged. Restore a copy, or move it away and add the experiences again."),
    ("locked", "is in use by another process that did not finish in time. Try again, or stop that process."),
    ("readonly", "can be read but not written. Get write permission for the file and its folder."),
    ("read-only", "can be read but not written. Connect to a server or as a user that may write."),
    ("full", "has no room left on its disk. Free some space, then try again."),
    ("unable to open", "cannot be opened. Check that its folder is there and that you may write in it."),
    ("disk i/o", "cannot be read or written: the disk reports an error."),
    ("authentication", "refuses this user or password."),
    ("permission denied", "does not let this user read and create tables."),
    ("server closed", "went away. Try again when the server is back."),
    ("does not exist", "is not there. Check the names in the URL."),
    ("connect", "cannot be reached. Check that the server runs and that host and port are right."),
)


@contextmanager
def translate_faults(url: URL) -> Iterator[None]:
    """Turn database errors into `StoreError`.

    Raises:
        StoreError: anything in the block raised an SQLAlchemy error.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(_explain(error, url)) from None


def _explain(error: SQLAlchemyError, url: URL) -> str:
    """One message without SQL or values (a driver's own first line has neither)."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines() or [type(cause).__name__]
    detail = lines[0].strip()
    for secret in secrets_of(url):
        detail = detail.replace(secret, HIDDEN)
    name = display_url(url.render_as_string(hide_password=False))
    lowered = detail.lower()
    advice = next((text for part, text in _EXPLANATIONS if part in lowered), "reported an error.")
    return f"The experience store `{name}` {advice} ({detail}) The store was not changed."
