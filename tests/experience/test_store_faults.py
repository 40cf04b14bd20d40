"""Stores that cannot be used: a clear error, no password in it, and the store unchanged."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from experience_builders import make_experience
from sqlalchemy.exc import OperationalError

from xautolm.errors import StoreError
from xautolm.experience import migrations
from xautolm.experience.faults import translate_faults
from xautolm.experience.location import default_store_url, display_url, parse_store_url
from xautolm.experience.schema import metadata
from xautolm.experience.store import ExperienceStore


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "experience.db"


@pytest.fixture
def url(path) -> str:
    return f"sqlite:///{path}"


def run_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_file_that_is_not_a_database_is_refused_and_unchanged(path, url):
    path.write_bytes(b"id,text\n1,hello\n" * 100)
    with pytest.raises(StoreError, match=r"`sqlite:///.*experience\.db` is not a database"):
        ExperienceStore(url)
    assert path.read_bytes() == b"id,text\n1,hello\n" * 100
    assert os.listdir(path.parent) == ["experience.db"]


def test_database_of_something_else_is_refused_and_unchanged(path, url):
    run_sql(path, "CREATE TABLE studies (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"holds other tables \(studies\)"):
        ExperienceStore(url)
    assert path.read_bytes() == before


def test_store_of_a_newer_release_is_refused_and_unchanged(path, url):
    with ExperienceStore(url) as store:
        store.add([make_experience()])
    run_sql(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"up to '{migrations.HEAD}', but has '9999'.*newer release of xautolm"):
        ExperienceStore(url)
    assert path.read_bytes() == before


@pytest.mark.parametrize("prepare", ["empty file", "version table without a version"])
def test_store_without_schema_is_migrated(path, url, prepare):
    if prepare == "empty file":
        path.touch()
    else:
        run_sql(path, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    with ExperienceStore(url) as store:
        assert store.add([make_experience()]) == 1


def test_interrupted_migration_leaves_nothing_behind(path, url, monkeypatch):
    def upgrade_halfway(connection):
        connection.execute(sa.text("CREATE TABLE tasks (task_id INTEGER)"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrade", upgrade_halfway)
        with pytest.raises(KeyboardInterrupt):
            ExperienceStore(url)
    with ExperienceStore(url) as store:
        assert store.add([make_experience()]) == 1


def test_migrations_build_exactly_the_declared_schema(url):
    ExperienceStore(url).close()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        tables = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    assert differences == []
    assert tables == {"alembic_version", "tasks", "systems", "experiences"}


def test_known_revisions_are_the_migrations_that_exist():
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == migrations.REVISIONS


def test_store_opens_from_any_folder_and_writes_only_its_own_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ExperienceStore("sqlite:///a b/ü/experience.db") as store:
        store.add([make_experience()])
    assert (tmp_path / "a b" / "ü" / "experience.db").is_file()
    assert os.listdir(tmp_path) == ["a b"]


@pytest.mark.parametrize("name", ["plain", "with space", "ü", "100%41", "a#b", "a@b:c"])
def test_default_store_works_under_any_home(tmp_path, name):
    with ExperienceStore(default_store_url({"HOME": str(tmp_path / name)})) as store:
        store.add([make_experience()])
    assert (tmp_path / name / ".local" / "share" / "xautolm" / "experience.db").is_file()


def test_locked_store_is_left_after_the_timeout_and_usable_later(path, url):
    with ExperienceStore(url, busy_timeout_s=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="in use by another process"):
            store.add([make_experience()])
        other.execute("ROLLBACK")
        other.close()
        assert store.add([make_experience()]) == 1


def test_read_only_store_can_be_read_but_not_added_to(path, url):
    with ExperienceStore(url) as store:
        store.add([make_experience()])
    with ExperienceStore(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        assert store.load() == [make_experience()]
        with pytest.raises(StoreError, match="can be read but not written"):
            store.add([make_experience("other", 0)])
        assert store.count() == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to read-only files")
def test_file_without_write_permission_is_reported(path, url):
    ExperienceStore(url).close()
    path.chmod(0o444)
    with ExperienceStore(url) as store, pytest.raises(StoreError, match="can be read but not written"):
        store.add([make_experience()])


def test_full_disk_in_the_middle_of_an_add_changes_nothing(url):
    with ExperienceStore(url) as store:
        store.add([make_experience("before", 0)])
        engine = store._engine
        engine.dispose()
        sa.event.listen(engine, "connect", limit_to_present_size)
        many = [make_experience("many", trial_id, model_revision="x" * 2000) for trial_id in range(200)]
        with pytest.raises(StoreError, match="no room left on its disk"):
            store.add(many)
        sa.event.remove(engine, "connect", limit_to_present_size)
        engine.dispose()
        assert [e.run_id for e in store.load()] == ["before"]
        assert store.add(many) == 200


def limit_to_present_size(connection, _record) -> None:
    """SQLite answers as on a full disk when the file may not grow."""
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")


def test_damaged_row_is_named(path, url):
    with ExperienceStore(url) as store:
        store.add([make_experience()])
        run_sql(path, "UPDATE experiences SET result = '{\"trial_id\": 0}'")
        with pytest.raises(StoreError, match=r"Row 1 of `sqlite.*` must be an experience, but is not \(KeyError"):
            store.load()


@pytest.mark.parametrize("read", [ExperienceStore.load, ExperienceStore.groups, lambda store: list(store.iterate())])
@pytest.mark.parametrize(
    ("column", "damage", "message"),
    [
        ("tasks.sketch", "null", "Task 1 of the experience store must have a profile .* `sketch` is a NoneType"),
        ("tasks.features", "[]", "`features` is a list"),
        ("tasks.semantic", "5", "`semantic` is a int"),
        ("systems.features", "true", "System 1 .* `features` is a bool"),
    ],
)
def test_damaged_task_or_machine_is_named(path, url, column, damage, message, read):
    table, name = column.split(".")
    with ExperienceStore(url) as store:
        store.add([make_experience()])
        run_sql(path, f"UPDATE {table} SET {name} = '{damage}'")
        with pytest.raises(StoreError, match=message):
            read(store)


@pytest.mark.parametrize("damage", ["{broken", '{"f1": NaN}', "[" * 100_000, ""])
@pytest.mark.parametrize("column", ["experiences.result", "tasks.features", "systems.features"])
def test_column_that_is_not_json_is_reported(path, url, column, damage):
    table, name = column.split(".")
    with ExperienceStore(url) as store:
        store.add([make_experience()])
        run_sql(path, f"UPDATE {table} SET {name} = '{damage}'")
        with pytest.raises(StoreError, match=r"experience store `sqlite.*` must hold JSON"):
            store.load()


def test_folder_in_place_of_the_file_is_reported(path, url):
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        ExperienceStore(url)


def test_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"folder `.*` of the experience store cannot be created"):
        ExperienceStore(f"sqlite:///{tmp_path}/file/sub/experience.db")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("experience.db", r"For a file write `sqlite:///experience\.db`"),
        ("", "must be given as"),
        ("mysql://anna:topsecret@host/db", r"must be given as `sqlite:///PATH`.*anna:\*\*\*@host"),
        ("postgresql://anna:topsecret@host:port/db", "must be given as"),
        ("postgresql//anna:topsecret@host", "must be given as"),
    ],
)
def test_url_of_another_kind_is_refused_without_showing_a_password(url, message):
    with pytest.raises(StoreError, match=message) as caught:
        ExperienceStore(url)
    assert "topsecret" not in str(caught.value)


def test_missing_postgresql_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'xautolm\[postgres\]'") as caught:
        ExperienceStore("postgresql+psycopg://anna:topsecret@localhost/team")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ('connection failed: connection to server at "127.0.0.1", port 1 failed', "cannot be reached"),
        ('FATAL:  password authentication failed for user "anna"', "refuses this user or password"),
        ('FATAL:  database "team" does not exist', "is not there"),
        ("server closed the connection unexpectedly", "went away"),
        ("conninfo password=topsecret is odd\nsecond line", "reported an error"),
    ],
)
def test_server_faults_are_explained_without_password_and_values(detail, message):
    url = parse_store_url("postgresql://anna:topsecret@db.example/team")
    with pytest.raises(StoreError, match=message) as caught, translate_faults(url):
        raise OperationalError("INSERT INTO experiences", {"result": "private"}, Exception(detail))
    text = str(caught.value)
    assert "postgresql+psycopg://anna:***@db.example/team" in text
    assert not any(word in text for word in ("topsecret", "INSERT", "private", "second line"))


def test_repr_hides_the_password(monkeypatch):
    store = object.__new__(ExperienceStore)
    store._url = parse_store_url("postgresql://anna:topsecret@db.example/team?sslpassword=topsecret")
    assert repr(store) == ("ExperienceStore('postgresql+psycopg://anna:***@db.example/team?sslpassword=***')")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XAUTOLM_STORE": "sqlite:///team.db", "XDG_DATA_HOME": "/data"}, "sqlite:///team.db"),
        ({"XAUTOLM_STORE": " ", "XDG_DATA_HOME": "/data"}, "sqlite:////data/xautolm/experience.db"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "sqlite:////h/.local/share/xautolm/experience.db"),
        ({"HOME": "/h"}, "sqlite:////h/.local/share/xautolm/experience.db"),
    ],
)
def test_default_store(environ, expected):
    assert default_store_url(environ) == expected
    assert display_url(expected) == expected
