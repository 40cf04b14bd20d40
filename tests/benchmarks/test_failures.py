"""The count of failures: what counts, what does not, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import failures
from xautolm.errors import RunError
from xautolm.records import Cost, Pipeline, TrialError, TrialResult

PIPELINE = Pipeline("m", "head", {"c": 1.0})


def trial(status: str, kind: str | None = None, requested: Pipeline | None = None) -> TrialResult:
    error = TrialError(kind, "why") if kind else None
    scores = {"f1": 0.5} if status == "ok" else {}
    return TrialResult(0, status, PIPELINE, scores, Cost(1.0, peak_mem_mib=9.0), 0, error=error, requested=requested)  # type: ignore[arg-type]


TRIALS = [
    trial("ok"),
    trial("ok", requested=PIPELINE),
    trial("stopped", "dominated"),
    trial("oom", "oom_host"),
    trial("oom", "oom_host"),
    trial("crashed", "died"),
]


def test_failures_are_counted_by_kind_and_rescues_and_stops_are_none() -> None:
    assert failures.kinds(TRIALS) == {"oom (oom_host)": 2, "crashed (died)": 1}
    lines = failures.report({"sst2": TRIALS}).splitlines()
    assert lines[2] == "| sst2 | 6 | 1 | 1 | 3 | crashed (died) 1, oom (oom_host) 2 |"
    assert lines[-1] == "3 of 6 failed (at most 4 of 120), 1 crashed (none)"


def test_every_task_is_searched_and_the_trials_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def run(name: str, n_trials: int, out: Path) -> list[TrialResult]:
        asked.append((name, n_trials))
        return TRIALS

    path = tmp_path / "failures.json"
    assert failures.main(["--json", str(path)], run=run) == 0
    assert asked == [("sst2", 40), ("mrpc", 40), ("trec", 40)]
    assert "9 of 18 failed" in capsys.readouterr().out
    rows = json.loads(path.read_text())["trials"]["trec"]
    assert [row["status"] for row in rows] == [result.status for result in TRIALS]
    assert rows[3]["error"] == {"kind": "oom_host", "message": "why"}


def test_a_search_that_cannot_run_ends_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, n_trials: int, out: Path) -> list[TrialResult]:
        raise RunError("no trial worked")

    assert failures.main(["--quick"], run=run) == 1
    assert "sst2: no trial worked" in capsys.readouterr().err
