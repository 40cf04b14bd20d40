"""The report on the console: plain text of any width, and the same with colour on a terminal."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from rich.console import Console
from rich.text import Text

from xautolm.report.baselines import BaselineFacts
from xautolm.report.rows import TrialRow
from xautolm.report.summary import Summary
from xautolm.report.wording import duration, memory, plural, score

#: The narrowest output; below it lines may be cut.
NARROWEST = 40

#: Rows of the front shown on the console; the page has all.
N_FRONT_ROWS = 12

#: Trials and choices that a line or list of the console names; the page has all.
N_NAMED = 8


def render_text(summary: Summary, width: int = 80) -> str:
    """The summary as plain text without box drawing; only paths may be wider than `width`."""
    width = max(width, NARROWEST)
    blocks = [
        _wrap(summary.status_sentence, width),
        _front_table(summary, width),
        _best(summary, width),
        _baselines(summary, width),
        _failures(summary, width),
        _rescued(summary, width),
        _left_out(summary, width),
        *(_wrap(note, width) for note in summary.notes),
        _places(summary),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def print_summary(summary: Summary, console: Console) -> None:
    """Print the summary; on a terminal the recommended trial and the failures are coloured."""
    width = console.width if console.is_terminal else 80
    text = Text(render_text(summary, width), no_wrap=True)
    text.highlight_regex(r"(?m)^\* .*$", "bold green")
    text.highlight_regex(r"(?m)^(Recommended|Test|Report|Model):", "bold")
    text.highlight_regex(r"(?m)^Failed:.*$", "red")
    console.print(text, soft_wrap=True, highlight=False, end="")


def _wrap(text: str, width: int, indent: str = "") -> str:
    """Fill to the width, without a line end between a number and its unit."""
    glued = re.sub(r"(?<=\d) (?=(s|min|h|MiB|GiB|%)\b|%)", "\N{NO-BREAK SPACE}", text)
    filled = textwrap.fill(glued, width, subsequent_indent=indent, break_on_hyphens=False)
    return filled.replace("\N{NO-BREAK SPACE}", " ")


def _front_table(summary: Summary, width: int) -> str:
    if not summary.front:
        return ""
    head = ("trial", "model", "method", summary.metric, "time", "memory")
    shown = summary.front[-N_FRONT_ROWS:]
    body = [(r.label, r.model, r.method, score(r.score), duration(r.time_s), memory(r.peak_mem_mib)) for r in shown]
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    # Two columns hold foreign names; they give way, the model first, so that the figures always fit.
    for column, least in ((1, 8), (2, 6)):
        excess = 2 + sum(widths) + 2 * (len(widths) - 1) - width
        widths[column] = max(least, widths[column] - max(0, excess))
    lines = [
        f"Pareto front: {plural(len(summary.front), 'pipeline')}, cheapest first, * = recommended",
        "  " + _line(head, widths),
        *(("* " if r.is_best else "  ") + _line(cells, widths) for r, cells in zip(shown, body, strict=True)),
    ]
    if len(shown) < len(summary.front):
        lines.append(f"  ({len(summary.front) - len(shown)} cheaper ones are in the report)")
    return "\n".join(line[:width].rstrip() for line in lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Cells in columns: names to the left, figures to the right; long names are cut in the middle."""
    parts = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = cell if len(cell) <= width else cell[: width // 2] + "…" + cell[len(cell) - (width - width // 2 - 1) :]
        parts.append(text.ljust(width) if column in (1, 2) else text.rjust(width))
    return "  ".join(parts)


def _best(summary: Summary, width: int) -> str:
    if summary.best is None:
        return _wrap("No trial gave a working model." if summary.trials else "No trial has finished.", width)
    trial: TrialRow = summary.best.trial
    lines = [
        _wrap(f"Recommended: trial {trial.trial_id}, {trial.pipeline}", width, "  "),
        _wrap(f"  {trial.all_settings}", width, "  "),
        *(_wrap(f"- {reason}", width, "  ") for reason in summary.best.reasons),
    ]
    if summary.test:
        scores = ", ".join(f"{name} {score(value)}" for name, value in summary.test)
        lines.append(_wrap(f"Test: {scores}", width, "  "))
    return "\n".join(lines)


def _baselines(summary: Summary, width: int) -> str:
    if not summary.baselines:
        return ""
    lines = [_wrap(f"- {_baseline(facts)}", width, "  ") for facts in summary.baselines]
    return "\n".join([f"Baselines, validation {summary.metric}:", *lines])


def _baseline(facts: BaselineFacts) -> str:
    where = "" if facts.row.is_baseline else f" (trial {facts.row.trial_id})"
    return f"{facts.name}{where}: {facts.cost}; {facts.verdict}" if facts.cost else f"{facts.name}: {facts.verdict}"


def _failures(summary: Summary, width: int) -> str:
    if not summary.n_failed:
        return ""
    counts = ", ".join(f"{facts.n_trials} {facts.status}" for facts in summary.failures)
    first = summary.failures[0]
    return _wrap(f"Failed: {counts} of {plural(len(summary.trials), 'trial')}; {first.advice}.", width, "  ")


def _rescued(summary: Summary, width: int) -> str:
    """Trials that ran in less memory than they asked for."""
    rescued = [trial for trial in summary.trials if trial.rescued_from]
    if not rescued:
        return ""
    names = ", ".join(str(trial.trial_id) for trial in rescued[:N_NAMED])
    more = f" and {len(rescued) - N_NAMED} more" if len(rescued) > N_NAMED else ""
    return _wrap(f"Rescued from running out of memory, with smaller micro-batches: trial {names}{more}.", width, "  ")


def _left_out(summary: Summary, width: int) -> str:
    """What was removed before the search, and why."""
    if not summary.dropped:
        return ""
    lines = [f"Left out before the search, {plural(len(summary.dropped), 'part')}:"]
    lines += [_wrap(f"- {what}: {reason}", width, "  ") for what, reason in summary.dropped[:N_NAMED]]
    if len(summary.dropped) > N_NAMED:
        lines.append(f"- {len(summary.dropped) - N_NAMED} more are in the report")
    return "\n".join(lines)


def _places(summary: Summary) -> str:
    folder = Path(summary.folder)
    lines = [f"Report: {folder / 'report.html'}"]
    if summary.has_model:
        lines.append(f"Model:  {folder / 'model'}")
    return "\n".join(lines)
