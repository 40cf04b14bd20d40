"""The journal: what was appended is there, a torn line is cut off, other damage is named."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest
from experience_builders import make_result, results
from hypothesis import given, settings

from xautolm.errors import RunFolderError
from xautolm.experience.journal import Journal, read_journal, write_atomic
from xautolm.records import Pipeline, TrialError


def write_journal(path, n_trials: int) -> bytes:
    with Journal(path) as journal:
        for trial_id in range(n_trials):
            journal.append(make_result(trial_id))
    return path.read_bytes()


def test_appended_trials_are_read_back_in_order(tmp_path):
    path = tmp_path / "trials.jsonl"
    finished = [
        make_result(1),
        make_result(0, status="oom", scores={}, error=TrialError("oom_train", "CUDA out of memory")),
        make_result(2, requested=Pipeline("m", "full", {"batch": 64}), curve=()),
    ]
    with Journal(path) as journal:
        for result in finished:
            journal.append(result)
            assert read_journal(path, repair=False)[-1] == result
    with Journal(path) as journal:
        journal.append(make_result(3))
    assert read_journal(path) == [*finished, make_result(3)]


@settings(max_examples=60, deadline=None)
@given(result=results)
def test_any_result_is_one_line_and_comes_back(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "trials.jsonl"
    with Journal(path) as journal:
        journal.append(result)
    assert path.read_bytes().count(b"\n") == 1
    assert read_journal(path) == [result]


def test_missing_journal_is_a_run_without_trials(tmp_path):
    assert read_journal(tmp_path / "trials.jsonl") == []


def test_torn_last_line_is_cut_off_at_every_byte(tmp_path):
    path = tmp_path / "trials.jsonl"
    content = write_journal(path, 3)
    last_line_start = content[:-1].rfind(b"\n") + 1
    for length in range(last_line_start, len(content)):
        path.write_bytes(content[:length])
        assert [result.trial_id for result in read_journal(path, repair=False)] == [0, 1]
        assert path.stat().st_size == length
        assert [result.trial_id for result in read_journal(path)] == [0, 1]
        assert path.read_bytes() == content[:last_line_start]


def test_opening_cuts_a_torn_line_so_that_the_next_one_stands_alone(tmp_path):
    path = tmp_path / "trials.jsonl"
    content = write_journal(path, 2)
    path.write_bytes(content[:-20])
    with Journal(path) as journal:
        journal.append(make_result(5))
    assert [result.trial_id for result in read_journal(path)] == [0, 5]


@pytest.mark.parametrize(
    "damage",
    [
        b'{"trial_id": 1, "sta\n',
        b"\x00\x00\x00\x00\n",
        b"\n",
        b"[1, 2]\n",
        b'{"trial_id": 1}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=["torn", "zeros", "blank", "array", "fields missing", "not UTF-8", "deep nesting"],
)
def test_damage_before_the_end_is_named_by_line_and_nothing_is_changed(tmp_path, damage):
    path = tmp_path / "trials.jsonl"
    lines = write_journal(path, 3).splitlines(keepends=True)
    path.write_bytes(lines[0] + damage + lines[2])
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match=r"Line 2 of `.*trials\.jsonl` must be one finished trial"):
        read_journal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("trial_id", "0"), ("trial_id", True), ("status", "fine"), ("pipeline", None), ("scores", {"f1": float("nan")})],
)
def test_line_with_an_impossible_value_is_refused(tmp_path, field, value):
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps(make_result(0).to_dict() | {field: value}) + "\n")
    with pytest.raises(RunFolderError, match="Line 1 "):
        read_journal(path)


def test_trial_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    lines = write_journal(path, 2).splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + lines[0])
    with pytest.raises(RunFolderError, match="trial 0 stands on lines 1 and 3"):
        read_journal(path)


def test_result_with_nan_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "trials.jsonl"
    with Journal(path) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append(make_result(0, scores={"f1": float("nan")}))
        journal.append(make_result(1))
    assert [result.trial_id for result in read_journal(path)] == [1]


@pytest.mark.parametrize("room", [0, 1, 100, 10_000])
def test_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch, room):
    """The disk takes `room` bytes of the line, then no more; at 10,000 the fsync tells."""
    path = tmp_path / "trials.jsonl"
    before = write_journal(path, 2)
    real_write, real_fsync = os.write, os.fsync
    left = [room]

    def write(descriptor, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n_bytes = real_write(descriptor, data[: left[0]])
        left[0] -= n_bytes
        return n_bytes

    def fsync(descriptor):
        if room == 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_fsync(descriptor)

    with Journal(path) as journal:
        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            journal.append(make_result(2))
        assert path.read_bytes() == before
        monkeypatch.setattr(os, "write", real_write)
        monkeypatch.setattr(os, "fsync", real_fsync)
        journal.append(make_result(3))
    assert [result.trial_id for result in read_journal(path)] == [0, 1, 3]


def test_line_that_could_not_be_taken_back_is_cut_before_the_next(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    real_fsync, real_truncate = os.fsync, os.ftruncate

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.append(make_result(0))
        monkeypatch.setattr(os, "fsync", real_fsync)
        monkeypatch.setattr(os, "ftruncate", real_truncate)
        journal.append(make_result(1))
    assert [result.trial_id for result in read_journal(path)] == [1]


def test_every_line_is_synced_before_append_returns(tmp_path, monkeypatch):
    synced = []
    real_fsync = os.fsync

    def fsync(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        real_fsync(descriptor)

    path = tmp_path / "trials.jsonl"
    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        journal.append(make_result(0))
        assert synced == [path.stat().st_size]


def test_atomic_write_replaces_the_whole_text(tmp_path):
    path = tmp_path / "run.json"
    write_atomic(path, '{"status": "running"}\n')
    write_atomic(path, '{"état": "ü"}\n')
    assert path.read_text(encoding="utf-8") == '{"état": "ü"}\n'
    assert os.listdir(tmp_path) == ["run.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_atomic_write_keeps_the_old_text(tmp_path, monkeypatch, failing):
    path = tmp_path / "run.json"
    write_atomic(path, "old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.json"]
