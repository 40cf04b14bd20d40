"""Fabricated run folders: `make_run` writes one, `trial` makes one line of its journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from xautolm.prior.model import SearchModel
from xautolm.prior.reference import ReferenceOptions
from xautolm.records import Cost, Pipeline, TrialError, TrialResult
from xautolm.space.build import space_to_dict
from xautolm.space.params import Categorical, Domain, Int, MethodSpace, Space

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PARAMS = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 16, "max_length": 64, "warmup_ratio": 0.1}

TrialMaker = Callable[..., TrialResult]
RunMaker = Callable[..., Path]


def make_trial(
    trial_id: int,
    f1: float | None = None,
    time_s: float = 10.0,
    *,
    status: str = "",
    model: str = "all-MiniLM-L6-v2@3",
    method: str = "lora",
    params: dict[str, Any] | None = None,
    error: tuple[str, str] | None = None,
    start_s: float | None = None,
) -> TrialResult:
    began = START + timedelta(seconds=20.0 * trial_id if start_s is None else start_s)
    curve = ((5, time_s / 3, f1 - 0.1), (10, time_s / 2, f1)) if f1 is not None else ()
    return TrialResult(
        trial_id=trial_id,
        status=status or ("ok" if f1 is not None else "oom"),  # type: ignore[arg-type]
        pipeline=Pipeline(model, method, PARAMS | (params or {})),
        scores={"f1": f1} if f1 is not None else {},
        cost=Cost(time_s=time_s, train_s=time_s / 2, peak_mem_mib=400.0),
        seed=trial_id,
        curve=curve,
        error=TrialError(*error) if error else None,
        started_at=began.isoformat(),
        finished_at=(began + timedelta(seconds=time_s)).isoformat(),
    )


def write_run(folder: Path, trials: Sequence[TrialResult], extras: dict[str, Any] | None = None, **run: Any) -> Path:
    """Write a run folder; keywords replace entries of `run.json`, `extras` are the optional files by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = sorted((t for t in trials if t.is_ok), key=lambda t: (t.cost.time_s, -t.scores["f1"]))
    front = [t.trial_id for i, t in enumerate(scored) if all(t.scores["f1"] > o.scores["f1"] for o in scored[:i])]
    content = {
        "run_id": "run-1",
        "task": "text-classification",
        "status": "complete",
        "n_trials": sum(not t.is_baseline for t in trials),
        "n_baselines": sum(t.is_baseline for t in trials),
        "n_ok": len(scored),
        "n_stopped": sum(t.status == "stopped" for t in trials),
        "n_failed": sum(t.status not in ("ok", "stopped") for t in trials),
        "wall_s": 150.0,
        "elapsed_s": 150.0,
        "budget": {"wall_s": 180.0, "n_trials": None},
        "objectives": [{"name": "f1", "direction": "maximize"}, {"name": "time", "direction": "minimize"}],
        "front": front,
        "best": next((i for i in reversed(front) if i >= 0), None),
        "test": {"f1": 0.831} if front else None,
        "prior": {"kind": "none", "n_experiences": 0, "weight": 0.0},
        "seed": 0,
        "versions": {"xautolm": "0.1.0", "torch": "2.13.0"},
        "machine": {"cpu": "2 cores", "memory_gib": 7.6},
        "dataset_id": "reviews",
        "refit": None,
        "notes": [],
        "baselines": {t.pipeline.method: t.trial_id for t in trials if t.is_baseline},
    } | run
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    lines = [json.dumps(t.to_dict()) + "\n" for t in trials]
    (folder / "trials.jsonl").write_text("".join(lines), encoding="utf-8")
    for stem, value in (extras or {}).items():
        (folder / f"{stem}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def typical_trials() -> list[TrialResult]:
    """Three trials on the front (2, 0, 4), one dominated, one stopped, two failures."""
    return [
        make_trial(0, 0.80, 10.0),
        make_trial(1, 0.70, 30.0, method="full"),
        make_trial(2, 0.60, 2.0, method="head", model="all-MiniLM-L6-v2@1"),
        make_trial(3, time_s=5.0, error=("oom_train", "needed 9 GiB, limit 6 GiB")),
        make_trial(4, 0.815, 40.0, method="full", params={"train_fraction": 0.5}),
        make_trial(5, time_s=20.0, status="timeout", error=("timeout", "longer than 20 s")),
        replace(make_trial(6, time_s=6.0), status="stopped"),
    ]


TYPICAL_EXTRAS: dict[str, Any] = {
    "space": {
        "models": [{"name": "all-MiniLM-L6-v2@3"}, {"name": "all-MiniLM-L6-v2@1"}],
        "methods": [{"method": name} for name in ("head", "lora", "full")],
        "dropped": [{"what": "roberta-large full", "reason": "needs 11.2 GiB, the limit is 6.0 GiB"}],
    },
    "prior": {
        "kind": "reference",
        "n_experiences": 120,
        "weight": 0.8,
        "neighbours": [{"dataset_id": "sst2", "distance": 0.12, "n_positive": 30, "n_negative": 10}],
    },
    "data": {
        "dataset_id": "reviews",
        "rows": {"train": 8000, "validation": 1000, "test": 1000},
        "labels": {"pro": 5100, "con": 4900},
        "length_tokens": {"p50": 14, "p90": 41, "p99": 77, "max": 240},
        "warnings": ["12 duplicate rows"],
        "profile": {"n_classes": 2.0, "entropy": 0.999},
    },
}


def warm_extras() -> dict[str, Any]:
    """The optional files of a run whose prior preferred heads of model `s`."""
    params: Mapping[str, Domain] = {"epochs": Int(1, 9), "pooling": Categorical(("mean", "first"))}
    full = MethodSpace("full", ("s", "m"), params, {"epochs": 3, "pooling": "mean"})
    space = Space({}, {"full": full, "head": MethodSpace("head", ("s", "m"), {}, {})})
    cold = SearchModel.informed(space, ReferenceOptions().default_share)
    warm = cold.updated([Pipeline("s", "head", {})], 0.5).updated([Pipeline("m", "full", {"epochs": 9})], 0.3)
    groups = {"task": 0.4, "system": 0.1}
    neighbour = {"dataset_id": "sst2", "distance": 0.3, "n_positive": 30, "n_negative": 10, "groups": groups}
    prior = {"kind": "reference", "n_experiences": 40, "weight": 1.0, "neighbours": [neighbour]}
    return TYPICAL_EXTRAS | {"space": space_to_dict(space), "prior": prior | {"model": warm.to_dict()}}


@pytest.fixture
def trial() -> TrialMaker:
    return make_trial


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    def make(trials: Sequence[TrialResult] | None = None, extras: dict[str, Any] | None = None, **run: Any) -> Path:
        return write_run(tmp_path / "run", typical_trials() if trials is None else trials, extras, **run)

    return make
