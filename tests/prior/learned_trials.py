"""Trials of a make-believe machine whose memory, time and scores follow simple laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from xautolm.prior.anatomy import ModelBook
from xautolm.prior.costs import Setting
from xautolm.prior.evidence import Rated
from xautolm.prior.physics import INPUTS, Physicist
from xautolm.records import Cost, Experience, ParamValue, Pipeline, Profile, Status, TrialError, TrialResult

MODELS = ("bert-base-uncased", "bert-large-uncased", "distilbert-base-uncased", "google/electra-small-discriminator")
TIME_LIMIT_S, MEMORY_LIMIT_MIB = 900.0, 6000.0
#: The machine is this much slower than estimated.
SLOWNESS = 1.7
#: Errors of the estimates and of the scores.
NOISE = 0.15


def profile(n_train: float = 2000.0) -> Profile:
    task = {"n_train": n_train, "n_classes": 4.0, "imbalance": 0.5, "mean_chars": 120.0, "cv_chars": 0.5}
    system = {"physical_cores": 8.0, "max_frequency_ghz": 3.0, "ram_gib": 64.0, "gpu_memory_gib": 0.0}
    return Profile("classification/1", task, "system/1", system)


def setting(n_train: float = 2000.0) -> Setting:
    return Setting(profile(n_train), TIME_LIMIT_S, MEMORY_LIMIT_MIB)


def draw(rng: np.random.Generator) -> Pipeline:
    params: Mapping[str, ParamValue] = {
        "learning_rate": float(10 ** rng.uniform(-5.5, -3.5)),
        "batch_size": int(rng.choice([4, 16, 64, 256])),
        "epochs": int(rng.integers(1, 9)),
        "max_length": int(rng.choice([64, 128, 512])),
        "train_fraction": 1.0,
        "warmup_ratio": 0.06,
        "weight_decay": 0.01,
        "dropout": 0.1,
        "pooling": "mean",
        "class_weighting": False,
    }
    method = str(rng.choice(["full", "lora"]))
    extra: dict[str, ParamValue] = {"lora_r": 8, "lora_alpha_ratio": 2} if method == "lora" else {}
    return Pipeline(str(rng.choice(MODELS)), method, {**params, **extra})


def ended(pipeline: Pipeline, n_train: float, rng: np.random.Generator) -> tuple[Status, float, float, float]:
    """Status, seconds, MiB and score by the laws of the machine; the score is best at a rate of 1e-4."""
    values = dict(zip(INPUTS, Physicist(ModelBook()).row(pipeline, setting(n_train)), strict=True))
    time_s = SLOWNESS * math.exp(values["log_time"] + NOISE * rng.normal())
    memory_mib = math.exp(values["log_memory"] + NOISE * rng.normal())
    rate = math.log10(float(pipeline.params["learning_rate"]))
    score = 0.8 - 0.2 * (rate + 4.0) ** 2 + 0.02 * values["log_layers"] + 0.02 * rng.normal()
    status: Status = "oom" if memory_mib > MEMORY_LIMIT_MIB else "timeout" if time_s > TIME_LIMIT_S else "ok"
    return status, time_s, memory_mib, score


def trial(
    i: int,
    pipeline: Pipeline,
    *,
    status: Status = "ok",
    kind: str = "",
    f1: float = 0.7,
    time_s: float = 100.0,
    memory_mib: float | None = None,
    task: str = "a",
    n_train: float = 2000.0,
) -> Experience:
    error = None if status == "ok" else TrialError(kind or status, "")
    scores = {"f1": f1} if status == "ok" else {}
    result = TrialResult(i, status, pipeline, scores, Cost(time_s, peak_mem_mib=memory_mib), 0, error=error)
    return Experience(
        run_id=f"run-{task}",
        dataset_id=task,
        fingerprint=f"fp-{task}",
        sketch=(),
        profile=profile(n_train),
        result=result,
        space_version="1",
        versions={},
        model_revision="",
        source="machine",
        created_at="",
        time_limit_s=TIME_LIMIT_S,
        memory_limit_mib=MEMORY_LIMIT_MIB,
    )


def trials(n: int, task: str, n_train: float = 2000.0, seed: int = 0) -> list[Experience]:
    """Trials of random pipelines on one task."""
    rng = np.random.default_rng(seed)
    made = []
    shared = profile(n_train)
    for i in range(n):
        pipeline = draw(rng)
        status, time_s, memory_mib, score = ended(pipeline, n_train, rng)
        seconds = min(time_s, TIME_LIMIT_S)
        one = trial(i, pipeline, status=status, f1=score, time_s=seconds, memory_mib=memory_mib, task=task)
        made.append(replace(one, profile=shared))
    return made


def rated(experiences: list[Experience], distance: float = 0.0) -> list[Rated]:
    return [Rated(experience, distance, {}) for experience in experiences]
