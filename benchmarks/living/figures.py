"""What a strategy reached and when: pure functions on the trials that ended within its time.

Hypervolume is that of `design.md` section 5 with the strategy's whole time as the limit of a trial: the Trainer sets
none, and no trial can take longer. Curves are 0 before the first trial ended.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xautolm import merit
from xautolm.records import FAILURES, TrialResult

#: Points of the grid on which all curves are given, start and end included.
N_GRID = 121
FIRST, TENTH = 3, 10


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that ended within the time; `ended_s` = seconds since the strategy's start."""

    result: TrialResult
    ended_s: float

    @property
    def f1(self) -> float:
        """Macro F1 on the validation rows; NaN where the trial has none."""
        return self.result.scores["f1"] if self.result.is_ok else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: of `trials.jsonl` what is compared, and `ended_s`."""
        full = self.result.to_dict()
        kept = {name: full[name] for name in ("trial_id", "status", "pipeline", "scores", "seed", "error")}
        return {**kept, "cost": asdict(self.result.cost), "ended_s": round(self.ended_s, 2)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Ended:
        missing: dict[str, Any] = {"curve": [], "n_threads": 1, "n_parallel": 1, "requested": None, "seen": []}
        times = {"started_at": "", "finished_at": ""}
        return cls(TrialResult.from_dict({**missing, **times, **value}), value["ended_s"])


@dataclass(frozen=True, slots=True)
class Horizon:
    """What figures refer to.

    Attributes:
        seconds: of a strategy, also the limit of a trial in the hypervolume; above 1.
        constant_f1: macro F1 of the best constant prediction.
    """

    seconds: float
    constant_f1: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One strategy on one task with one seed; F1 is macro F1 on the validation rows, None = no model yet.

    Attributes:
        n_trials: that ended: ok, stopped early, failed.
        first_s: seconds until the first working model.
        f1_third: best F1 after a third of the time; likewise after two thirds and at the end.
        hypervolume: at the end, in [0, 1].
        area: mean hypervolume over the time.
        f1_first: best F1 of the three trials that were begun first, whenever they ended and whatever became of them.
        f1_tenth: likewise of the first ten, or of all if there are fewer.
    """

    n_trials: int
    n_failed: int
    n_stopped: int
    first_s: float | None
    f1_third: float | None
    f1_two_thirds: float | None
    f1_end: float | None
    hypervolume: float
    area: float
    f1_first: float | None
    f1_tenth: float | None


def figures(trials: Sequence[Ended], horizon: Horizon) -> Figures:
    """The figures of trials in the order in which they ended.

    >>> figures([], Horizon(180.0, 0.5)).first_s is None
    True
    """
    statuses = [trial.result.status for trial in trials]
    volumes = _volumes(trials, horizon)
    ends = [trial.ended_s for trial in trials]
    begun = sorted(trials, key=lambda trial: trial.result.trial_id)
    return Figures(
        n_trials=len(trials),
        n_failed=sum(status in FAILURES for status in statuses),
        n_stopped=statuses.count("stopped"),
        first_s=next((trial.ended_s for trial in trials if trial.result.is_ok), None),
        f1_third=_best([t for t in trials if t.ended_s <= horizon.seconds / 3]),
        f1_two_thirds=_best([t for t in trials if t.ended_s <= 2 * horizon.seconds / 3]),
        f1_end=_best(trials),
        hypervolume=float(volumes[-1]) if len(volumes) else 0.0,
        area=merit.mean_until(volumes, ends, horizon.seconds),
        f1_first=_best(begun[:FIRST]),
        f1_tenth=_best(begun[:TENTH]),
    )


def curves(trials: Sequence[Ended], horizon: Horizon) -> dict[str, list[float]]:
    """Best F1 and hypervolume against time, (N_GRID,) each, on `grid`; 0 before there is any."""
    ends = [trial.ended_s for trial in trials]
    times = grid(horizon.seconds)
    best = np.fmax.accumulate([trial.f1 for trial in trials]) if trials else np.zeros(0)
    found = {"best_f1": np.nan_to_num(best), "hypervolume": _volumes(trials, horizon)}
    return {name: merit.held(values, ends, times).round(4).tolist() for name, values in found.items()}


def grid(seconds: float) -> list[float]:
    """Times from 0 to the end at which curves are given, (N_GRID,), s."""
    return [float(value) for value in np.linspace(0.0, seconds, N_GRID).round(3)]


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Median, lowest and highest of what is known; None when nothing is.

    >>> spread([0.5, None, 0.7])
    {'median': 0.6, 'low': 0.5, 'high': 0.7}
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "low": min(known), "high": max(known)}


def band(lines: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Median, lowest and highest of some curves at each time, (N_GRID,) each."""
    table = np.asarray(lines, dtype=float)
    parts = {"median": np.median(table, axis=0), "low": table.min(axis=0), "high": table.max(axis=0)}
    return {name: values.round(4).tolist() for name, values in parts.items()}


def _best(trials: Sequence[Ended]) -> float | None:
    return max((trial.f1 for trial in trials if trial.result.is_ok), default=None)


def _volumes(trials: Sequence[Ended], horizon: Horizon) -> merit.Array:
    """Hypervolume after each trial, (n_trials,)."""
    f1 = [trial.f1 for trial in trials]
    times = [trial.result.cost.time_s for trial in trials]
    points = merit.unit_square(f1, times, horizon.constant_f1, horizon.seconds)
    return merit.anytime_volumes(-points, (0.0, 0.0))
