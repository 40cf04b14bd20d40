"""What only a store in a SQLite file can do wrong, or right."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest
from experience_builders import make_experience

from xautolm.experience.store import ExperienceStore


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'experience.db'}"


def test_reader_is_not_blocked_by_a_writer(store, tmp_path):
    store.add([make_experience()])
    writer = sqlite3.connect(tmp_path / "experience.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.count() == 1
    writer.execute("ROLLBACK")
    writer.close()


def test_opening_an_up_to_date_store_does_not_load_the_migration_tool(url, store):
    code = (
        "import sys; from xautolm.experience.store import ExperienceStore;"
        f"ExperienceStore({url!r}).load(); loaded = sorted({{'alembic', 'torch'}} & set(sys.modules)); print(loaded)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_store_in_memory_works_for_one_process():
    with ExperienceStore("sqlite://") as store:
        assert store.add([make_experience()]) == 1
        assert store.load() == [make_experience()]


def test_threads_share_a_store_in_memory():
    with ExperienceStore("sqlite://") as store:
        thread = threading.Thread(target=lambda: store.add([make_experience()]))
        thread.start()
        thread.join()
        assert store.load() == [make_experience()]
