"""The numbers that the warm search is to reach in replay, each with its bound and whether it was reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.replaying.comparison import Record, middle, of, summaries, values
from benchmarks.replaying.figures import FIRST, LATER
from benchmarks.replaying.strategies import MISLED, OURS, OURS_COLD, RIVAL, WARM_PUBLISHED

NEEDED = (RIVAL, WARM_PUBLISHED, OURS_COLD, OURS, MISLED)


@dataclass(frozen=True, slots=True)
class Number:
    """One of the numbers.

    Attributes:
        name: what is measured.
        bound: what is wanted, in words.
        found: what was found, in words.
        published: the published warm start's own figure here; empty = not asked.
        is_reached: whether it is.
    """

    name: str
    bound: str
    found: str
    published: str
    is_reached: bool


def numbers(records: Sequence[Record], ranked: Sequence[str]) -> list[Number]:
    """All numbers; medians over tasks and seeds unless they say otherwise.

    Args:
        records: of at least the strategies `NEEDED`.
        ranked: the strategies among which the average rank is taken.
    """
    return [
        *_times(records),
        *_errors(records),
        *_wins(records),
        _peaks(records),
        *_ranks(records, ranked),
        _misled(records),
        _first_trials(records, RIVAL),
        _first_trials(records, OURS_COLD),
    ]


def _median(records: Sequence[Record], strategy: str, figure: str, task: str | None = None) -> float:
    found = middle(of(records, strategy, task), figure)
    return math.inf if found is None else found


def _mean(records: Sequence[Record], strategy: str, figure: str) -> float:
    return float(np.mean(values(of(records, strategy), figure)))


def _tasks(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record["task"] for record in records))


def _told(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "never"


def _times(records: Sequence[Record]) -> list[Number]:
    found, theirs = (_median(records, name, "to_cold") for name in (OURS, WARM_PUBLISHED))
    own = _median(records, OURS, "to_cold_own")
    time_s, cold_s, published_s = (_median(records, name, "mean_time_s") for name in (OURS, RIVAL, WARM_PUBLISHED))
    reached = Number(
        "time to the cold published search's final hypervolume, over its whole time",
        "at most 1/8 (0.125)",
        f"{_told(found)} (over the time at which it got there itself: {_told(own)})",
        _told(theirs),
        found <= 1 / 8,
    )
    spent = Number(
        "mean evaluation time of proposed pipelines, over the cold search's",
        "at most 1/3",
        f"{time_s / cold_s:.3f} ({time_s:.2f} s against {cold_s:.2f} s)",
        f"{published_s / cold_s:.3f}",
        time_s / cold_s <= 1 / 3,
    )
    return [reached, spent]


def _errors(records: Sequence[Record]) -> list[Number]:
    """Reached when the median and the mean are: the median of a strategy that hardly fails is 0."""
    both = [(_median, "median"), (_mean, "mean")]
    ours, cold, theirs = ([f(records, name, "error_ratio") for f, _ in both] for name in (OURS, RIVAL, WARM_PUBLISHED))
    over = [a / b if b else math.inf for a, b in zip(ours, cold, strict=True)]
    ratio = Number(
        "error ratio over the cold published search's, median and mean",
        "at most 1/10",
        " and ".join(f"{value:.3f}" for value in over),
        " and ".join(f"{a / b:.3f}" if b else "inf" for a, b in zip(theirs, cold, strict=True)),
        max(over) <= 1 / 10,
    )
    absolute = Number(
        "error ratio, median and mean",
        "at most 3 %",
        " and ".join(f"{value:.1%}" for value in ours),
        " and ".join(f"{value:.1%}" for value in theirs),
        max(ours) <= 0.03,
    )
    return [ratio, absolute]


def _wins(records: Sequence[Record]) -> list[Number]:
    found, theirs = (_median(records, name, "win_ratio") for name in (OURS, WARM_PUBLISHED))
    upper = _median(records, OURS, "upper_win_ratio")
    useless, cold, published = (_mean(records, name, "useless_share") for name in (OURS, RIVAL, WARM_PUBLISHED))
    won = Number(
        "win ratio over the cold front",
        "at least 0.60",
        f"{found:.2f} (of those above the front's median F1: {_told(upper)})",
        f"{theirs:.2f}",
        found >= 0.60,
    )
    spared = Number(
        "useless share of valid pipelines, mean",
        "not above the cold search's",
        f"{useless:.2%} against {cold:.2%}",
        f"{published:.2%}",
        useless <= cold,
    )
    return [won, spared]


def _peaks(records: Sequence[Record]) -> Number:
    tasks = _tasks(records)
    gaps = {
        name: {t: _median(records, name, "best_f1", t) - _median(records, RIVAL, "best_f1", t) for t in tasks}
        for name in (OURS, WARM_PUBLISHED)
    }
    n_ours, n_theirs = (sum(gap >= 0 for gap in gaps[name].values()) for name in (OURS, WARM_PUBLISHED))
    return Number(
        "tasks on which the peak F1 is not below the cold search's",
        f"{len(tasks)} of {len(tasks)}",
        f"{n_ours} ({', '.join(f'{task} {gap:+.3f}' for task, gap in gaps[OURS].items())})",
        str(n_theirs),
        n_ours == len(tasks),
    )


def _ranks(records: Sequence[Record], ranked: Sequence[str]) -> list[Number]:
    found, tasks = summaries(records, ranked), _tasks(records)
    rank, n_first = found[OURS]["rank"], found[OURS]["n_first"]
    published = found[WARM_PUBLISHED]
    average = Number(
        f"average rank in hypervolume area of {len(ranked)} strategies",
        "at most 1.5",
        f"{rank:.1f}",
        f"{published['rank']:.1f}",
        rank <= 1.5,
    )
    first = Number(
        "tasks on which it is first",
        f"at least three quarters of {len(tasks)}",
        str(n_first),
        str(published["n_first"]),
        n_first >= 0.75 * len(tasks),
    )
    return [average, first]


def _misled(records: Sequence[Record]) -> Number:
    cold = {(r["task"], r["seed"]): r["volume"] for r in of(records, OURS_COLD)}
    ratios = [r["volume"] / cold[r["task"], r["seed"]] - 1 for r in of(records, MISLED)]
    by_task = {
        task: _median(records, MISLED, "volume", task) / _median(records, OURS_COLD, "volume", task) - 1
        for task in _tasks(records)
    }
    worst = min(by_task, key=lambda task: by_task[task])
    found = float(np.median(ratios))
    return Number(
        "adversarial store: final hypervolume against ours cold",
        "at most 5 % below",
        f"{found:+.1%} (worst task: {worst} {by_task[worst]:+.1%})",
        "",
        min(found, by_task[worst]) >= -0.05,
    )


def _first_trials(records: Sequence[Record], cold: str) -> Number:
    """What the first warm trials reach beyond the median that ten cold ones reach on the same task."""
    tasks = _tasks(records)
    wanted = {task: _median(records, cold, "later_f1", task) for task in tasks}
    gaps = {task: _median(records, OURS, "first_f1", task) - wanted[task] for task in tasks}
    pooled = float(np.median([record["first_f1"] - wanted[record["task"]] for record in of(records, OURS)]))
    n = sum(gap >= 0 for gap in gaps.values())
    return Number(
        f"best F1 of the first {FIRST} warm trials over the median of {LATER} of {cold}, median over tasks and seeds",
        "not below",
        f"{pooled:+.4f} ({', '.join(f'{task} {gap:+.3f}' for task, gap in gaps.items())}: {n} of {len(tasks)} tasks)",
        "",
        pooled >= 0,
    )
