"""One row of facts per trial, and the best score so far over the run's time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xautolm.records import FAILURES, ParamValue, RunReport, TrialResult
from xautolm.report.wording import N_KEY_SETTINGS, baseline_name, clean, settings

#: A pause without a running trial longer than this (s) is cut out: the run was stopped and resumed.
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What the renderers show of one trial; all strings are printable single lines.

    Attributes:
        score: validation score of the run's quality metric; None without one.
        time_s: what the pipeline costs on its own.
        spent_s: what was charged to the budget (`time_s` less what a cache saved).
        started_s: seconds from the start of the run to that of the trial, pauses left out; None if unknown.
        finished_s: the same for its end.
        settings: the most important hyperparameters on one line.
        all_settings: all hyperparameters on one line.
        curve: (seconds since the training began, validation score on the fixed subset).
        rescued_from: the settings first asked for, empty unless a rescue changed them.
    """

    trial_id: int
    status: str
    is_front: bool
    is_best: bool
    model: str
    method: str
    settings: str
    all_settings: str
    params: Mapping[str, ParamValue]
    score: float | None
    time_s: float
    spent_s: float
    peak_mem_mib: float | None
    energy_wh: float | None
    is_energy_estimated: bool
    error: str
    started_s: float | None
    finished_s: float | None
    curve: tuple[tuple[float, float], ...]
    n_threads: int
    n_parallel: int
    rescued_from: str

    @property
    def is_baseline(self) -> bool:
        return self.trial_id < 0

    @property
    def label(self) -> str:
        """What the tables call it."""
        return "base" if self.is_baseline else str(self.trial_id)

    @property
    def is_failed(self) -> bool:
        return self.status in FAILURES

    @property
    def pipeline(self) -> str:
        """Model and method, as in the tables; a baseline has a name of its own."""
        return self.method if self.is_baseline else f"{self.model} {self.method}"


def finite(value: Any) -> float | None:
    """The value as a finite float; None for anything else.

    >>> finite(1), finite("1"), finite(float("nan")), finite(True)
    (1.0, None, None, None)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def trial_rows(report: RunReport, metric: str) -> tuple[TrialRow, ...]:
    """The rows of all trials by trial number, the baselines before them."""
    trials = (*report.baselines, *report.trials)
    clock = _run_clock(trials)
    rows = (_row(trial, report, metric, clock.get(trial.trial_id)) for trial in trials)
    return tuple(sorted(rows, key=lambda row: row.trial_id))


def best_so_far(rows: Sequence[TrialRow], *, maximize: bool = True) -> tuple[tuple[float, float, int], ...]:
    """The improvements of the run: (elapsed seconds, best score from then on, trial id), by time."""
    scored = [(r.finished_s, r.score, r.trial_id) for r in rows if r.score is not None and r.finished_s is not None]
    steps: list[tuple[float, float, int]] = []
    for elapsed_s, score, trial_id in sorted(scored):
        if not steps or (score > steps[-1][1] if maximize else score < steps[-1][1]):
            steps.append((elapsed_s, score, trial_id))
    return tuple(steps)


def _row(trial: TrialResult, report: RunReport, metric: str, interval: tuple[float, float] | None) -> TrialRow:
    pipeline, cost = trial.pipeline, trial.cost
    time_s = finite(cost.time_s) or 0.0
    error = f"{trial.error.kind}: {trial.error.message}" if trial.error else ""
    return TrialRow(
        trial_id=trial.trial_id,
        status=trial.status,
        is_front=trial.trial_id in report.front,
        is_best=trial.trial_id == report.best,
        model="-" if trial.is_baseline else clean(pipeline.model, 120),
        method=baseline_name(pipeline.method, str(report.run.get("task", ""))),
        settings=settings(pipeline.params, N_KEY_SETTINGS),
        all_settings=settings(pipeline.params),
        params=pipeline.params,
        score=finite(trial.scores.get(metric)) if trial.is_ok else None,
        time_s=time_s,
        spent_s=max(0.0, time_s - (finite(cost.cached_s) or 0.0)),
        peak_mem_mib=finite(cost.peak_mem_mib),
        energy_wh=finite(cost.any_energy_wh),
        is_energy_estimated=cost.energy_wh is None,
        error=clean(error),
        started_s=interval[0] if interval else None,
        finished_s=interval[1] if interval else None,
        curve=tuple((s, v) for _, s, v in trial.curve if math.isfinite(s) and math.isfinite(v)),
        n_threads=trial.n_threads,
        n_parallel=trial.n_parallel,
        rescued_from=clean(settings(trial.requested.params)) if trial.requested else "",
    )


def _run_clock(trials: Sequence[TrialResult]) -> dict[int, tuple[float, float]]:
    """Trial id -> (start, end) in seconds since the first trial began, long pauses cut down to nothing."""
    stamped = []
    for trial in trials:
        start, end = _stamp(trial.started_at), _stamp(trial.finished_at)
        if start is not None and end is not None and end >= start:
            stamped.append((start, end, trial.trial_id))
    clock: dict[int, tuple[float, float]] = {}
    shift = latest = min((start for start, _, _ in stamped), default=0.0)
    for start, end, trial_id in sorted(stamped):
        if start - latest > LONGEST_PAUSE_S:
            shift += start - latest
        latest = max(latest, end)
        clock[trial_id] = (start - shift, end - shift)
    return clock


def _stamp(text: str) -> float | None:
    """Seconds since the epoch of a UTC time stamp; None when it is absent or no ISO 8601 time."""
    try:
        stamp = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return stamp.timestamp() if stamp.tzinfo else datetime.fromisoformat(text + "+00:00").timestamp()
