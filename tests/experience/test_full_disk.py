"""A real disk that is full, or may only be read: a clear error, and the store as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from experience_builders import make_experience

from xautolm.errors import DataError, StoreError
from xautolm.experience.outbox import Outbox
from xautolm.experience.store import ExperienceStore
from xautolm.experience.transfer import export, read, take_in

OLD = Path(__file__).parents[1] / "fixtures" / "stores" / "0001.db"
SIZE = 1_000_000

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root can mount a small disk"
)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A folder that is a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs"]
    mounted = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def url(disk) -> str:
    return f"sqlite:///{disk / 'experience.db'}"


def heavy(n, run_id="many"):
    return [
        make_experience(run_id, number, versions={str(i): f"{number}" * 100 for i in range(3)}) for number in range(n)
    ]


def fill(disk: Path) -> Path:
    """Leave no room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_more_than_the_disk_holds_changes_nothing_and_less_goes_in(url):
    with ExperienceStore(url) as store:
        store.add([make_experience("before", 0)])
        with pytest.raises(StoreError, match="no room left on its disk"):
            store.add(heavy(2_000))
        assert [e.run_id for e in store.load()] == ["before"]
        assert store.add(heavy(20)) == 20


def test_an_import_that_does_not_fit_changes_nothing(url, tmp_path):
    with ExperienceStore("sqlite://") as source:
        source.add(heavy(2_000))
        export(source, tmp_path / "dump.jsonl")
    with ExperienceStore(url) as store:
        store.add([make_experience("before", 0)])
        with pytest.raises(StoreError, match=r"no room left on its disk.*was not changed"):
            take_in(store, read(tmp_path / "dump.jsonl"), allow_rejects=False)
        assert [e.run_id for e in store.load()] == ["before"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_that_does_not_fit_leaves_nothing(disk, tmp_path, suffix):
    with ExperienceStore(f"sqlite:///{tmp_path / 'e.db'}") as store:
        store.add(heavy(200))
        ballast = fill(disk)
        with pytest.raises(DataError, match=r"cannot write `.*No space left on device\); nothing is left"):
            export(store, disk / f"dump.{suffix}")
    assert list(disk.iterdir()) == [ballast]


def test_a_store_cannot_be_made_on_a_full_disk_and_leaves_it_usable(disk, url):
    ballast = fill(disk)
    with pytest.raises(StoreError, match=r"no room left|cannot be opened|disk reports"):
        ExperienceStore(url)
    ballast.unlink()
    with ExperienceStore(url) as store:
        assert store.add([make_experience()]) == 1


def test_an_old_store_that_cannot_be_migrated_for_lack_of_room_stays_as_it_was(disk, url):
    path = Path(shutil.copy(OLD, disk / "experience.db"))
    before = path.read_bytes()
    ballast = fill(disk)
    with pytest.raises(StoreError, match=r"no room left|disk reports"):
        ExperienceStore(url)
    assert path.read_bytes() == before
    ballast.unlink()
    with ExperienceStore(url) as store:
        assert store.count() == 6


def test_trials_wait_until_there_is_room(disk, url):
    trials = heavy(3, "run")
    with ExperienceStore(url) as store:
        ballast = fill(disk)
        box = Outbox(store, first_pause_s=1000.0)
        for trial in trials:
            box.put([trial])
        assert (box.n_waiting, store.count()) == (3, 0)
        assert "no room left on its disk" in box.news()[0]
        ballast.unlink()
        assert (box.flush(5.0), store.load()) == (0, trials)
        box.close()


def test_a_disk_that_may_only_be_read_is_named(disk, url):
    ExperienceStore(url).close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with (
        pytest.raises(StoreError, match=r"cannot be opened|can be read but not written"),
        ExperienceStore(url) as store,
    ):
        store.add([make_experience()])
    with ExperienceStore(f"sqlite:///file:{disk / 'experience.db'}?immutable=1&uri=true") as store:
        assert store.count() == 0
        with pytest.raises(StoreError, match="can be read but not written"):
            store.add([make_experience()])
