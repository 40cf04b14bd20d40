"""Evaluators without torch: an analytic one, a replayed journal, and a backend with a virtual clock for both.

They stand in for real trials in tests, docs and dry runs of the search.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from xautolm.errors import RunError
from xautolm.records import (
    Cost,
    ModelSpec,
    ParamValue,
    Pipeline,
    Progress,
    Status,
    Trial,
    TrialError,
    TrialResult,
)
from xautolm.space.params import Categorical, Domain, Float, Int, MethodSpace, Space

Evaluate = Callable[[Trial], TrialResult]

#: Batch tokens times million parameters above which an analytic trial runs out of memory.
_MEMORY_LIMIT = 200_000.0
#: Seconds after which an analytic trial times out.
_TIME_LIMIT_S = 600.0
#: Share of the learning rate's range above which an analytic trial diverges.
_DIVERGES_ABOVE = 0.92
#: Best position of hyperparameters of which more helps and costs; others have their own.
_MORE_HELPS = {"epochs": 0.8, "max_length": 0.8, "train_fraction": 0.9}


class FakeBackend:
    """A backend that evaluates at once and delivers in the order of simulated durations.

    Args:
        evaluate: gives a trial's result; `cost.time_s` is its simulated duration.
        n_slots: trials that "run" at the same time.
    """

    def __init__(self, evaluate: Evaluate, n_slots: int = 1) -> None:
        self._evaluate = evaluate
        self._n_slots = n_slots
        self._now_s = 0.0
        self._running: list[tuple[float, float, TrialResult]] = []

    @property
    def n_slots(self) -> int:
        return self._n_slots

    def now(self) -> float:
        """Virtual seconds since the start; give it to the run's `Clock`."""
        return self._now_s

    def submit(self, trial: Trial) -> None:
        if len(self._running) >= self._n_slots:
            raise RuntimeError(f"all {self._n_slots} slots are taken, trial {trial.trial_id} cannot start")
        result = replace(self._evaluate(trial), n_parallel=len(self._running) + 1)
        self._running.append((self._now_s + result.cost.time_s, self._now_s, result))

    def poll(self, timeout_s: float) -> list[TrialResult]:
        """Let virtual time pass until the next trial ends, at most `timeout_s`."""
        self._now_s = min([*(end for end, _, _ in self._running), self._now_s + timeout_s])
        done = sorted((item for item in self._running if item[0] <= self._now_s), key=lambda i: (i[0], i[2].trial_id))
        self._running = [item for item in self._running if item[0] > self._now_s]
        return [result for _, _, result in done]

    def running(self) -> list[Progress]:
        return [
            Progress(
                result.trial_id,
                result.pipeline,
                elapsed_s=self._now_s - start,
                stage="train",
                curve=tuple(point for point in result.curve if point[1] <= self._now_s - start),
                n_steps=result.curve[-1][0] if result.curve else 0,
            )
            for _, start, result in self._running
        ]

    def stop(self, trial_id: int, reason: str) -> None:
        """End a trial now; its result is `stopped` and costs what it took so far."""
        end, start, result = next(item for item in self._running if item[2].trial_id == trial_id)
        self._running.remove((end, start, result))
        elapsed_s = self._now_s - start
        stopped = replace(
            result,
            status="stopped",
            scores={},
            cost=Cost(time_s=elapsed_s, peak_mem_mib=result.cost.peak_mem_mib),
            curve=tuple(point for point in result.curve if point[1] <= elapsed_s),
            error=TrialError("dominated", reason),
        )
        self._running.append((self._now_s, start, stopped))

    def stop_all(self) -> None:
        self._running = []


class ReplayEvaluator:
    """Answers trials with the recorded results of a run, read from its journal.

    Args:
        results: one result per trial id.
    """

    def __init__(self, results: Sequence[TrialResult]) -> None:
        self._results = {result.trial_id: result for result in results}

    def __call__(self, trial: Trial) -> TrialResult:
        """The recorded result.

        Raises:
            RunError: the journal has no such trial, or recorded it with another pipeline.
        """
        result = self._results.get(trial.trial_id)
        if result is None:
            raise RunError(f"the journal has no trial {trial.trial_id}; it has {len(self._results)} trials")
        recorded = result.requested or result.pipeline
        if recorded != trial.pipeline:
            raise RunError(
                f"trial {trial.trial_id} of the journal is {recorded.to_dict()!r}, "
                f"but the search now proposes {trial.pipeline.to_dict()!r}"
            )
        return result


def analytic_space() -> Space:
    """A space of the usual shape for the analytic evaluator: four models, and four methods with their ranges."""
    sizes = {"tiny": 5_000_000, "small": 14_000_000, "base": 23_000_000, "large": 110_000_000}
    models = {name: _analytic_model(name, n_params) for name, n_params in sizes.items()}
    shared: dict[str, Domain] = {
        "max_length": Categorical((32, 64, 128, 256)),
        "train_fraction": Categorical((0.25, 0.5, 1.0)),
        "class_weighting": Categorical((False, True)),
    }
    shared_default: dict[str, ParamValue] = {"max_length": 64, "train_fraction": 0.5, "class_weighting": False}

    def method(name: str, own: Mapping[str, Domain], default: Mapping[str, ParamValue]) -> MethodSpace:
        return MethodSpace(name, tuple(models), {**own, **shared}, {**default, **shared_default})

    methods = (
        method("full", _gradient_params(1e-5, 1e-3), _gradient_default(1e-4)),
        method(
            "partial",
            {"n_layers": Categorical((1, 2, 4)), **_gradient_params(1e-5, 1e-3)},
            {"n_layers": 2, **_gradient_default(1e-4)},
        ),
        method(
            "lora",
            {"lora_r": Categorical((4, 8, 16, 32)), **_gradient_params(1e-4, 5e-3)},
            {"lora_r": 8, **_gradient_default(1e-3)},
        ),
        method("head", {"c": Float(1e-3, 1e2, log=True)}, {"c": 1.0}),
    )
    return Space(models, {part.method: part for part in methods})


