"""The plots of a replay's result: anytime curves, fronts, error ratios beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from benchmarks.page.svg import Axis, Panel, picture, ticks
from benchmarks.replaying.strategies import OURS, OURS_COLD, RIVAL, WARM_PUBLISHED

#: Strategy -> number of its colour and line. Others are in the tables.
SERIES: Mapping[str, int] = MappingProxyType(
    {
        OURS: 0,
        OURS_COLD: 1,
        RIVAL: 2,
        WARM_PUBLISHED: 3,
        "Syne Tune transfer": 7,
        "TPE penalised": 4,
        "SMAC3": 5,
        "random": 6,
    }
)
_WITH_BANDS = frozenset({OURS, RIVAL, WARM_PUBLISHED})
#: Recorded task -> the paper's error ratios: zero-shot run, best warm start, as in its released result files
#: (`summary-{liar,sst2,meld,ag_news}.json`; `method.md` section 6.5). Full data sets, a GPU, 48 and 24 hours.
PAPER: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"liar": (0.702, 0.099), "sst2": (0.787, 0.619), "meld": (0.736, 0.108), "ag_news": (0.918, 0.711)}
)
_PAPER_SERIES = ((6, "paper, cold"), (5, "paper, best warm start"))

Result = Mapping[str, Any]


def plots(result: Result) -> dict[str, str]:
    """File name -> SVG."""
    return {"anytime.svg": anytime(result), "fronts.svg": fronts(result), "errors.svg": errors(result)}


def _shown(result: Result) -> list[tuple[int, str]]:
    return [(number, name) for name, number in SERIES.items() if name in result["strategies"]]


def anytime(result: Result) -> str:
    """Median hypervolume over time of each task, with quartiles of three strategies."""
    panels = []
    for name, task in result["tasks"].items():
        shares = [second / task["horizon_s"] for second in task["grid_s"]][1:]
        highest = max(value for _, s in _shown(result) for value in task["curves"][s]["high"])
        marks = [(1 / 512, "1/512"), (1 / 64, "1/64"), (1 / 8, "1/8"), (1.0, "1")]
        x = Axis(shares[0], 1.0, marks, "time / that of the cold published search", is_log=True)
        panel = Panel(name, x, Axis(0.0, highest * 1.05, ticks(0.0, highest), "hypervolume"))
        for number, strategy in _shown(result)[::-1]:
            curve = task["curves"][strategy]
            if strategy in _WITH_BANDS:
                panel.band(number, shares, curve["low"][1:], curve["high"][1:])
            panel.line(number, shares, curve["middle"][1:], is_step=True)
        panels.append(panel)
    return picture(panels, _shown(result), "Hypervolume over time by strategy, one panel per recorded task")


def fronts(result: Result) -> str:
    """What the search of median final hypervolume found on each task."""
    panels = []
    for name, task in result["tasks"].items():
        points = {s: task["fronts"][s] for _, s in _shown(result)}
        every = [point for found in points.values() for point in found]
        fastest = min(seconds for _, seconds in every)
        low, high = min(f1 for f1, _ in every), max(f1 for f1, _ in every)
        marks = [(v, f"{v:g}") for v in (0.1, 0.3, 1, 3, 10, 30, 100) if fastest * 0.8 <= v <= task["time_limit_s"]]
        x = Axis(fastest * 0.8, task["time_limit_s"], marks, "seconds of a trial", is_log=True)
        margin = 0.05 * (high - low)
        panel = Panel(name, x, Axis(low - margin, high + margin, ticks(low, high), "macro F1"))
        for number, strategy in _shown(result)[::-1]:
            seconds, f1 = [p[1] for p in points[strategy]], [p[0] for p in points[strategy]]
            if not f1:
                continue
            panel.line(number, [*seconds, task["time_limit_s"]], [*f1, f1[-1]], is_step=True)
            panel.dots(number, seconds, f1)
        panels.append(panel)
    return picture(panels, _shown(result), "Macro F1 against the seconds of a trial, fronts of each recorded task")


def errors(result: Result) -> str:
    """Share of failed trials on each task, beside what the paper's files say of the same data set."""
    panels = []
    compared = [
        (SERIES[name], name) for name in (RIVAL, WARM_PUBLISHED, OURS_COLD, OURS) if name in result["strategies"]
    ]
    for task in result["tasks"]:
        bars = [(number, value) for (number, _), value in zip(_PAPER_SERIES, PAPER.get(task, ()), strict=False)]
        bars += [(number, error_ratio(result, name, task)) for number, name in compared]
        panel = Panel(task, Axis(0.0, len(bars), (), ""), Axis(0.0, 1.0, ticks(0.0, 1.0), "failed trials"))
        for i, (number, value) in enumerate(bars):
            panel.bar(number, i + 0.12, i + 0.88, value, f"{value:.0%}" if value >= 0.1 else f"{value:.1%}")
        panels.append(panel)
    return picture(
        panels, [*_PAPER_SERIES, *compared], "Share of failed trials by task, beside the paper's", has_bars=True
    )


def error_ratio(result: Result, strategy: str, task: str) -> float:
    """Mean share of failed trials of a strategy on a task."""
    own = [float(r["error_ratio"]) for r in result["records"] if (r["strategy"], r["task"]) == (strategy, task)]
    return sum(own) / len(own)
