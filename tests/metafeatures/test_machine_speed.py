"""The measured speed of a machine is kept in the user's cache folder; a bad file costs a measurement, not a run."""

import json
import os
import threading
from pathlib import Path

import pytest

from xautolm.metafeatures import speed
from xautolm.metafeatures.speed import MachineSpeed, read_speed, speed_file, speed_key, write_speed

FAST = MachineSpeed(matmul_gflops=812.5, train_rows_per_s=93.25)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "not" / "there" / "speed.json"


def test_what_was_written_is_read_again_and_other_keys_stay(path):
    assert read_speed(path, "a") is None
    write_speed(path, "a", FAST)
    write_speed(path, "b", MachineSpeed(1.0, 2.0))
    write_speed(path, "b", MachineSpeed(3.0, 4.0))
    assert read_speed(path, "a") == FAST
    assert read_speed(path, "b") == MachineSpeed(3.0, 4.0)
    assert read_speed(path, "c") is None
    assert [item.name for item in path.parent.iterdir()] == ["speed.json"]


DAMAGED = {
    "empty": "",
    "torn": '{"format": 1, "entries": {"a": {"matmul_gfl',
    "a list": "[1, 2]",
    "deep": "[" * 200_000,
    "older format": json.dumps({"format": 0, "entries": {"a": {"matmul_gflops": 1.0, "train_rows_per_s": 1.0}}}),
    "no entries": '{"format": 1}',
    "entry of another kind": '{"format": 1, "entries": {"a": [1, 2]}}',
    "missing figure": '{"format": 1, "entries": {"a": {"matmul_gflops": 1.0}}}',
    "text": '{"format": 1, "entries": {"a": {"matmul_gflops": "1", "train_rows_per_s": 1.0}}}',
    "true": '{"format": 1, "entries": {"a": {"matmul_gflops": true, "train_rows_per_s": 1.0}}}',
    "infinite": '{"format": 1, "entries": {"a": {"matmul_gflops": Infinity, "train_rows_per_s": 1.0}}}',
    "not a number": '{"format": 1, "entries": {"a": {"matmul_gflops": NaN, "train_rows_per_s": 1.0}}}',
    "zero": '{"format": 1, "entries": {"a": {"matmul_gflops": 0.0, "train_rows_per_s": 1.0}}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_holds_nothing_and_is_replaced(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert read_speed(path, "a") is None
    write_speed(path, "a", FAST)
    assert read_speed(path, "a") == FAST


def test_bytes_that_are_no_text_hold_nothing(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe\x00{")
    assert read_speed(path, "a") is None


@pytest.mark.parametrize("blocked", ["the folder is a file", "the file is a folder", "the kernel refuses"])
def test_a_place_that_cannot_be_written_is_done_without(tmp_path, blocked):
    path = tmp_path / "cache" / "speed.json"
    if blocked == "the folder is a file":
        path.parent.write_text("")
    elif blocked == "the file is a folder":
        path.mkdir(parents=True)
    else:
        path = Path("/proc/xautolm/speed.json")
    before = sorted(map(str, tmp_path.rglob("*")))
    write_speed(path, "a", FAST)
    assert read_speed(path, "a") is None
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_a_reader_never_sees_half_a_file(path):
    write_speed(path, "a", FAST)
    is_done = threading.Event()

    def write():
        for i in range(300):
            write_speed(path, f"key {i % 40}", MachineSpeed(float(i + 1), 1.0))
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not is_done.is_set():
        seen.append(read_speed(path, "a"))
    writer.join()
    assert set(seen) == {FAST}


def test_the_file_lies_in_the_cache_folder_of_the_user():
    assert speed_file({}) == Path.home() / ".cache" / "xautolm" / "speed.json"
    assert speed_file({"XDG_CACHE_HOME": "relative"}) == speed_file({"XDG_CACHE_HOME": ""}) == speed_file({})
    assert speed_file() == Path(os.environ["XDG_CACHE_HOME"]) / "xautolm" / "speed.json"


def test_tests_do_not_write_to_the_folders_of_the_user(own_cache):
    assert speed_file().is_relative_to(own_cache)
    assert not speed_file().is_relative_to(Path.home() / ".cache")


def test_key_tells_machines_devices_and_versions_apart(monkeypatch):
    monkeypatch.setattr(speed, "system_name", lambda device: "CPU" if device == "cpu" else f"CPU, GPU {device[-1:]}")
    monkeypatch.setattr(speed, "usable_cores", lambda: 8)
    monkeypatch.setattr(speed, "version", lambda name: "2.9")
    keys = [speed_key("cpu", 1), speed_key("cpu", 2), speed_key("cuda:0", 1), speed_key("cuda:1", 1)]
    monkeypatch.setattr(speed, "version", lambda name: "3.0")
    keys.append(speed_key("cpu", 1))
    monkeypatch.setattr(speed, "usable_cores", lambda: 4)
    keys.append(speed_key("cpu", 1))
    assert len(set(keys)) == len(keys)
    monkeypatch.setattr(speed, "system_name", lambda device: "CPU, GPU")
    assert speed_key("cuda:0", 1) == speed_key("cuda:1", 1)  # equal GPUs
