"""The part of the results page about real searches: words, table and plots from `benchmarks/results/live.json`.

The file's form is described in `benchmarks.live`; only `summary`, `grid_s` and the conditions are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from benchmarks.page.svg import Axis, Panel, picture, ticks
from benchmarks.page.wording import listed, markdown, paragraph

#: Strategy -> number of its colour and line, as in the plots of replay.
SERIES: Mapping[str, int] = MappingProxyType({"ours warm": 0, "ours cold": 1, "Trainer + Optuna TPE": 4, "random": 6})
_OURS = "ours warm"
#: Column -> figure of the summary, decimals.
COLUMNS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "trials": ("n_trials", 0),
        "failed": ("n_failed", 0),
        "first model after": ("first_s", 0),
        "F1 after 1/3": ("f1_third", 3),
        "after 2/3": ("f1_two_thirds", 3),
        "at the end": ("f1_end", 3),
        "hypervolume": ("hypervolume", 3),
        "area": ("area", 3),
        "test F1": ("test_f1", 3),
    }
)
#: Figures in which another strategy can be ahead, what they are called, and the least difference that is told.
_COMPARED = (("area", "area"), ("f1_end", "validation F1 at the end"), ("test_f1", "test F1"))
_LEAST = 0.0005

Result = Mapping[str, Any]


def plots(result: Result) -> dict[str, str]:
    """File name -> SVG."""
    return {
        "live-f1.svg": _curves(result, "best_f1", "best macro F1 so far", "Best F1 over real time by strategy"),
        "live-hypervolume.svg": _curves(result, "hypervolume", "hypervolume", "Hypervolume over real time by strategy"),
    }


def _done(result: Result) -> dict[str, Any]:
    """Tasks of which all strategies have had a seed."""
    return {
        task: found for task, found in result["summary"].items() if all(found.get(s, {}).get("seeds") for s in SERIES)
    }


def _curves(result: Result, figure: str, title: str, description: str) -> str:
    seconds, panels = result["grid_s"], []
    for task, found in _done(result).items():
        highest = max(max(found[name]["curves"][figure]["high"]) for name in SERIES) or 1.0  # nothing worked
        # Good models differ by hundredths: the axis of F1 begins below what the last strategy had after a third.
        early = min(found[name]["curves"][figure]["median"][len(seconds) // 3] for name in SERIES)
        lowest = 0.9 * early if figure == "best_f1" else 0.0
        x = Axis(0.0, seconds[-1], ticks(0.0, seconds[-1], 3), "seconds")
        panel = Panel(task, x, Axis(lowest, highest * 1.02, ticks(lowest, highest), title))
        for name, number in list(SERIES.items())[::-1]:
            curve = found[name]["curves"][figure]
            panel.band(number, seconds, curve["low"], curve["high"])
            panel.line(number, seconds, curve["median"])
        panels.append(panel)
    return picture(panels, [(number, name) for name, number in SERIES.items()], description)


def text(result: Result) -> str:
    """The part of the page, in Markdown."""
    done = _done(result)
    seeds = ", ".join(f"{task} {len(found[_OURS]['seeds'])}" for task, found in done.items())
    machine, versions = result["machine"], result["versions"]
    opening = f"""
    Real fine-tuning, {result["minutes"]:g} minutes of wall time per strategy, one after the other on an idle machine
    ({machine.get("usable_cores")} cores of {machine.get("cpu")}; commit {result["commit"]}; transformers
    {versions.get("transformers")}, optuna {versions.get("optuna")}, torch {versions.get("torch")}). Seeds: {seeds}.
    Median (lowest to highest) over the seeds. The task's own rows are left out of the starter store. What each
    strategy is: [benchmarks](benchmarks.md).
    """
    command = "```console\n$ python -m benchmarks.live --json benchmarks/results/live.json\n```"
    parts = [
        "## Live",
        paragraph(opening),
        command,
        _table(done),
        listed([*_first_trials(done), *_losses(done)]),
        "![Best F1 over real time](results/live-f1.svg)",
        "![Hypervolume over real time](results/live-hypervolume.svg)",
    ]
    return "\n\n".join(parts) + "\n"


def _table(done: Mapping[str, Any]) -> str:
    lines = [["task", "strategy", *COLUMNS]]
    for task, found in done.items():
        for name in SERIES:
            figures = found[name]["figures"]
            lines.append([task, name, *(_spread(figures[key], digits) for key, digits in COLUMNS.values())])
    return markdown(lines)


def _spread(found: Mapping[str, float] | None, digits: int) -> str:
    if found is None:
        return "-"
    low, middle, high = (f"{found[key]:.{digits}f}" for key in ("low", "median", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _first_trials(done: Mapping[str, Any]) -> list[str]:
    """What the first three warm trials found against a cold search's first ten."""
    told = []
    for task, found in done.items():
        warm, cold = found[_OURS]["figures"]["f1_first"], found["ours cold"]["figures"]["f1_tenth"]
        told.append(f"{task} {_spread(warm, 3)} against {_spread(cold, 3)}")
    return [f"Best F1 of the first three warm trials against that of the first ten cold ones: {'; '.join(told)}."]


def _losses(done: Mapping[str, Any]) -> list[str]:
    """Where the median of another strategy is ahead of ours warm."""
    lines = []
    for figure, called in _COMPARED:
        lost = []
        for task, found in done.items():
            medians = {name: _median(found[name]["figures"][figure]) for name in SERIES}
            best = max(medians, key=lambda name: medians[name])
            if medians[best] > medians[_OURS] + _LEAST:
                lost.append(f"{task} ({best} {medians[best]:.3f}, ours warm {medians[_OURS]:.3f})")
        if lost:
            lines.append(f"Behind in {called} on {len(lost)} of {len(done)} tasks: {'; '.join(lost)}.")
    return lines


def _median(found: Mapping[str, float] | None) -> float:
    return float("-inf") if found is None else found["median"]
