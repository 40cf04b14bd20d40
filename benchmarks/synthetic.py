"""Made-up experiences in the shape of real ones, as many as wanted: what store and prior are timed with.

Pipelines are of the recorded space; tasks, machines, scores and costs are drawn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.recording.space import draw_pipeline
from xautolm.records import Cost, Experience, Profile, TrialError, TrialResult
from xautolm.space.params import Space

N_SKETCH = 256
N_SEMANTIC = 384
N_CURVE = 8
TASK_FEATURES = ("n_train", "n_classes", "entropy", "imbalance", "mean_chars", "cv_chars", "mean_words", "cv_words")
MORE_TASK_FEATURES = (
    "vocabulary",
    "landmark",
    "tokens_p50",
    "tokens_p90",
    "tokens_p99",
    "type_token_ratio",
    "nn_landmark",
)
SYSTEM_FEATURES = ("cores", "frequency_ghz", "ram_gib", "gpu_count", "gpu_memory_gib", "matmul_gflops", "step_ms")
FAILURES = (("oom", "oom_train"), ("timeout", "timeout"), ("crashed", "crashed"))
VERSIONS = {
    "xautolm": "0.1.0",
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "peft": "0.19.0",
    "optuna": "4.9.0",
    "scikit-learn": "1.8.0",
    "numpy": "2.4.0",
}


def make_experiences(
    n: int, space: Space, *, n_tasks: int = 100, n_trials: int = 100, seed: int = 0
) -> Iterator[Experience]:
    """Runs of `n_trials` trials each, on `n_tasks` tasks in turn and on one of four machines.

    Args:
        n: experiences.
        space: pipelines are drawn from it.
        n_tasks: different data sets.
        n_trials: trials per run; a third fails.
        seed: of everything drawn.
    """
    rng = random.Random(seed)
    tasks = [_draw_task(rng, space, number) for number in range(n_tasks)]
    machines = [{name: rng.uniform(0.1, 500.0) for name in SYSTEM_FEATURES} for _ in range(4)]
    for number in range(n):
        run, trial_id = divmod(number, n_trials)
        if trial_id == 0:
            machine = rng.randrange(len(machines))
            first = tasks[run % n_tasks]
            profile = replace(first.profile, system=machines[machine], system_name=f"machine {machine}, 16 cores")
            first = replace(first, run_id=f"{rng.getrandbits(128):032x}", profile=profile)
        yield replace(first, result=draw_result(rng, space, seed, number, trial_id))


def draw_result(rng: random.Random, space: Space, seed: int, number: int, trial_id: int) -> TrialResult:
    """One trial of pipeline `number` of the space; two thirds are ok."""
    is_ok = rng.random() < 2 / 3
    status, kind = ("ok", "") if is_ok else rng.choice(FAILURES)
    time_s = rng.uniform(1.0, 600.0)
    return TrialResult(
        trial_id=trial_id,
        status=status,  # type: ignore[arg-type]
        pipeline=draw_pipeline(space, seed, number),
        scores={"f1": rng.random(), "accuracy": rng.random()} if is_ok else {},
        cost=Cost(time_s, rng.uniform(0.0, 1.0), 0.8 * time_s, 0.1 * time_s, rng.uniform(100.0, 4000.0)),
        seed=rng.getrandbits(31),
        seen=tuple(range(max(0, trial_id - 8), trial_id)),
        curve=tuple((10 * (i + 1), time_s * (i + 1) / N_CURVE, rng.random()) for i in range(N_CURVE)),
        error=None if is_ok else TrialError(kind, "CUDA out of memory. Tried to allocate 20.00 MiB."),
        started_at="2026-11-28T03:04:05.678901+00:00",
        finished_at="2026-11-28T03:14:05.678901+00:00",
    )


def _draw_task(rng: random.Random, space: Space, number: int) -> Experience:
    """The first trial on a task, to be replaced."""
    profile = Profile(
        schema="classification/2",
        task={name: rng.uniform(0.0, 1000.0) for name in (*TASK_FEATURES, *MORE_TASK_FEATURES)},
        system_schema="system/2",
        system={},
        semantic=tuple(rng.gauss(0.0, 0.05) for _ in range(N_SEMANTIC)),
    )
    return Experience(
        run_id="",
        dataset_id=f"synthetic-{number}",
        fingerprint=f"{rng.getrandbits(256):064x}",
        sketch=tuple(sorted(rng.getrandbits(64) for _ in range(N_SKETCH))),
        profile=profile,
        result=draw_result(rng, space, 0, number, 0),
        space_version="1",
        versions=VERSIONS,
        model_revision=f"{rng.getrandbits(160):040x}",
        source="machine",
        created_at="2026-11-28T03:14:05.678901+00:00",
        time_limit_s=600.0,
        memory_limit_mib=4096.0,
    )
