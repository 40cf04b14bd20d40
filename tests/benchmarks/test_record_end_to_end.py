"""A real recording, killed with SIGKILL and resumed: the cheapest pipelines on a few rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data"
CHEAP = """
import sys
from benchmarks.record import main
from xautolm.records import Pipeline

def draw(space, seed, index):
    params = {"max_length": 64, "pooling": "mean", "train_fraction": 1.0, "class_weighting": False}
    return Pipeline("all-MiniLM-L6-v2@1", "head", {"c": 0.01 * (1 + index), **params})

sys.exit(main(sys.argv[1:], draw=draw))
"""


def start(table: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHEAP, "--table", str(table), "--tasks", "trec", *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_recording_goes_on_without_a_duplicate(tmp_path: Path) -> None:
    if not (DATA / "trec").is_dir():
        pytest.skip(f"no data in {DATA / 'trec'}")
    sys.path.insert(0, str(REPOSITORY))
    from benchmarks.recorded import load_table
    from benchmarks.recording.limits import read_limits, save_entry

    pilot = start(tmp_path, "--pilot", "--train", "90", "--valid", "45")
    output = pilot.communicate(timeout=200)[0]
    assert pilot.returncode == 0, output
    # Thirty almost equal trials cannot be told apart by time, so the limits themselves are set by hand.
    entry = read_limits(tmp_path)["trec"]
    generous = {"accepted": True, "problems": [], "time_limit_s": 60.0, "memory_limit_mib": 2000.0}
    save_entry(tmp_path, "limits.json", "trec", {**entry, **generous})

    journal = tmp_path / ".partial-trec.jsonl"
    recording = start(tmp_path, "--n", "10")
    deadline = time.monotonic() + 60
    while (not journal.exists() or journal.read_bytes().count(b"\n") < 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(recording.pid, signal.SIGKILL)
    recording.communicate(timeout=30)
    n_before = journal.read_bytes().count(b"\n")
    assert 3 <= n_before < 10

    resumed = start(tmp_path, "--n", "10")
    output = resumed.communicate(timeout=100)[0]
    assert resumed.returncode == 0, output
    assert f"trec: {n_before} of 10 recorded" in output
    frame = load_table("trec", tmp_path)
    assert frame["pipeline"].tolist() == list(range(10))
    assert set(frame["status"]) == {"ok"}
    assert (frame["f1"] > frame["best_constant_f1"]).all()
    assert (frame["n_threads"] == 1).all()
    assert frame["cached_s"].max() > 0
    assert "| trec | 10 | 0% |" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everyday_trials_are_recorded_for_real_and_go_on(tmp_path: Path) -> None:
    if not (DATA / "trec").is_dir():
        pytest.skip(f"no data in {DATA / 'trec'}")
    sys.path.insert(0, str(REPOSITORY))
    from benchmarks.recorded import load_table

    table = tmp_path / "everyday"
    command = [sys.executable, "-m", "benchmarks.everyday", "--tasks", "trec", "--table", str(table)]
    size = ["--train", "90", "--valid", "45", "--memory", "2000"]
    for n in ("4", "10"):
        done = subprocess.run([*command, *size, "--n", n], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "trec: 4 of 10 recorded, 6 to go" in done.stdout
    frame = load_table("trec", table)
    assert set(frame["status"]) == {"ok"}
    assert set(frame["method"]) == {"head", "partial", "lora", "full"}
    assert set(frame["n_train"]) == {90}
    assert "| trec | 10 | 0% |" in (table / "README.md").read_text()
