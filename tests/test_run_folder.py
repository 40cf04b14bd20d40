"""The run folder: one writer, damage refused with a reason, and nothing left of what was cut off."""

import json
import subprocess
import sys

import pytest

from xautolm.errors import RunFolderError
from xautolm.experience.run_folder import RunFolder, check_is_run, check_new


@pytest.fixture
def run(tmp_path):
    """A folder that holds a run."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.json").write_text('{"status": "running"}')
    (path / "config.yaml").write_text("data: x.csv\n")
    return path


def test_creating_and_removing_leaves_the_parents_as_they_were(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "of-today" / "reviews")
    (folder.path / "work").mkdir()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_keeps_parents_that_others_use(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "reviews")
    (tmp_path / "runs" / "other").mkdir()
    folder.remove()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty" / "run").remove()
    assert (tmp_path / "empty").is_dir()


def test_one_process_at_a_time(run):
    folder = RunFolder.open(run)
    with pytest.raises(RunFolderError, match="another process is working"):
        RunFolder.open(run)
    code = "import sys, pathlib, xautolm.experience.run_folder as f; f.RunFolder.open(pathlib.Path(sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=False)
    assert "another process is working" in ended.stderr
    folder.close()
    RunFolder.open(run).close()


def test_opening_removes_what_a_killed_process_was_writing(run):
    (run / ".run.json.123-456.tmp").write_text('{"sta')
    (run / ".model-123").mkdir()
    (run / ".model-123" / "config.json").write_text("{")
    (run / "model").mkdir()
    RunFolder.open(run).close()
    assert {path.name for path in run.iterdir()} == {"run.json", "config.yaml", "model", ".lock"}


@pytest.mark.parametrize("missing", ["run.json", "config.yaml"])
def test_a_folder_without_its_files_is_no_run(run, missing):
    (run / missing).unlink()
    with pytest.raises(RunFolderError, match=r"expected a run folder with `run.json` and `config.yaml`"):
        check_is_run(run)
    with pytest.raises(RunFolderError):
        RunFolder.open(run)


@pytest.mark.parametrize("content", ["", "{", "[1", "\x00"])
def test_damaged_json_is_refused_and_named(run, content):
    (run / "run.json").write_text(content)
    folder = RunFolder.open(run)
    with pytest.raises(RunFolderError, match=r"cannot read `.*run\.json`.*start a new one"):
        folder.read_json("run.json")
    folder.close()


def test_new_means_new_or_empty(run, tmp_path):
    with pytest.raises(RunFolderError, match="already holds a run"):
        check_new(run)
    (run / "run.json").unlink()
    with pytest.raises(RunFolderError, match="new or empty folder"):
        check_new(run)
    (run / ".lock").touch()  # of a run that was killed before it had begun
    check_new(run)
    (tmp_path / "empty").mkdir()
    check_new(tmp_path / "empty")
    check_new(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunFolderError, match="no permission"):
        check_new(run / "config.yaml" / "run")


def test_json_round_trip_and_no_nan(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("run.json", {"name": "Größe", "n": 1})
    assert folder.read_json("run.json") == {"name": "Größe", "n": 1}
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("run.json", {"n": float("nan")})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["n"] == 1
    folder.close()


def test_checkpoints_have_sizes_and_can_be_dropped(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    assert folder.checkpoint_sizes() == {}
    for trial_id, n_bytes in ((0, 10), (12, 300)):
        (folder.checkpoints / str(trial_id)).mkdir(parents=True)
        (folder.checkpoints / str(trial_id) / "trained.safetensors").write_bytes(bytes(n_bytes))
    (folder.checkpoints / "notes").mkdir()
    assert folder.checkpoint_sizes() == {0: 10, 12: 300}
    folder.drop_checkpoint(12)
    folder.drop_checkpoint(99)
    assert folder.checkpoint_sizes() == {0: 10}
    folder.close()
