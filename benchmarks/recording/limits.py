"""The limits of a task: chosen once from a pilot, so that 30-40 % of uniform draws fail, before any strategy is run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recorded import TABLE
from xautolm.experience.journal import write_atomic
from xautolm.records import TrialResult
from xautolm.space.feasibility import Limits

TARGET_SHARE, LOW_SHARE, HIGH_SHARE = 0.35, 0.30, 0.40
#: Share of the draws that the memory limit alone shall fail; time does the rest.
MEMORY_SHARE = 0.10
MAX_USELESS_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Choice:
    """Limits with what they do to the pilot's draws.

    Attributes:
        limits: seconds and MiB.
        failed_share: of all draws, under these limits.
        useless_share: of the draws that stay valid, those not above the best constant prediction; None without any.
        problems: why the limits must not be used, one sentence each; empty = accepted.
    """

    limits: Limits
    failed_share: float
    useless_share: float | None
    problems: tuple[str, ...]


def best_constant_f1(labels: Sequence[int], n_classes: int) -> float:
    """Macro F1 of the best constant prediction: that of the most frequent class.

    A constant prediction of a class with n of N rows has precision n / N and recall 1, so F1 = 2 n / (N + n) on that
    class and 0 on the others; it grows with n.

    >>> round(best_constant_f1([0, 0, 0, 1], 2), 4)
    0.4286
    """
    most = int(np.bincount(np.asarray(labels), minlength=n_classes).max())
    return 2 * most / (len(labels) + most) / n_classes


def choose_limits(draws: Sequence[TrialResult], constant_f1: float) -> Choice:
    """Choose the limits of a task from its pilot.

    The memory limit lies between the draws so that about a tenth are above it; then the time limit so that the share of
    draws that fail, for whatever reason, comes as close to 35 % as it can.

    Args:
        draws: finished pilot trials; a `timeout` counts as slower, an `oom` as larger than any limit chosen.
        constant_f1: macro F1 of the best constant prediction on the validation rows.
    """
    memory_mib = _memory_limit(draws)
    seconds = sorted(draw.cost.time_s for draw in draws if draw.is_ok and _mib(draw) <= memory_mib)
    if not seconds:
        problem = f"none of the {len(draws)} draws worked; look at their errors before anything is recorded."
        return Choice(Limits(math.inf, memory_mib), 1.0, None, (problem,))
    candidates = [_between(a, b) for a, b in pairwise(seconds)]
    candidates.append(round(1.1 * seconds[-1] + 0.05, 1))
    # Nothing is known about draws that were stopped, except that they are slower than when they were.
    known_s = min((draw.cost.time_s for draw in draws if draw.status == "timeout"), default=math.inf)
    choices = [Limits(time_s, memory_mib) for time_s in candidates if time_s <= known_s] or [
        Limits(known_s, memory_mib)
    ]
    limits = min(choices, key=lambda choice: abs(failed_share(draws, choice) - TARGET_SHARE))
    failed = failed_share(draws, limits)
    useless = useless_share([draw for draw in draws if is_valid(draw, limits)], constant_f1)
    return Choice(limits, failed, useless, tuple(_problems(failed, useless)))


def is_valid(draw: TrialResult, limits: Limits) -> bool:
    """Whether a pilot draw would have worked under these limits."""
    return draw.is_ok and draw.cost.time_s <= limits.time_s and _mib(draw) <= limits.memory_mib


def failed_share(draws: Sequence[TrialResult], limits: Limits) -> float:
    """Share of the draws that fail under these limits."""
    return sum(not is_valid(draw, limits) for draw in draws) / len(draws)


def useless_share(valid: Sequence[TrialResult], constant_f1: float) -> float | None:
    """Share of the valid draws whose macro F1 is not above the best constant prediction's."""
    if not valid:
        return None
    return sum(draw.scores["f1"] <= constant_f1 for draw in valid) / len(valid)


def _problems(failed: float, useless: float | None) -> list[str]:
    problems = []
    if not LOW_SHARE <= failed <= HIGH_SHARE:
        cure = "the pilot's own limits are too tight or pipelines crash: use a higher `--pilot-limit`, read the errors"
        if failed < LOW_SHARE:
            cure = "too few draws differ in cost: use a larger subset (`--train`)"
        problems.append(f"{failed:.0%} of the draws fail, expected 30-40 %; {cure}.")
    if useless is None or useless > MAX_USELESS_SHARE:
        share = "no result is valid" if useless is None else f"{useless:.0%} of the valid results are useless"
        problems.append(
            f"{share} (not above the best constant prediction), expected at most a third; use a larger subset "
            "(`--train`), or narrow the ranges in `benchmarks/recording/space.py` for all tasks and say so in the card."
        )
    return problems


def _memory_limit(draws: Sequence[TrialResult]) -> float:
    """A whole number of MiB with about `MEMORY_SHARE` of the draws above it, those that were killed for it included."""
    n_above = max(1, round(MEMORY_SHARE * len(draws)), sum(draw.status == "oom" for draw in draws))
    # What a killed draw was seen to use may be less than it asked for, so killed ones come first whatever they used.
    peaks = [seen for _, seen in sorted(((draw.status == "oom", _seen_mib(draw)) for draw in draws), reverse=True)]
    if n_above >= len(peaks):
        return float(math.ceil(max(peaks)))
    above, below = peaks[n_above - 1], peaks[n_above]
    return float(max(math.ceil(below), round(math.sqrt(above * below))))


def _seen_mib(draw: TrialResult) -> float:
    return draw.cost.peak_mem_mib or 0.0


def _mib(draw: TrialResult) -> float:
    return math.inf if draw.status == "oom" else _seen_mib(draw)


def _between(low: float, high: float) -> float:
    """A round number of seconds between two times, as far as there is one."""
    middle = math.sqrt(low * high)
    return round(middle, 1) if low <= round(middle, 1) <= high else middle


def read_limits(folder: Path = TABLE) -> dict[str, Any]:
    """Task name -> what its pilot decided (`limits.json`); empty before the first pilot."""
    path = folder / "limits.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def save_entry(folder: Path, name: str, task: str, entry: Mapping[str, Any]) -> None:
    """Put a task's entry into `limits.json` or `tasks.json`, in the order of the tasks' names."""
    path = folder / name
    entries = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    entries[task] = dict(entry)
    ordered = dict(sorted(entries.items()))
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in ordered.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n" if name == "tasks.json" else json.dumps(ordered, indent=1) + "\n"
    write_atomic(path, text)
