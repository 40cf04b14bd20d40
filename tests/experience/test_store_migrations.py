"""The schema is what it is said to be, and stores of older releases become it without a loss."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from xautolm.experience import migrations
from xautolm.experience.schema import metadata
from xautolm.experience.store import ExperienceStore

STORES = Path(__file__).parents[1] / "fixtures" / "stores"

COLUMNS = """
tasks: task_id INTEGER PK, content_hash VARCHAR!, kind VARCHAR!, dataset_id VARCHAR!, fingerprint VARCHAR!,
  schema_name VARCHAR!, features JSON!, semantic JSON, sketch JSON!
systems: system_id INTEGER PK, content_hash VARCHAR!, schema_name VARCHAR!, features JSON!, name VARCHAR!
experiences: experience_id INTEGER PK, content_hash VARCHAR!, run_id VARCHAR!, trial_id INTEGER!, task_id INTEGER!,
  system_id INTEGER!, status VARCHAR!, error_kind VARCHAR, model VARCHAR!, method VARCHAR!, f1 FLOAT, time_s FLOAT!,
  time_limit_s FLOAT, memory_limit_mib FLOAT, space_version VARCHAR!, model_revision VARCHAR!, source VARCHAR!,
  created_at VARCHAR!, versions JSON!, result JSON!
"""
INDEXES = {
    "tasks": {"content_hash unique", "dataset_id", "fingerprint"},
    "systems": {"content_hash unique"},
    "experiences": {
        "content_hash unique",
        "run_id trial_id unique",
        "status",
        "created_at",
        "model method",
        "task_id system_id experience_id status",
    },
}


@pytest.fixture
def old(tmp_path) -> Path:
    return Path(shutil.copy(STORES / "0001.db", tmp_path / "experience.db"))


def remembered():
    spec = importlib.util.spec_from_file_location("make_0001", STORES / "make_0001.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.remembered()


def pinned_columns() -> dict[str, set[str]]:
    tables = [line.split(":") for line in COLUMNS.strip().replace("\n  ", " ").splitlines()]
    return {name: {column.strip() for column in columns.split(",")} for name, columns in tables}


def columns_of(connection, table) -> set[str]:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return {f"{name} {kind}" + (" PK" if key else "!" * must) for _, name, kind, must, _, key in rows}


def indexes_of(connection, table) -> set[str]:
    found = set()
    for _, name, unique, *_ in connection.execute(f"PRAGMA index_list({table})").fetchall():
        columns = [row[2] for row in connection.execute(f"PRAGMA index_info({name})").fetchall()]
        found.add(" ".join([*columns, *(["unique"] if unique else [])]))
    return found


@pytest.mark.parametrize("start", ["new", "0001"])
def test_the_schema_is_the_pinned_one(tmp_path, old, start):
    path = old if start == "0001" else tmp_path / "new.db"
    ExperienceStore(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"alembic_version", "sqlite_sequence", *INDEXES}
    assert {table: columns_of(connection, table) for table in INDEXES} == pinned_columns()
    assert {table: indexes_of(connection, table) for table in INDEXES} == INDEXES
    connection.close()


def test_an_old_store_keeps_its_experiences(old):
    with ExperienceStore(f"sqlite:///{old}") as store:
        assert store.load(kind=None) == remembered()
        assert store.count() == 6
        assert [group.profile.system_name for group in store.groups()] == [""] * len(store.groups())


def test_an_old_store_knows_its_experiences_again(old):
    with ExperienceStore(f"sqlite:///{old}") as store:
        assert store.add(remembered()) == 0
        imported = next(e for e in remembered() if e.source == "import")
        named = replace(imported.profile, system_name="AMD EPYC 7B13")
        again = replace(imported, run_id="import-2", profile=named, time_limit_s=90.0, memory_limit_mib=1024.0)
        assert store.add([again]) == 0
        assert store.add([replace(again, model_revision="b" * 40)]) == 1
        assert store.load()[-1] == replace(again, model_revision="b" * 40)


@pytest.mark.timeout(60)  # the first test on PostgreSQL starts the server
def test_an_old_store_on_postgresql_becomes_the_declared_schema_and_keeps_its_experiences(postgres):
    with postgres.database() as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            migrations.upgrade(connection, "0001")
            for table in ("tasks", "systems", "experiences"):
                copy_rows(STORES / "0001.db", table, connection)
        with ExperienceStore(url) as store:
            assert store.load(kind=None) == remembered()
            assert store.add(remembered()) == 0
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        engine.dispose()


def copy_rows(path: Path, table: str, target: sa.Connection) -> None:
    source = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    rows = source.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in rows.description]
    places = ", ".join(f":{name}" for name in names)
    insert = sa.text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})")
    target.execute(insert, [dict(zip(names, row, strict=True)) for row in rows])
    target.execute(sa.text(f"SELECT setval('{table}_{names[0]}_seq', (SELECT max({names[0]}) FROM {table}))"))
    source.close()


def test_an_old_store_without_rows_is_migrated(old):
    connection = sqlite3.connect(old)
    with connection:
        for table in ("experiences", "systems", "tasks"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    with ExperienceStore(f"sqlite:///{old}") as store:
        assert store.count() == 0
        assert store.add(remembered()) == 6
        assert store.load(kind=None) == remembered()
