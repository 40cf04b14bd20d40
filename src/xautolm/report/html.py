"""The page of a run: recommendation, plots, trials, what the run knew before it began."""

from __future__ import annotations

import shlex
from pathlib import Path

from xautolm.report.page import render_page, write_page
from xautolm.report.plots import anytime_figure, pareto_figure
from xautolm.report.prior_plots import belief_figures
from xautolm.report.summary import Summary


def render_html(summary: Summary) -> str:
    """The page as a string."""
    model = str(Path(summary.folder) / "model")
    figures = {"pareto": pareto_figure(summary), "anytime": anytime_figure(summary)}
    return render_page(
        "report.html.j2",
        figures | belief_figures(summary.prior.decisions),
        s=summary,
        n_labels_shown=20,
        model_literal=repr(model),
        model_argument=shlex.quote(model),
        resume_argument=shlex.quote(summary.folder),
    )


def write_html(summary: Summary, path: str | Path | None = None) -> Path:
    """Write the page atomically, by default to `report.html` in the run folder, and return its path.

    Raises:
        OSError: the page cannot be written; an older page is then left as it was.
    """
    target = Path(path) if path is not None else Path(summary.folder) / "report.html"
    return write_page(target, render_html(summary))
