"""What past trials teach, as a table of inputs and targets.

A failure teaches by its kind: a time-out says that the time is above its limit, an out-of-memory that the memory is; a
bug, a missing file or a killed process say nothing about the pipeline. Quality is the rank inside the task, because
scores of different tasks have nothing in common.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.pareto import objective_value
from xautolm.prior.blame import blamed
from xautolm.prior.costs import Setting
from xautolm.prior.evidence import Rated
from xautolm.prior.physics import INPUTS, Physicist, log
from xautolm.prior.reference import decay
from xautolm.records import Experience, Objective

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Peaks below this are noise.
_NEXT_TO_NONE_MIB = 64.0
#: Scores beyond this are mistakes.
_LARGEST_SCORE = 1e9
#: Failures without a text (published question answering has no other): the trial failed, nobody knows of what.
_UNEXPLAINED = "unknown"


@dataclass(frozen=True)
class Lessons:
    """Past trials as numbers; all arrays have length n.

    Attributes:
        rows: (n, n_inputs) physical inputs, NaN where unknown.
        weights: positive; less for tasks that are farther away, and for what was tried before.
        tasks: number of the task of each trial, from 0.
        worked: 1 = the trial ended well, 0 = it failed through its pipeline, NaN = it says nothing about that.
        timed_out: whether it reached its time limit.
        out_of_memory: whether it reached its memory limit.
        log_time: logarithm of the seconds; of the limit after a time-out; NaN when not known.
        log_memory: logarithm of the peak memory in MiB; NaN when not known.
        quality: rank of the score inside the task, in (0, 1); NaN without a score.
        scores: the scores themselves, larger is better.
    """

    rows: Array
    weights: Array
    tasks: npt.NDArray[np.int64]
    worked: Array
    timed_out: Flags
    out_of_memory: Flags
    log_time: Array
    log_memory: Array
    quality: Array
    scores: Array

    @classmethod
    def of(cls, rated: Sequence[Rated], physicist: Physicist, score: Objective, *, beta_scale: float = 0.5) -> Lessons:
        """Read past trials.

        Args:
            rated: experiences and how far their tasks are.
            physicist: makes the inputs.
            score: what quality means; experiences without it teach nothing about quality.
            beta_scale: strength of the decay with distance (`reference.decay`).
        """
        experiences = [item.experience for item in rated]
        settings = _Settings()
        rows = [physicist.row(e.result.pipeline, settings.of(e)) for e in experiences]
        numbers: dict[tuple[str, str], int] = {}
        tasks = [numbers.setdefault((e.dataset_id, e.fingerprint), len(numbers)) for e in experiences]
        scores = np.asarray([_score(e, score) for e in experiences], dtype=float)
        tasks_array = np.asarray(tasks, dtype=np.int64)
        status = [e.result.status for e in experiences]
        return cls(
            rows=np.asarray(rows, dtype=float).reshape(len(rows), len(INPUTS)),
            weights=decay(np.asarray([item.distance for item in rated], dtype=float), beta_scale)
            * _novelty(experiences),
            tasks=tasks_array,
            worked=np.asarray([_worked(e) for e in experiences], dtype=float),
            timed_out=np.asarray([s == "timeout" for s in status], dtype=bool),
            out_of_memory=np.asarray([s == "oom" for s in status], dtype=bool),
            log_time=np.asarray([_log_time(e, settings.of(e)) for e in experiences], dtype=float),
            log_memory=np.asarray([_log_memory(e) for e in experiences], dtype=float),
            quality=ranked(scores, tasks_array),
            scores=scores,
        )

    def __len__(self) -> int:
        return len(self.tasks)


class _Settings:
    """Settings of experiences; those of one task and run are built once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str, str, float | None, float | None], Setting] = {}

    def of(self, experience: Experience) -> Setting:
        limits = experience.time_limit_s, experience.memory_limit_mib
        key = (id(experience.profile), experience.space_version, experience.kind, *limits)
        if key not in self._known:
            self._known[key] = Setting.of(experience)
        return self._known[key]


def _novelty(experiences: Sequence[Experience]) -> Array:
    """One over how often the same pipeline met the same end on the same task: repeats say little that is new, (n,)."""
    ends = [
        (e.dataset_id, e.fingerprint, e.result.status, repr(sorted(e.result.pipeline.to_dict().items())))
        for e in experiences
    ]
    counts = Counter(ends)
    return np.asarray([1.0 / counts[end] for end in ends], dtype=float)


def ranked(scores: Array, tasks: npt.NDArray[np.int64]) -> Array:
    """Rank of each score inside its task, (rank - 1/2) / n with ties at their mean; NaN stays.

    >>> ranked(np.array([0.2, 0.9, np.nan, 0.2, 0.7]), np.array([0, 0, 0, 0, 1])).round(3).tolist()
    [0.333, 0.833, nan, 0.333, 0.5]
    """
    from scipy.stats import rankdata

    quality = np.full(len(scores), np.nan)
    for task in np.unique(tasks):
        members = np.flatnonzero((tasks == task) & np.isfinite(scores))
        if len(members):
            quality[members] = (rankdata(scores[members]) - 0.5) / len(members)
    return quality


def _worked(experience: Experience) -> float:
    result = experience.result
    if result.is_ok:
        return 1.0
    kind = result.error.kind if result.error else ""
    return 0.0 if blamed(result) or (result.status == "crashed" and kind == _UNEXPLAINED) else math.nan


def _score(experience: Experience, score: Objective) -> float:
    """The score with larger = better; NaN when the trial has none or an absurd one."""
    if not experience.result.is_ok:
        return math.nan
    value = objective_value(experience.result, score)
    if not abs(value) <= _LARGEST_SCORE:
        return math.nan
    return value if score.direction == "maximize" else -value


def _log_time(experience: Experience, setting: Setting) -> float:
    status = experience.result.status
    if status == "ok":
        return log(experience.result.cost.time_s)
    if status != "timeout":
        return math.nan
    reached = setting.time_limit_s
    return log(experience.result.cost.time_s if math.isnan(reached) else reached)


def _log_memory(experience: Experience) -> float:
    """Logarithm of the peak; a trial that takes next to none (a head on kept features) shows 4 MiB or 60, by chance."""
    peak = experience.result.cost.peak_mem_mib
    is_told = experience.result.is_ok and peak is not None and math.isfinite(peak)
    return log(max(peak or 0.0, _NEXT_TO_NONE_MIB)) if is_told else math.nan