def _analytic_model(name: str, n_params: int) -> ModelSpec:
    return ModelSpec(
        name=name,
        path="",
        revision="analytic",
        model_type="bert",
        n_layers=6,
        is_cut=False,
        n_params=n_params,
        n_params_embedding=n_params // 2,
        hidden=384,
        n_heads=12,
        intermediate=1536,
        vocabulary=30522,
        context=512,
        poolings=("mean",),
    )


def _gradient_params(low: float, high: float) -> dict[str, Domain]:
    return {
        "learning_rate": Float(low, high, log=True),
        "batch_size": Categorical((8, 16, 32, 64)),
        "epochs": Int(1, 6, log=True),
        "warmup_ratio": Categorical((0.0, 0.06, 0.15)),
        "weight_decay": Categorical((0.0, 0.01, 0.1)),
        "dropout": Categorical((0.0, 0.1, 0.2)),
    }


def _gradient_default(learning_rate: float) -> dict[str, ParamValue]:
    return {
        "learning_rate": learning_rate,
        "batch_size": 16,
        "epochs": 2,
        "warmup_ratio": 0.06,
        "weight_decay": 0.01,
        "dropout": 0.1,
    }


def analytic_evaluator(space: Space, *, seed: int = 0, noise: float = 0.005) -> Evaluate:
    """A smooth stand-in for fine-tuning on some task.

    Larger models and more epochs, rows and tokens score better and cost more; every other hyperparameter has its
    own best position; too much memory, time or learning rate fails as it would in earnest.

    Args:
        space: gives domains and model sizes.
        seed: chooses the task, that is the best positions.
        noise: standard deviation of the score, drawn from the trial's seed.
    """

    def evaluate(trial: Trial) -> TrialResult:
        pipeline = trial.pipeline
        time_s, memory = _analytic_cost(space, pipeline)
        failure = _analytic_failure(space, pipeline, time_s, memory)
        result = TrialResult(
            trial_id=trial.trial_id,
            status="ok",
            pipeline=pipeline,
            scores={},
            cost=Cost(time_s=min(time_s, _TIME_LIMIT_S), peak_mem_mib=memory / 100),
            seed=trial.seed,
            seen=trial.seen,
        )
        if failure is not None:
            status, error = failure
            return replace(result, status=status, error=error)
        spread = noise * float(np.random.default_rng(trial.seed).standard_normal())
        score = min(max(analytic_score(space, pipeline, seed) + spread, 0.0), 1.0)
        return replace(result, scores={"f1": score, "accuracy": score})

    return evaluate


def analytic_score(space: Space, pipeline: Pipeline, seed: int = 0) -> float:
    """The noise-free score of `analytic_evaluator`, in (0, 1)."""
    part = space.methods[pipeline.method]
    size = math.log10(_million_params(space, pipeline.model))
    score = 0.55 + 0.08 * size + 0.1 * _unit(seed, "method", pipeline.method)
    for name, domain in part.params.items():
        best = _MORE_HELPS.get(name, 0.25 + 0.5 * _unit(seed, pipeline.method, name))
        weight = 0.6 if name == "learning_rate" else 0.15
        score -= weight * (_position(domain, pipeline.params[name]) - best) ** 2
    return min(max(score, 0.01), 0.99)


def _analytic_cost(space: Space, pipeline: Pipeline) -> tuple[float, float]:
    """Seconds, and batch tokens times million parameters."""
    numbers = {n: float(v) for n, v in pipeline.params.items() if isinstance(v, int | float)}
    size = _million_params(space, pipeline.model)
    length = numbers.get("max_length", 128.0)
    tokens = numbers.get("epochs", 1.0) * numbers.get("train_fraction", 1.0) * length
    frozen = 0.2 if pipeline.method == "head" else 1.0
    return 1.0 + 0.01 * frozen * size * tokens, size * numbers.get("batch_size", 16.0) * length * frozen


def _analytic_failure(
    space: Space, pipeline: Pipeline, time_s: float, memory: float
) -> tuple[Status, TrialError] | None:
    rate = space.methods[pipeline.method].params.get("learning_rate")
    if memory > _MEMORY_LIMIT:
        return "oom", TrialError("oom_train", "simulated: the batch does not fit")
    if time_s > _TIME_LIMIT_S:
        return "timeout", TrialError("timeout", f"simulated: longer than {_TIME_LIMIT_S:.0f} s")
    if rate is not None and _position(rate, pipeline.params["learning_rate"]) > _DIVERGES_ABOVE:
        return "diverged", TrialError("diverged", "simulated: the loss is not finite")
    return None


def _million_params(space: Space, model: str) -> float:
    spec = space.models.get(model)
    return max(spec.n_params / 1e6, 1.0) if spec else 20.0


def _position(domain: Domain, value: ParamValue) -> float:
    """Where a value lies in its domain, from 0 to 1."""
    if isinstance(domain, Categorical):
        return domain.choices.index(value) / max(len(domain.choices) - 1, 1)
    low, high, number = float(domain.low), float(domain.high), float(value)
    if domain.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low) if high > low else 0.5


def _unit(*parts: object) -> float:
    """A fixed number in [0, 1) that stands for some words."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
