"""The two plots of the report as Plotly figures in plain dictionaries (data, layout), without Plotly.

Plotly reads a little HTML in every text it draws, so that each foreign string goes through `html.escape`
here. Colours are names (`front`, `muted`, ...) that the page's script replaces by the theme's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

from xautolm.report.rows import TrialRow
from xautolm.report.summary import Summary
from xautolm.report.wording import duration, memory, score

Figure = dict[str, Any]

#: The smallest time (s) on the log axis; a trial that failed at once has 0 s.
SHORTEST_S = 0.01

#: Ticks of the log axis (s): 1, 2 and 5 in every decade from a hundredth of a second to weeks.
TICKS_S = [digit * 10.0**decade for decade in range(-2, 7) for digit in (1, 2, 5)]


def pareto_figure(summary: Summary) -> Figure:
    """Quality against time: the front as a line, dominated trials grey, trials without a score below."""
    front = summary.front
    dominated = [row for row in summary.trials if row.score is not None and not row.is_front]
    unscored = [row for row in summary.trials if row.score is None]
    traces = []
    if dominated:
        traces.append(_scored(dominated, "dominated", {"color": "muted", "size": 7, "opacity": 0.75}))
    if front:
        line = {"mode": "lines+markers", "line": {"color": "front", "width": 2, "shape": _step(summary)}}
        traces.append(_scored(front, "Pareto front", {"color": "front", "size": 9}) | line)
    baselines = [facts.row for facts in summary.baselines if facts.row.is_baseline and facts.row.score is not None]
    if baselines:
        marker = {"color": "muted", "size": 12, "symbol": "diamond-open", "line": {"color": "muted", "width": 2}}
        traces.append(_scored(baselines, "baselines", marker))
    best = [row for row in summary.trials if row.is_best and row.score is not None]
    if best:
        marker = {"color": "best", "size": 17, "symbol": "star", "line": {"color": "paper", "width": 1.5}}
        traces.append(_scored(best, "recommended", marker))
    traces += _marks(unscored)
    layout = _layout(x="time per trial (s, log scale)", y=f"validation {summary.metric}")
    layout["xaxis"] |= {"type": "log", "tickvals": TICKS_S, "ticktext": [f"{tick:g}" for tick in TICKS_S]}
    if unscored:
        statuses = sorted({row.status for row in unscored})
        share = min(0.3, 0.06 * len(statuses) + 0.02)
        layout["yaxis"]["domain"] = [share + 0.05, 1]
        layout["yaxis2"] = {
            "domain": [0, share],
            "type": "category",
            "categoryarray": statuses,
            "range": [-0.6, len(statuses) - 0.4],
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        }
        layout["xaxis"]["anchor"] = "y2"
    return {"data": traces, "layout": layout}


def anytime_figure(summary: Summary) -> Figure:
    """Best score so far against elapsed time, with all scored trials and, on demand, their curves."""
    unit, per = ("min", 60.0) if (summary.elapsed_s or 0) > 180 else ("s", 1.0)
    scored = [row for row in summary.trials if row.score is not None and row.finished_s is not None]
    traces = [_curves(summary.trials, per)]
    if scored:
        points = _scored(scored, "trials", {"color": "muted", "size": 6, "opacity": 0.75})
        traces.append(points | {"x": [round((row.finished_s or 0) / per, 4) for row in scored]})
    steps = summary.anytime
    if steps:
        end_s = max(row.finished_s or 0 for row in summary.trials)
        traces.append(
            {
                "type": "scatter",
                "name": "best so far",
                "mode": "lines+markers",
                "line": {"color": "front", "width": 2, "shape": "hv"},
                "marker": {"color": "front", "size": [8] * len(steps) + [0]},
                "x": [round(s / per, 4) for s, _, _ in steps] + [round(end_s / per, 4)],
                "y": [value for _, value, _ in steps] + [steps[-1][1]],
                "hoverinfo": "text",
                "hovertext": [f"best so far: {score(v)} (trial {i}) after {duration(s)}" for s, v, i in steps] + [""],
            }
        )
    layout = _layout(x=f"elapsed time ({unit}, pauses left out)", y=f"validation {summary.metric}")
    layout["xaxis"]["rangemode"] = "tozero"
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def _scored(rows: Sequence[TrialRow], name: str, marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "mode": "markers",
        "marker": marker,
        "x": [max(row.time_s, SHORTEST_S) for row in rows],
        "y": [row.score for row in rows],
        "hoverinfo": "text",
        "hovertext": [_hover(row) for row in rows],
        "customdata": [row.trial_id for row in rows],
    }


def _marks(unscored: Sequence[TrialRow]) -> list[dict[str, Any]]:
    """One trace for failures and one for trials stopped early, on a strip with a line per status."""
    failed = [row for row in unscored if row.is_failed]
    others = [row for row in unscored if not row.is_failed]
    traces = []
    for name, rows, marker in (
        (
            "failed",
            failed,
            {"color": "failed", "symbol": "x-thin", "size": 8, "line": {"color": "failed", "width": 2}},
        ),
        (
            "stopped",
            others,
            {"color": "muted", "symbol": "line-ns", "size": 9, "line": {"color": "muted", "width": 2}},
        ),
    ):
        if rows:
            strip = {"y": [row.status for row in rows], "yaxis": "y2"}
            traces.append(_scored(rows, name, marker) | strip)
    return traces


def _curves(rows: Sequence[TrialRow], per: float) -> dict[str, Any]:
    """The validation curves as one trace with gaps, hidden until its legend entry is clicked."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for row in rows:
        if row.started_s is None or not row.curve:
            continue
        x += [*(round((row.started_s + seconds) / per, 4) for seconds, _ in row.curve), None]
        y += [*(value for _, value in row.curve), None]
        text += [
            *(f"trial {row.trial_id}: {score(v)} after {duration(s)} of training" for s, v in row.curve),
            "",
        ]
    return {
        "type": "scatter",
        "name": "validation curves (click)",
        "mode": "lines",
        "line": {"color": "curve", "width": 1},
        "visible": "legendonly",
        "x": x,
        "y": y,
        "hoverinfo": "text",
        "hovertext": text,
    }


def _hover(row: TrialRow) -> str:
    figures = [duration(row.time_s), memory(row.peak_mem_mib)] if row.peak_mem_mib else [duration(row.time_s)]
    name = "baseline" if row.is_baseline else f"trial {row.trial_id}"
    head = f"{name}: {row.status if row.score is None else score(row.score)}, {', '.join(figures)}"
    lines = [head, row.pipeline, *textwrap.wrap(row.all_settings, 60), *textwrap.wrap(row.error, 60)[:3]]
    return "<br>".join(escape(line) for line in lines)


def _step(summary: Summary) -> str:
    """The front is a staircase: between two points nothing better is known than the cheaper one."""
    return "hv" if len(summary.front) > 1 else "linear"


def _layout(*, x: str, y: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": escape(x)}, "zeroline": False, "automargin": True},
        "yaxis": {"title": {"text": escape(y)}, "zeroline": False, "automargin": True},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "dragmode": "zoom",
    }
