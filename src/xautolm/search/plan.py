"""What a run decides before its first trial, and which pipelines fit: what a replay needs besides the results.

A plan is kept in the run folder (`space.json`), so that a resumed or replayed run proposes from the same space with
the same estimates.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from xautolm import registry
from xautolm.records import Pipeline, TrialResult
from xautolm.space.build import space_from_dict, space_to_dict
from xautolm.space.feasibility import Limits, Speed, TaskSize, Verdict, calibrated, check, estimate
from xautolm.space.params import Space

#: Share of the memory limit that an estimate may use.
HEADROOM = 0.8
#: Standard deviation of log(actual / estimated seconds) before a run knows better, and how many trials that is worth.
#: On a shared two-core machine it was 0.3 to 0.4.
_TIME_SPREAD = 0.35
_SPREAD_TRIALS = 3
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
    """

    space: Space
    size: TaskSize
    limits: Limits
    speed: Speed
    defaults: tuple[Pipeline, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form (`space.json`); the space's own fields stand at the top for readers."""
        return {
            **space_to_dict(self.space),
            "size": asdict(self.size),
            "limits": asdict(self.limits),
            "speed": asdict(self.speed),
            "defaults": [pipeline.to_dict() for pipeline in self.defaults],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        size = dict(value["size"])
        size["token_quantiles"] = tuple(size["token_quantiles"])
        return cls(
            space=space_from_dict(value),
            size=TaskSize(**size),
            limits=Limits(**value["limits"]),
            speed=Speed(**value["speed"]),
            defaults=tuple(Pipeline.from_dict(pipeline) for pipeline in value["defaults"]),
        )


class FitCheck:
    """Tells whether a pipeline fits the limits, given this run's results so far; a pure function of both.

    Estimates of time are corrected by the method's own finished trials, by all trials while it has fewer than two; a
    pipeline fits when the estimate plus one standard deviation (about five in six such trials) is within the limit.

    Args:
        plan: space, sizes, limits and speed.
        is_cautious: whether the margins above are kept; without them estimates are taken at their word.
    """

    def __init__(self, plan: Plan, *, is_cautious: bool = True) -> None:
        self._plan = plan
        self._seen: Sequence[TrialResult] = ()
        self._speeds: dict[str, tuple[Speed, float]] = {}
        self._pairs: dict[int, tuple[TrialResult, tuple[float, float]]] = {}
        limits = plan.limits
        self._is_cautious = is_cautious
        self._limits = Limits(limits.time_s, (HEADROOM if is_cautious else 1.0) * limits.memory_mib)

    def __call__(self, pipeline: Pipeline, seen: Sequence[TrialResult] = ()) -> Verdict:
        """The verdict on a pipeline of the plan's space."""
        model = self._plan.space.models[pipeline.model]
        pooling = str(pipeline.params["pooling"])
        if pooling not in model.poolings:
            reason = f"pooling `{pooling}` is not available for `{model.name}`"
            return Verdict(False, reason, float("inf"), float("inf"), self._limits)
        workload = registry.resolve("methods", pipeline.method).workload(model, pipeline.params)
        speed, spread = self._speed(pipeline.method, seen)
        margin = math.exp(spread) if self._is_cautious else 1.0
        limits = replace(self._limits, time_s=self._limits.time_s / margin)
        return check(workload, model, self._plan.size, speed, limits)

    def _speed(self, method: str, seen: Sequence[TrialResult]) -> tuple[Speed, float]:
        """The calibrated speed of a method and its spread, kept while the same results are asked about."""
        if seen is not self._seen:
            self._seen, self._speeds = seen, {}
        if method not in self._speeds:
            self._speeds[method] = self._calibrated(method, seen)
        return self._speeds[method]

    def _calibrated(self, method: str, seen: Sequence[TrialResult]) -> tuple[Speed, float]:
        timed = [result for result in seen if result.status in ("ok", "timeout")]
        own = [result for result in timed if result.pipeline.method == method]
        pairs = [self._pair(result) for result in (own if len(own) >= _MIN_PAIRS else timed)]
        return calibrated(self._plan.speed, pairs), time_spread(pairs)

    def _pair(self, result: TrialResult) -> tuple[float, float]:
        """Actual and estimated seconds of a finished trial, computed once."""
        known = self._pairs.get(result.trial_id)
        if known is None or known[0] is not result:
            known = self._pairs[result.trial_id] = result, self._compared(result)
        return known[1]

    def _compared(self, result: TrialResult) -> tuple[float, float]:
        pipeline = result.pipeline
        model = self._plan.space.models[pipeline.model]
        workload = registry.resolve("methods", pipeline.method).workload(model, pipeline.params)
        estimated = estimate(workload, model, self._plan.size, self._plan.speed).time_s
        factor = _TIMEOUT_FACTOR if result.status == "timeout" else 1.0
        return result.cost.time_s * factor, estimated


def time_spread(pairs: Sequence[tuple[float, float]]) -> float:
    """Standard deviation of log(actual / estimated), shrunk towards what is usual while there are few trials.

    Args:
        pairs: (actual, estimated) seconds, positive.

    >>> time_spread([])
    0.35
    >>> round(time_spread([(2.0, 1.0)] * 30), 3)
    0.106
    """
    logs = [math.log(actual / estimated) for actual, estimated in pairs]
    centre = statistics.median(logs) if logs else 0.0
    squares = sum((value - centre) ** 2 for value in logs) + _SPREAD_TRIALS * _TIME_SPREAD**2
    return math.sqrt(squares / (len(logs) + _SPREAD_TRIALS))


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
