"""What `xautolm explain` prints: plain text of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from xautolm.prior.explanation import Decision, Explanation
from xautolm.prior.similarity import GROUPS
from xautolm.report.explain_html import features, weights_in_words
from xautolm.report.prior_facts import NeighbourRow, PriorFacts, from_explanation, most_changed
from xautolm.report.wording import clean, plural, score, signed

#: Near tasks on the console; the page and `--json` have more.
N_TASKS = 10
#: Hyperparameters on the console.
N_DECISIONS = 12
#: The narrowest output.
NARROWEST = 60


def render_explanation_text(explanation: Explanation, width: int = 80) -> str:
    """The explanation as plain text; only paths and names may be wider than `width`."""
    width = max(width, NARROWEST)
    facts = from_explanation(explanation)
    blocks = [
        "\n".join(_wrap(f"{line[:10]:<10}{clean(line[10:], 1000)}", width, " " * 10) for line in explanation.data),
        _profile(explanation, width),
        _near(explanation, facts, width),
        *(_wrap(clean(note, 500), width) for note in explanation.notes),
        _beliefs(facts, width),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _profile(explanation: Explanation, width: int) -> str:
    profile = explanation.profile
    embedding = f"mean of {len(profile.semantic)} numbers" if profile.semantic else "none"
    lines = [
        ("Task", f"({clean(profile.schema, 60)}) {_listed(features(profile.task))}"),
        ("Machine", f"({clean(profile.system_schema, 60)}) {_listed(features(profile.system))}"),
        ("Embedding", embedding),
    ]
    return "\n".join(_wrap(f"{name:<9} {text}", width, " " * 10) for name, text in lines)


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs)


def _near(explanation: Explanation, facts: PriorFacts, width: int) -> str:
    if not facts.neighbours:
        return f"Store: {clean(explanation.store)}"
    n_experiences = sum(task.n_experiences for task in explanation.near)
    shown = facts.neighbours[:N_TASKS]
    head = f"{plural(len(explanation.near), 'past task')} with {plural(n_experiences, 'experience')}"
    lines = [
        f"{head} in {clean(explanation.store)}",
        _wrap(f"{weights_in_words(explanation.weights)}.", width),
        _table(shown, width, with_counts=facts.has_counts),
    ]
    if len(explanation.near) > len(shown):
        lines.append(f"  ({plural(len(explanation.near) - len(shown), 'farther task')} left out)")
    if facts.sentence:
        lines.append(_wrap(f"{facts.sentence} Weights are sums of learning rates.", width))
    return "\n".join(lines)


def _table(rows: Sequence[NeighbourRow], width: int, *, with_counts: bool) -> str:
    counts = ("good", "failed", "for", "against") if with_counts else ("experiences", "ok")
    head = ("past task", "distance", *GROUPS, *counts)
    body = [
        (row.name, score(row.distance), *(score(part) for part in row.parts), *_counts(row, with_counts))
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    widths[0] = max(12, min(widths[0], width - 2 - sum(widths[1:]) - 2 * (len(widths) - 1)))
    marks = [" ", *(row.mark or " " for row in rows)]
    lines = [f"{mark} {_line(cells, widths)}" for mark, cells in zip(marks, (head, *body), strict=True)]
    legend = {"=": "= the same data", "~": "~ another kind of task, which teaches nothing here"}
    used = [text for mark, text in legend.items() if mark in marks]
    return "\n".join([*lines, *([f"  ({'; '.join(used)})"] if used else [])])


def _counts(row: NeighbourRow, with_counts: bool) -> tuple[str, ...]:
    if with_counts:
        return f"{row.n_good:,}", f"{row.n_bad:,}", signed(row.weight_good), signed(row.weight_bad)
    return f"{row.n_experiences or 0:,}", f"{row.n_ok or 0:,}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *figures = (clean(cell, width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.ljust(widths[0]), *(f.rjust(w) for f, w in zip(figures, widths[1:], strict=True))])


def _beliefs(facts: PriorFacts, width: int) -> str:
    if not facts.decisions:
        return ""
    lines = ["Probability before the first trial, without and with past experience"]
    for handle in ("method", "model"):
        decision = next(d for d in facts.decisions if d.handle == handle)
        lines += [_wrap(f"{handle:<9} {_moves(decision)}", width, " " * 10)]
    changed = most_changed(facts, N_DECISIONS)
    if changed:
        lines.append("Hyperparameters that change most (numbers: median and middle 80 %)")
    for method, row in changed:
        lines.append(_wrap(f"  {method}.{row.name}  {row.move}", width, " " * 6))
    return "\n".join(lines)


def _moves(decision: Decision) -> str:
    """`full: 25 -> 31 %, ...`, the likeliest first."""
    old, new = decision.before["weights"], decision.after["weights"]
    ordered = sorted(new, key=lambda name: -new[name])
    return ", ".join(f"{clean(name, 60)}: {100 * old[name]:.0f} -> {100 * new[name]:.0f} %" for name in ordered)


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
