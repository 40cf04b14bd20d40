"""`kill -9` of the coordinator at random moments: nothing that was finished is lost, nothing is run twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

N_KILLS = 10
N_TRIALS = 260
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def start(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "xautolm.cli", *arguments], stdout=output, stderr=output)


def finished_lines(folder: Path) -> list[str]:
    """Complete lines of the journal."""
    journal = folder / "trials.jsonl"
    return journal.read_text().split("\n")[:-1] if journal.exists() else []


def loads_and_predicts(model: Path) -> bool:
    """Whether the exported folder works in a fresh process, now."""
    code = (
        "import sys, transformers\n"
        "answer = transformers.pipeline('text-classification', model=sys.argv[1], truncation=True)('good and great')\n"
        "sys.exit(0 if 0 <= answer[0]['score'] <= 1 else 1)"
    )
    return subprocess.run([sys.executable, "-c", code, str(model)], check=False).returncode == 0


def worker_processes(folder: Path) -> list[int]:
    """Processes that still write into the run folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        if any("xautolm.evaluate.worker" in part for part in process.info["cmdline"] or []):
            try:
                if any(str(folder) in file.path for file in process.open_files()):
                    found.append(process.info["pid"])
            except psutil.Error:
                continue
    return found


def test_ten_kills_in_a_row_lose_and_repeat_nothing(tiny_bert: Path, opinions: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    out, log = tmp_path / "run", tmp_path / "console.log"
    fit = ["fit", str(opinions), "--models", str(tiny_bert), "--methods", "head,partial", "--out", str(out)]
    process = start(*fit, "--budget", f"{N_TRIALS}trials", "--trial-timeout", "60s", log=log)
    kept: list[str] = []
    for kill in range(N_KILLS):
        deadline = time.monotonic() + 60
        while not (out / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # From "still preparing" to "in the middle of many trials".
        time.sleep(rng.uniform(0.0, 14.0))
        assert process.poll() is None, f"the run ended before kill {kill}: {log.read_text()[-2000:]}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        lines = finished_lines(out)
        assert lines[: len(kept)] == kept, "a finished trial was lost or changed"
        kept = lines
        found = [json.loads(line) for line in lines]
        if any(trial["status"] == "ok" and trial["trial_id"] >= 0 for trial in found) and kill % 3 == 0:
            assert loads_and_predicts(out / "model"), f"no usable model after kill {kill}"
        process = start("resume", str(out), log=log)
    assert process.wait(timeout=500) == 0, log.read_text()[-3000:]
    trials = [json.loads(line) for line in finished_lines(out)]
    assert [json.dumps(trial) for trial in trials[: len(kept)]] == [json.dumps(json.loads(line)) for line in kept]
    ids = [trial["trial_id"] for trial in trials]
    assert sorted(ids) == list(range(-3, N_TRIALS)), "every trial and baseline once"
    run = json.loads((out / "run.json").read_text())
    assert (run["status"], run["n_trials"]) == ("complete", N_TRIALS)
    assert run["test"] is not None
    assert loads_and_predicts(out / "model")
    assert worker_processes(out) == []


def test_workers_die_with_a_killed_coordinator(tiny_bert: Path, opinions: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit = ["fit", str(opinions), "--models", str(tiny_bert), "--out", str(out), "--budget", "50trials"]
    process = start(*fit, "--trial-timeout", "60s", log=tmp_path / "console.log")
    deadline = time.monotonic() + 90
    while not finished_lines(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert family, "there was a worker to kill"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in family if psutil.pid_exists(pid)] == []
