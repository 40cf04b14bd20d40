"""Plots of a prior: probabilities before and after it, and how far tasks are from each other.

As in the published figures 3 to 5. Plain dictionaries, foreign strings escaped, colours by role, as in `plots.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from xautolm.prior.explanation import Decision
from xautolm.report.wording import clean, percent

Figure = dict[str, Any]

#: Bars of one plot; the models with the largest probability are shown.
N_BARS = 16


def belief_figures(decisions: Sequence[Decision]) -> dict[str, Figure]:
    """The plots `methods` and `models`: initial probabilities without and with past experience; none without any."""
    wanted = {"method": "methods", "model": "models"}
    return {
        wanted[decision.handle]: probability_figure(decision.before["weights"], decision.after["weights"])
        for decision in decisions
        if decision.handle in wanted and decision.before["kind"] == "categorical"
    }


def probability_figure(before: Mapping[str, float], after: Mapping[str, float]) -> Figure:
    """Two bars per choice, the likeliest choice on top."""
    names = sorted(after, key=lambda name: -max(after[name], before.get(name, 0.0)))[:N_BARS]
    names = sorted(names, key=lambda name: after[name])  # Plotly draws the first at the bottom
    labels = [escape(clean(name, 40)) for name in names]
    most = max((max(after[name], before.get(name, 0.0)) for name in names), default=1.0)  # and room for its label
    traces = [
        _bars("with past experience", names, after, "front"),
        _bars("without", names, before, "muted"),
    ]
    layout = {
        "barmode": "group",
        "bargap": 0.25,
        "height": 110 + 44 * len(names),
        "xaxis": {
            "title": {"text": "initial probability"},
            "tickformat": ".0%",
            "range": [0, 1.2 * most],
            "automargin": True,
        },
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": labels, "automargin": True, "showgrid": False},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        # The legend lists the traces from the last one up, as the bars stand.
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "reversed"},
        "hovermode": "closest",
        "dragmode": False,
    }
    return {"data": traces, "layout": layout}


def heat_map_figure(names: Sequence[str], table: Sequence[Sequence[float]]) -> Figure:
    """Distances between tasks, the current one first; near is blue."""
    labels = [escape(clean(name, 18)) for name in names]
    n = len(names)
    axis = {"tickvals": list(range(n)), "ticktext": labels, "showgrid": False, "zeroline": False, "automargin": True}
    hover = [[f"{labels[i]} and {labels[j]}: {table[i][j]:.3f}" for j in range(n)] for i in range(n)]
    heat = {
        "type": "heatmap",
        "x": list(range(n)),
        "y": list(range(n)),
        "z": [list(row) for row in table],
        "zmin": 0,
        "colorscale": [[0, "near"], [1, "far"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "text": [[f"{value:.2f}" for value in row] for row in table],
        "texttemplate": "%{text}",
        "hoverinfo": "text",
        "hovertext": hover,
    }
    layout = {
        "height": 150 + 36 * n,
        "meta": {"least_width": 140 + 38 * n},  # narrower screens scroll
        "xaxis": axis | {"side": "top", "tickangle": 45},
        "yaxis": axis | {"autorange": "reversed"},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "hovermode": "closest",
        "dragmode": False,
    }
    return {"data": [heat], "layout": layout}


def _bars(name: str, choices: Sequence[str], weights: Mapping[str, float], color: str) -> dict[str, Any]:
    values = [weights.get(choice, 0.0) for choice in choices]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": values,
        "y": list(range(len(choices))),
        "marker": {"color": color},
        "text": [percent(value) for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": [
            f"{escape(clean(choice, 80))} {name}: {percent(value)}"
            for choice, value in zip(choices, values, strict=True)
        ],
    }
