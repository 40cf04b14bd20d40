"""A recorded task as a function of any pipeline: how long it takes, what it needs, what it scores.

Fitted to the recorded rows of one task only, so that nothing of other tasks leaks into it. Time and memory are
Gaussian processes on logarithms; rows that hit a limit are censored: their value is only known to be at least the
limit, and is set to what the model itself expects there (a few rounds of expectation and fit; Schmee and Hahn, 1979).
The score is the mean of a Gaussian process and a forest, fitted to rows that have one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xautolm.records import Cost, ModelSpec, Pipeline, Trial, TrialError, TrialResult

Array = npt.NDArray[np.float64]

_ROUNDS = 4
#: Rows that hit a limit are first taken to need this much more than it.
_FIRST_EXCESS = 0.3
_N_FOLDS = 10
#: Methods in the order of their indicator columns.
_METHODS = ("head", "partial", "lora", "full")


def features(pipeline: Pipeline, models: Mapping[str, ModelSpec], n_train: int) -> Array:
    """What cost and quality depend on, mostly as logarithms, (n_features,).

    Args:
        pipeline: of the recorded space.
        models: name -> facts.
        n_train: training rows of the task.
    """
    method, model = pipeline.method, models[pipeline.model]
    value = {name: float(v) for name, v in pipeline.params.items() if not isinstance(v, str)}
    is_trained = method != "head"
    rows = n_train * value.get("train_fraction", 1.0) * value.get("epochs", 1.0)
    batch = value.get("batch_size", 64.0)
    rate = math.log10(value.get("learning_rate", 1e-4))
    steps = math.log10(max(rows / batch, 0.5))
    return np.asarray(
        [
            *(method == name for name in _METHODS),
            math.log2(model.n_layers),
            math.log10(value.get("c", 1.0)),
            (rate + 4.0) * (method in ("full", "partial")),
            (rate + 3.2) * (method == "lora"),
            (rate + 4.0 + steps) * is_trained,
            math.log2(batch) * is_trained,
            math.log2(value.get("epochs", 1.0)),
            math.log2(value.get("train_fraction", 1.0)),
            steps * is_trained,
            math.log2(value.get("max_length", 64.0)),
            math.log2(value.get("n_layers", float(model.n_layers))),
            math.log2(value.get("lora_r", 8.0)),
            pipeline.params.get("pooling") == "mean",
            value.get("dropout", 0.0),
            value.get("weight_decay", 0.0),
            value.get("warmup_ratio", 0.0),
            value.get("class_weighting", 0.0),
        ],
        dtype=float,
    )


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Columns brought to mean 0 and deviation 1; those that do not vary become 0."""

    mean: Array
    scale: Array

    @classmethod
    def of(cls, rows: Array) -> _Scaled:
        deviation = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(deviation > 0, deviation, np.inf))

    def __call__(self, rows: Array) -> Array:
        return (rows - self.mean) / self.scale


class Surrogate:
    """Time, memory and score of any pipeline on one recorded task.

    Args:
        results: recorded trials of the task.
        models: name -> facts.
        n_train: training rows of the task.
        time_limit_s: of the recording.
        memory_limit_mib: of the recording.
    """

    def __init__(
        self,
        results: Sequence[TrialResult],
        models: Mapping[str, ModelSpec],
        n_train: int,
        time_limit_s: float,
        memory_limit_mib: float,
    ) -> None:
        self._models, self._n_train = models, n_train
        self._limits = time_limit_s, memory_limit_mib
        table = np.stack([features(result.pipeline, models, n_train) for result in results])
        self._scaled = _Scaled.of(table)
        rows = self._scaled(table)
        is_slow = np.asarray([result.status == "timeout" for result in results])
        is_big = np.asarray([result.status == "oom" for result in results])
        is_ok = ~is_slow & ~is_big
        time_s = np.log([max(result.cost.time_s, 0.05) for result in results])
        memory = np.log([max(result.cost.peak_mem_mib or 0.0, 16.0) for result in results])
        # A trial that was killed for its memory says nothing about its time, and one that timed out had not yet
        # necessarily reached its peak.
        self._time = _fit_censored(rows[~is_big], time_s[~is_big], is_slow[~is_big], math.log(time_limit_s))
        self._memory = _fit_censored(rows[~is_slow], memory[~is_slow], is_big[~is_slow], math.log(memory_limit_mib))
        scores = np.asarray([result.scores.get("f1", math.nan) for result in results])
        self._score = _fit_score(rows[is_ok], scores[is_ok])
        self._shapes = [(rows[i], results[i]) for i in np.flatnonzero(is_ok).tolist() if len(results[i].curve) > 1]
        self._low, self._high = 0.0, float(min(1.0, np.nanmax(scores) + 0.02))

    def predict(self, pipelines: Sequence[Pipeline]) -> tuple[Array, Array, Array]:
        """Seconds, MiB and macro F1 of pipelines, limits disregarded; each (n_pipelines,)."""
        table = np.stack([features(pipeline, self._models, self._n_train) for pipeline in pipelines])
        rows = self._scaled(table)
        time_s, memory = np.exp(self._time.predict(rows)), np.exp(self._memory.predict(rows))
        return time_s, memory, np.clip(self._score(rows), self._low, self._high)

    def __call__(self, trial: Trial) -> TrialResult:
        """What would become of a trial: `ok`, `timeout` or `oom`, with its cost and curve."""
        (time_s,), (memory,), (f1,) = self.predict([trial.pipeline])
        time_limit_s, memory_limit_mib = self._limits
        blank = TrialResult(trial.trial_id, "ok", trial.pipeline, {}, Cost(float(time_s)), trial.seed, trial.seen)
        if memory > memory_limit_mib:
            # Memory peaks in the first steps of a training; recorded trials were killed about here.
            spent_s = min(time_s, 0.25 * time_limit_s)
            error = TrialError("oom_host", "simulated: above the memory limit")
            return _failed(blank, "oom", error, float(spent_s), memory_limit_mib)
        if time_s > time_limit_s:
            error = TrialError("time_limit", "simulated: above the time limit")
            return _failed(blank, "timeout", error, time_limit_s, float(memory))
        curve = self._curve(trial.pipeline, float(time_s), float(f1))
        cost = Cost(float(time_s), train_s=0.8 * float(time_s), peak_mem_mib=float(memory))
        return TrialResult(
            trial.trial_id, "ok", trial.pipeline, {"f1": float(f1), "accuracy": float(f1)}, cost, trial.seed,
            trial.seen, curve=curve,
        )  # fmt: skip

    def _curve(self, pipeline: Pipeline, time_s: float, f1: float) -> tuple[tuple[int, float, float], ...]:
        """The curve of the most similar recorded trial, moved to this score and time."""
        if pipeline.method == "head" or not self._shapes:
            return ()
        row = self._scaled(features(pipeline, self._models, self._n_train)[None, :])[0]
        _, nearest = min(self._shapes, key=lambda shape: float(((shape[0] - row) ** 2).sum()))
        lift, stretch = f1 - nearest.scores["f1"], time_s / nearest.cost.time_s
        return tuple((s, t * stretch, min(max(v + lift, 0.0), 1.0)) for s, t, v in nearest.curve)


