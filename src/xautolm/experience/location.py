"""Where the experience store is: reading, defaulting and showing its URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from xautolm.errors import StoreError

FORMS = "`sqlite:///PATH` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`"
HIDDEN = "***"
_SECRET_OPTIONS = frozenset({"password", "sslpassword"})


def default_store_url(environ: Mapping[str, str]) -> str:
    """Find the store that is used when none is named.

    Args:
        environ: the environment variables.

    Returns:
        `XAUTOLM_STORE` when set, else `xautolm/experience.db` in the user's data folder: `XDG_DATA_HOME`
        (ignored unless absolute, as its specification asks) or `~/.local/share`.

    >>> default_store_url({"XDG_DATA_HOME": "/data"})
    'sqlite:////data/xautolm/experience.db'
    >>> default_store_url({"XAUTOLM_STORE": "sqlite:///team.db"})
    'sqlite:///team.db'
    """
    named = environ.get("XAUTOLM_STORE", "").strip()
    if named:
        return named
    data_home = Path(environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():
        home = environ.get("HOME", "")
        data_home = (Path(home) if home else Path.home()) / ".local" / "share"
    path = data_home / "xautolm" / "experience.db"
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def display_url(url: str) -> str:
    """Write a store URL for messages, logs and records: without its password.

    >>> display_url("postgresql+psycopg://anna:secret@db.example/team?password=secret")
    'postgresql+psycopg://anna:***@db.example/team?password=***'
    >>> display_url("not a url: postgresql//anna:secret@db")
    'not a url: postgresql//***@db'
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        return re.sub(r"(password=)[^&\s]*", rf"\g<1>{HIDDEN}", re.sub(r"//.*@", f"//{HIDDEN}@", url))
    secrets = {name: HIDDEN for name in parsed.query if name.lower() in _SECRET_OPTIONS}
    return parsed.update_query_dict(secrets).render_as_string(hide_password=True).replace("%2A%2A%2A", HIDDEN)


def parse_store_url(url: str) -> URL:
    """Read a store URL; `postgresql://` means the psycopg driver.

    Raises:
        StoreError: not a URL, or of a kind of database that is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            f"The experience store must be given as {FORMS}, got {display_url(url)!r}.{_suggest(url)}"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise StoreError(f"The experience store must be given as {FORMS}, got {display_url(url)!r}.")
    return parsed


def is_there(url: str) -> bool:
    """Whether a store was made at this URL before; opening one that was not makes it. A server counts as there.

    >>> is_there("sqlite:////nowhere/experience.db"), is_there("postgresql://db.example/team")
    (False, True)

    Raises:
        StoreError: not a URL of a store.
    """
    parsed = parse_store_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and not (parsed.database or "").startswith("file:")
    return not is_file or Path(parsed.database or "").is_file()


def secrets_of(url: URL) -> tuple[str, ...]:
    """Every password in a URL, for redaction."""
    options = [value for name, value in url.query.items() if name.lower() in _SECRET_OPTIONS]
    texts = [text for value in options for text in ([value] if isinstance(value, str) else value)]
    return tuple(text for text in [*texts, str(url.password or "")] if text)


def _suggest(url: str) -> str:
    return "" if "://" in url or "@" in url else f" For a file write `sqlite:///{url}`."
