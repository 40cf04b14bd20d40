"""A small space, and experiences made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from xautolm.records import Cost, Experience, ParamValue, Pipeline, Profile, Status, TrialError, TrialResult
from xautolm.space.params import Categorical, Float, Int, MethodSpace, Space


@pytest.fixture
def space() -> Space:
    full = {
        "learning_rate": Float(1e-5, 1e-3, log=True),
        "batch_size": Categorical((8, 16, 32)),
        "epochs": Int(1, 10),
        "class_weighting": Categorical((False, True)),
    }
    default: Mapping[str, ParamValue] = {
        "learning_rate": 1e-4,
        "batch_size": 16,
        "epochs": 3,
        "class_weighting": False,
    }
    head = MethodSpace("head", ("s", "m", "l"), {"c": Float(1e-3, 1e2, log=True)}, {"c": 1.0})
    return Space({}, {"full": MethodSpace("full", ("s", "m", "l"), full, default), "head": head})


@pytest.fixture
def pipeline() -> Callable[..., Pipeline]:
    def make(model: str = "m", **params: ParamValue) -> Pipeline:
        full = {"learning_rate": 1e-4, "batch_size": 16, "epochs": 3, "class_weighting": False}
        return Pipeline(model, "full", {**full, **params})

    return make


@pytest.fixture
def profile() -> Callable[..., Profile]:
    def make(rows: float = 1000.0, classes: float = 2.0, semantic: tuple[float, ...] | None = None) -> Profile:
        task = {"n_train": rows, "n_classes": classes}
        return Profile("classification/1", task, "system/1", {"ram_gib": 8.0, "gpu_memory_gib": 0.0}, semantic)

    return make


@pytest.fixture
def experience(profile: Callable[..., Profile]) -> Callable[..., Experience]:
    def make(
        pipeline: Pipeline,
        *,
        status: Status = "ok",
        f1: float = 0.8,
        time_s: float = 10.0,
        dataset: str = "other",
        kind: str = "",
        features: Profile | None = None,
        sketch: tuple[int, ...] = (),
    ) -> Experience:
        result = TrialResult(
            trial_id=0,
            status=status,
            pipeline=pipeline,
            scores={"f1": f1} if status == "ok" else {},
            cost=Cost(time_s),
            seed=0,
            error=None if status == "ok" else TrialError(kind or status, ""),
        )
        return Experience(
            run_id=f"run-{dataset}",
            dataset_id=dataset,
            fingerprint=f"fp-{dataset}",
            sketch=sketch,
            profile=features or profile(),
            result=result,
            space_version="1",
            versions={},
            model_revision="",
            source="machine",
            created_at="",
        )

    return make