def _failed(blank: TrialResult, status: Any, error: TrialError, spent_s: float, memory: float) -> TrialResult:
    cost = Cost(spent_s, peak_mem_mib=memory)
    return TrialResult(blank.trial_id, status, blank.pipeline, {}, cost, blank.seed, blank.seen, error=error)


def _gaussian_process(n_features: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    smooth = ConstantKernel(1.0) * RBF(np.full(n_features, 4.0), (1.0, 1e3))
    kernel = smooth + ConstantKernel(1.0) * DotProduct() + WhiteKernel(0.1, (1e-3, 1.0))
    return GaussianProcessRegressor(kernel, normalize_y=True)


def _fit_censored(rows: Array, values: Array, is_censored: npt.NDArray[np.bool_], limit: float) -> Any:
    target = np.where(is_censored, limit + _FIRST_EXCESS, values)
    model = _gaussian_process(rows.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # length scales at their bounds are columns that do not matter
        model.fit(rows, target)
        for _ in range(_ROUNDS):
            expected = model.predict(rows)
            target = np.where(is_censored, np.maximum(limit + 0.02, expected), values)
            model.set_params(optimizer=None, kernel=model.kernel_).fit(rows, target)
    return model


def _fit_score(rows: Array, scores: Array) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    process = _gaussian_process(rows.shape[1])
    forest = ExtraTreesRegressor(100, max_features=0.5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(rows, scores)
    forest.fit(rows, scores)
    return lambda table: 0.5 * (process.predict(table) + forest.predict(table))


def validate(
    results: Sequence[TrialResult],
    models: Mapping[str, ModelSpec],
    n_train: int,
    time_limit_s: float,
    memory_limit_mib: float,
) -> dict[str, float]:
    """How well rows that a surrogate has not seen are predicted (10 folds, seed 0).

    Returns:
        `r2_time`, `rho_time`, `r2_f1`, `rho_f1` over the valid rows (time in the logarithm), `auc_failure` over all.
    """
    from scipy.stats import spearmanr
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.model_selection import KFold

    predicted = np.zeros((3, len(results)))
    for kept, left_out in KFold(_N_FOLDS, shuffle=True, random_state=0).split(results):
        surrogate = Surrogate([results[i] for i in kept], models, n_train, time_limit_s, memory_limit_mib)
        predicted[:, left_out] = surrogate.predict([results[i].pipeline for i in left_out])
    ok = np.asarray([result.is_ok for result in results])
    time_s = np.log([max(result.cost.time_s, 0.05) for result in results])
    f1 = np.asarray([result.scores.get("f1", math.nan) for result in results])
    excess = np.maximum(np.log(predicted[0] / time_limit_s), np.log(predicted[1] / memory_limit_mib))
    return {
        "n": len(results),
        "n_ok": int(ok.sum()),
        "r2_time": float(r2_score(time_s[ok], np.log(predicted[0][ok]))),
        "rho_time": float(spearmanr(time_s[ok], predicted[0][ok])[0]),
        "r2_f1": float(r2_score(f1[ok], predicted[2][ok])),
        "rho_f1": float(spearmanr(f1[ok], predicted[2][ok])[0]),
        "auc_failure": float(roc_auc_score(~ok, excess)) if 0 < ok.sum() < len(ok) else math.nan,
    }
