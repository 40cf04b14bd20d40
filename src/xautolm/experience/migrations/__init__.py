"""Schema versions of the experience store, applied by the store itself when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Every schema version that this release knows, oldest first (a test compares them with `versions/`).
REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]
VERSION_TABLE = "alembic_version"


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring an empty or older store to a schema version, inside the transaction that `connection` is in.

    Args:
        connection: to the store, in a transaction that may write.
        revision: out of `REVISIONS`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused; the caller's transaction decides what stays.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
