"""Searches under limits that are far too small end well: what was left out and why, and an exit code that tells."""

import json
from pathlib import Path

import pytest
from command_line import xautolm

DATA = Path(__file__).parents[2] / "examples" / "data" / "pros_cons.csv"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def fit(tmp_path, store, *options):
    """The finished command and its run folder."""
    done = xautolm(
        *(
            "fit",
            DATA,
            "--target",
            "label",
            "--budget",
            "8trials",
            "--no-starter",
            "--seed",
            0,
            "--out",
            "run",
            *options,
        ),
        cwd=tmp_path,
        store=store,
        check=False,
    )
    return done, tmp_path / "run"


def check_report(done, run):
    """Everything that was dropped is in the report, with its reason, and failures are counted."""
    facts = json.loads((run / "run.json").read_text())
    assert facts["memory_limit_by"] in {"cgroup", "polling"}
    assert facts["n_trials"] == facts["n_ok"] + facts["n_stopped"] + facts["n_failed"] == 8
    dropped = json.loads((run / "space.json").read_text())["dropped"]
    page = (run / "report.html").read_text()
    for item in dropped:
        assert item["what"] in page
        assert item["reason"] in page
    assert ("Left out before the search" in done.stdout) == bool(dropped)
    assert (f"Failed: {facts['n_failed']}" in done.stdout) or not facts["n_failed"]
    kinds = [json.loads(line)["status"] for line in (run / "trials.jsonl").read_text().splitlines()]
    assert "crashed" not in kinds
    return facts, kinds, dropped


def test_memory_for_the_smallest_pipelines_only(tmp_path, own_store):
    done, run = fit(tmp_path, own_store, "--memory", "280MiB")
    assert done.returncode == 0, done.stderr
    facts, kinds, dropped = check_report(done, run)
    assert facts["status"] == "complete"
    assert dropped
    assert kinds.count("ok") >= 4
    assert "the limit is 280 MiB" in done.stdout
    assert (run / "model" / "config.json").is_file()


def test_memory_for_nothing_is_refused_before_anything_is_written(tmp_path, own_store):
    done, run = fit(tmp_path, own_store, "--memory", "60MiB")
    assert done.returncode == 2
    assert "the limit is 60 MiB. Raise `--memory`" in done.stderr
    assert not run.exists()


def test_five_seconds_a_trial(tmp_path, own_store):
    done, run = fit(tmp_path, own_store, "--trial-timeout", "5s")
    assert done.returncode == 0, done.stderr
    # What five seconds leave out depends on how fast the machine is: on a fast one nothing. That a slow machine leaves
    # parts out is tested without a clock, in tests/space/test_build_space.py.
    facts, kinds, _ = check_report(done, run)
    assert facts["status"] == "complete"
    assert set(kinds) <= {"ok", "timeout", "stopped"}
