"""A recording session on tiny data with a simulated backend, and pilot draws made up by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.recording.limits import save_entry
from benchmarks.recording.pilot import task_entry
from benchmarks.recording.session import Session
from benchmarks.recording.space import space_id
from benchmarks.recording.subsets import SubsetSize, load_subset
from xautolm.evaluate.fake import FakeBackend, analytic_evaluator
from xautolm.records import Cost, Pipeline, Status, Trial, TrialError, TrialResult
from xautolm.space.params import Space

SIZE = SubsetSize(12, 6)


def write_data(folder: Path, name: str, n_train: int = 40, n_validation: int = 20) -> None:
    """Two classes, three quarters of the rows in the first."""
    (folder / name).mkdir(parents=True)
    for split, n_rows in (("train", n_train), ("validation", n_validation)):
        rows = [
            {"text": f"{name} {split} words {i}", "label": "rare" if i % 4 == 0 else "common"} for i in range(n_rows)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / f"{split}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


class CountingBackend:
    """Makes simulated backends that remember every trial launched, and may call `on_launch` before it."""

    def __init__(self, space: Space, on_launch: Callable[[Trial], None] = lambda trial: None) -> None:
        self.launched: list[tuple[str, int]] = []
        self._evaluate, self._on_launch = analytic_evaluator(space), on_launch

    def __call__(self, scratch: Path, limits: Any) -> FakeBackend:
        task = scratch.name.rpartition("-")[2]

        def evaluate(trial: Trial) -> TrialResult:
            self._on_launch(trial)
            self.launched.append((task, trial.trial_id))
            return self._evaluate(trial)

        return FakeBackend(evaluate, n_slots=2)


def make_session(tmp_path: Path, space: Space, backend: Any = None, **fields: Any) -> Session:
    """A session whose tasks trec and sst2 have data and accepted limits."""
    table, data = tmp_path / "table", tmp_path / "data"
    session = Session(table, 2, backend or CountingBackend(space), space, data=data, **fields)
    if not data.exists():
        for name in ("trec", "sst2"):
            write_data(data, name)
            accept_limits(session, name)
    return session


def accept_limits(session: Session, name: str, **changes: Any) -> None:
    """Write what an accepted pilot would have decided."""
    session.table.mkdir(exist_ok=True)
    task = load_subset(session.data, name, SIZE)
    entry = {
        "accepted": True,
        "problems": [],
        "time_limit_s": 60.0,
        "memory_limit_mib": 2000.0,
        "n_train": SIZE.n_train,
        "n_validation": SIZE.n_validation,
        "fingerprint": task.fingerprint,
        "space_id": space_id(session.space),
        "pilot": {"best_constant_f1": 0.4, "failed_share": 0.35, "useless_share": 0.1, "n_workers": 2, "load_1m": 2.0},
    }
    save_entry(session.table, "limits.json", name, {**entry, **changes})
    save_entry(session.table, "tasks.json", name, task_entry(task))


def make_result(
    index: int, time_s: float = 10.0, mib: float = 300.0, f1: float = 0.8, status: Status = "ok"
) -> TrialResult:
    """A finished trial of pipeline `index`."""
    result = TrialResult(
        trial_id=index,
        status="ok",
        pipeline=Pipeline("m", "full", {"learning_rate": 1e-4, "epochs": 3, "class_weighting": False}),
        scores={"f1": f1, "accuracy": f1},
        cost=Cost(time_s=time_s, cached_s=0.5, train_s=8.0, predict_s=0.25, peak_mem_mib=mib),
        seed=7,
        curve=((1, 0.5, 0.25), (2, 1.0, 0.75)),
        n_parallel=2,
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:10.000+00:00",
    )
    if status == "ok":
        return result
    return replace(result, status=status, scores={}, curve=(), error=TrialError("some_kind", "some message"))
