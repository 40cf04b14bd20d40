"""What a run decides before its first trial, and which pipelines fit: what a replay needs besides the results.

A plan is kept in the run folder (`space.json`), so that a resumed or replayed run proposes from the same space with
the same estimates.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from xautolm import registry
from xautolm.records import Pipeline, TrialResult
from xautolm.space.build import space_from_dict, space_to_dict
from xautolm.space.feasibility import (
    NO_MARGIN,
    Estimate,
    Limits,
    Margin,
    Speed,
    TaskSize,
    Verdict,
    Workload,
    calibrated,
    check,
    estimate,
)
from xautolm.space.params import Space
from xautolm.space.residuals import USUAL_MEMORY, USUAL_TIME, Residual, is_whole, log_ratios, memory_key, time_key

#: A trial that ran into its time limit would have taken longer; this much longer is assumed.
_TIMEOUT_FACTOR = 1.3
_MIN_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """The search space of a run with everything that decides what fits.

    Attributes:
        space: what can be tried.
        size: rows, classes and lengths of the task.
        limits: per trial.
        speed: of one trial on this machine, as measured at the start.
        defaults: known-good pipelines that fit, one per method.
        residuals: how far estimates were off in earlier runs, by `space.residuals.memory_key` and `time_key`.
    """

    space: Space
    size: TaskSize
    limits: Limits
    speed: Speed
    defaults: tuple[Pipeline, ...]
    residuals: Mapping[str, Residual] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form (`space.json`); the space's own fields stand at the top for readers."""
        return {
            **space_to_dict(self.space),
            "size": asdict(self.size),
            "limits": asdict(self.limits),
            "speed": asdict(self.speed),
            "defaults": [pipeline.to_dict() for pipeline in self.defaults],
            "residuals": {key: asdict(residual) for key, residual in self.residuals.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        return cls(
            space=space_from_dict(value),
            size=TaskSize.from_dict(value["size"]),
            limits=Limits(**value["limits"]),
            speed=Speed(**value["speed"]),
            defaults=tuple(Pipeline.from_dict(pipeline) for pipeline in value["defaults"]),
            residuals={key: Residual(**residual) for key, residual in value.get("residuals", {}).items()},
        )


class FitCheck:
    """Tells whether a pipeline fits the limits, given this run's results so far; a pure function of both.

    Estimates are corrected by what earlier runs showed (`Plan.residuals`) and by this run's own finished trials: time
    by those of the method (by all while it has fewer than two), memory by those of the method in which the same part
    needs most. A pipeline fits when the corrected estimates stay within the limits with the probabilities of `Margin`.

    Args:
        plan: space, sizes, limits, speed and residuals.
        is_cautious: whether margins are kept; without them estimates are taken at their word.
    """

    def __init__(self, plan: Plan, *, is_cautious: bool = True) -> None:
        self._plan = plan
        self._seen: Sequence[TrialResult] = ()
        self._speeds: dict[str, tuple[Speed, float]] = {}
        self._memories: dict[str, Residual] = {}
        self._estimates: dict[int, tuple[TrialResult, Estimate]] = {}
        self._is_cautious = is_cautious

    def __call__(self, pipeline: Pipeline, seen: Sequence[TrialResult] = ()) -> Verdict:
        """The verdict on a pipeline of the plan's space."""
        plan = self._plan
        model = plan.space.models[pipeline.model]
        pooling = str(pipeline.params["pooling"])
        if pooling not in model.poolings:
            reason = f"pooling `{pooling}` is not available for `{model.name}`"
            return Verdict(False, reason, float("inf"), float("inf"), plan.limits)
        if seen is not self._seen:  # what was learned is kept while the same results are asked about
            self._seen, self._speeds, self._memories = seen, {}, {}
        workload = self._workload(pipeline)
        speed, time_log_sd = self._speed(pipeline.method)
        dominant = estimate(workload, model, plan.size, speed).dominant
        memory = self._memory(pipeline.method, dominant)
        margin = Margin(time_log_sd, memory.log_sd) if self._is_cautious else NO_MARGIN
        return check(workload, model, plan.size, speed, plan.limits, margin=margin, memory_scale=memory.factor)

    def _workload(self, pipeline: Pipeline) -> Workload:
        model = self._plan.space.models[pipeline.model]
        load: Workload = registry.resolve("methods", pipeline.method).workload(model, pipeline.params)
        return load

    def _speed(self, method: str) -> tuple[Speed, float]:
        """The corrected speed of a method and the spread of its times."""
        if method not in self._speeds:
            belief = self._plan.residuals.get(time_key(method), USUAL_TIME)
            start = replace(self._plan.speed, scale=self._plan.speed.scale * belief.factor)
            timed = [result for result in self._seen if result.status in ("ok", "timeout")]
            own = [result for result in timed if result.pipeline.method == method]
            pairs = [self._times(result) for result in (own if len(own) >= _MIN_PAIRS else timed)]
            pairs = [(actual, estimated * belief.factor) for actual, estimated in pairs]
            self._speeds[method] = calibrated(start, pairs), time_spread(pairs, belief)
        return self._speeds[method]

    def _memory(self, method: str, dominant: str) -> Residual:
        """How far memory estimates of a method are off."""
        key = memory_key(method, dominant)
        if key not in self._memories:
            usual = self._plan.residuals.get(key, USUAL_MEMORY)
            own = [result for result in self._seen if result.is_ok and result.pipeline.method == method]
            pairs = [
                (result.cost.peak_mem_mib or 0.0, estimated.memory_mib)
                for result in own
                if is_whole(result.pipeline, result.cost) and (estimated := self._estimate(result)).dominant == dominant
            ]
            self._memories[key] = usual.after(log_ratios(pairs))
        return self._memories[key]

    def _times(self, result: TrialResult) -> tuple[float, float]:
        """Actual and estimated seconds of a finished trial."""
        factor = _TIMEOUT_FACTOR if result.status == "timeout" else 1.0
        return result.cost.time_s * factor, self._estimate(result).time_s

    def _estimate(self, result: TrialResult) -> Estimate:
        """The uncorrected estimate of a finished trial, computed once."""
        known = self._estimates.get(result.trial_id)
        if known is None or known[0] is not result:
            plan, pipeline = self._plan, result.pipeline
            made = estimate(self._workload(pipeline), plan.space.models[pipeline.model], plan.size, plan.speed)
            known = self._estimates[result.trial_id] = result, made
        return known[1]


def time_spread(pairs: Sequence[tuple[float, float]], usual: Residual = USUAL_TIME) -> float:
    """Standard deviation of log(actual / estimated), shrunk towards what is usual while there are few trials.

    Args:
        pairs: (actual, estimated) seconds, positive.
        usual: what is believed before them.

    >>> time_spread([])
    0.35
    >>> round(time_spread([(2.0, 1.0)] * 30), 3)
    0.106
    """
    logs = log_ratios(pairs)
    around = Residual(statistics.median(logs) if logs else 0.0, usual.log_sd, usual.weight)
    return around.after(logs).log_sd


def speed_from_measurement(measured: Mapping[str, float], default: Speed, expected_s: float, startup_s: float) -> Speed:
    """The speed that explains a measured training step.

    Args:
        measured: `step_s` of the `measure` job.
        default: the speed that `expected_s` was estimated with.
        expected_s: estimated seconds of the same step.
        startup_s: seconds from launch to the loading of the model.

    >>> default = Speed(flops_per_s=50e9, startup_s=1.5, source="default")
    >>> speed_from_measurement({"step_s": 0.2}, default, expected_s=0.4, startup_s=0.3).flops_per_s
    100000000000.0
    """
    ratio = expected_s / max(measured["step_s"], 1e-6)
    return replace(default, flops_per_s=default.flops_per_s * ratio, startup_s=startup_s, source="measured")
