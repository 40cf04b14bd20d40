"""The tables that a replay prints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Line = Sequence[str]


def laid_out(lines: Sequence[Line]) -> str:
    """Cells in columns of equal width.

    >>> print(laid_out([["a", "long"], ["bcd", "e"]]))
    a    long
    bcd  e
    """
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(told)


def areas(summaries: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Mean and deviation of the area by strategy and task."""
    tasks = list(dict.fromkeys(r["task"] for r in records))
    lines: list[Line] = [["area by task", *tasks, "seeds"]]
    for name, summary in summaries.items():
        spread = [[r["area"] for r in records if (r["strategy"], r["task"]) == (name, task)] for task in tasks]
        lines.append([name, *(f"{_mean(own):.3f} +- {_deviation(own):.3f}" for own in spread), str(summary["n_seeds"])])
    return lines


def figures(summaries: Mapping[str, Any]) -> list[Line]:
    """Medians over tasks and seeds with quartiles, the mean of the errors, average rank."""
    head = ["strategy", "errors", "useless", "mean time", "peak F1", "hypervolume", "area", "to cold", "of its own"]
    lines: list[Line] = [[*head, "wins", "upper wins", "rank"]]
    for name, s in summaries.items():
        shown = [_spread(s[key]) for key in ("best_f1", "volume", "area", "to_cold", "to_cold_own")]
        wins = [_spread(s[key], 2) for key in ("win_ratio", "upper_win_ratio")]
        time_s, useless = s["mean_time_s"][1], s["useless_share"][1]
        lines.append(
            [
                name,
                f"{s['mean_error_ratio']:.1%}",
                f"{useless:.0%}",
                f"{time_s:.1f} s",
                *shown,
                *wins,
                f"{s['rank']:.1f}",
            ]
        )
    return lines


def ablations(summaries: Mapping[str, Any], paired: Mapping[str, Mapping[str, float]]) -> list[Line]:
    """The main figures of ours without its parts, and what the area loses by that."""
    head = ["without", "errors", "mean time", "peak F1", "hypervolume", "area", "to cold", "wins"]
    lines: list[Line] = [[*head, "area lost", "pairs won", "p"]]
    for name, s in summaries.items():
        medians = [_value(s[key][1]) for key in ("best_f1", "volume", "area", "to_cold")]
        lost = paired.get(name)
        test = ["", "", ""] if lost is None else [f"{lost['mean']:+.4f}", f"{lost['won']:.0%}", f"{lost['p']:.2g}"]
        time_s, wins = s["mean_time_s"][1], _value(s["win_ratio"][1], 2)
        lines.append([name, f"{s['mean_error_ratio']:.1%}", f"{time_s:.1f} s", *medians, wins, *test])
    return lines


def tests(paired: Mapping[str, Mapping[str, float]], against: str) -> list[Line]:
    """Paired differences in area."""
    lines: list[Line] = [
        [f"{against} against", "area ahead by", "pairs won", "tasks ahead", "pairs", "p (Wilcoxon, Holm)"]
    ]
    for name, found in paired.items():
        shown = [f"{found['mean']:+.4f}", f"{found['won']:.0%}", str(found["n_tasks_ahead"]), str(found["n"])]
        lines.append([name, *shown, f"{found['p']:.2g}"])
    return lines


def numbers(found: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Number, bound, what was found, and whether it was reached."""
    lines: list[Line] = [["number", "bound", "found", "published warm", "reached"]]
    for number in found:
        is_reached = "yes" if number["is_reached"] else "NO"
        lines.append([number["name"], number["bound"], number["found"], number["published"] or "-", is_reached])
    return lines


def _value(value: float | None, digits: int = 3) -> str:
    return "never" if value is None else f"{value:.{digits}f}"


def _spread(quartiles: Sequence[float | None], digits: int = 3) -> str:
    low, middle, high = (_value(value, digits) for value in quartiles)
    return f"{middle} ({low}-{high})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(value - mean) ** 2 for value in values]))
