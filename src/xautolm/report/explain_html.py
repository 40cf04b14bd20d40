"""The page of `xautolm explain`: near tasks, how far tasks are from each other, beliefs before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xautolm.errors import UsageError
from xautolm.prior.explanation import Explanation
from xautolm.report.page import render_page, write_page
from xautolm.report.prior_facts import from_explanation
from xautolm.report.prior_plots import belief_figures, heat_map_figure
from xautolm.report.wording import clean, number

#: Figures from here on are written without decimals.
LARGE = 10_000.0


def render_explanation(explanation: Explanation) -> str:
    """The page as a string."""
    facts = from_explanation(explanation)
    figures = belief_figures(facts.decisions)
    if facts.neighbours:
        figures["heat"] = heat_map_figure(explanation.table_names, explanation.table)
    profile = explanation.profile
    return render_page(
        "explain.html.j2",
        figures,
        p=facts,
        name=clean(explanation.dataset_id, 120),
        kind=clean(explanation.kind, 60),
        data=[clean(line, 1000) for line in explanation.data],
        notes=[clean(note, 500) for note in explanation.notes],
        store=clean(explanation.store),
        first=explanation.table_names[0],
        n_in_table=len(explanation.table_names),
        task_schema=clean(profile.schema, 60),
        system_schema=clean(profile.system_schema, 60),
        system_name=clean(profile.system_name, 200),
        n_semantic=len(profile.semantic or ()),
        n_tasks=len(explanation.near),
        n_experiences=sum(task.n_experiences for task in explanation.near),
        weights=weights_in_words(explanation.weights),
        task_features=features(profile.task),
        system_features=features(profile.system),
    )


def check_place(path: Path) -> None:
    """Refuse a place where no page can be written, before anything is computed for it.

    Raises:
        UsageError: its folder is not there, or it is a folder.
    """
    if not path.parent.is_dir():
        raise UsageError(f"expected a file in a folder that exists at `--html {path}`; make `{path.parent}` first")
    if path.is_dir():
        raise UsageError(f"expected a file at `--html {path}`, but that is a folder; name a file in it")


def write_explanation(explanation: Explanation, path: Path) -> Path:
    """Write the page atomically.

    Raises:
        UsageError: it cannot be written there; an older page is left as it was.
    """
    check_place(path)
    try:
        return write_page(path, render_explanation(explanation))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"expected a place for the page at `--html {path}`, but cannot write there: {reason}"
        ) from error


def features(values: Mapping[str, float]) -> list[tuple[str, str]]:
    """Name and value of each feature, as people write them."""
    return [(clean(name, 60), _figure(float(value))) for name, value in values.items()]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= LARGE else number(value)


def weights_in_words(weights: Mapping[str, float]) -> str:
    """The formula of the distance.

    >>> weights_in_words({"task": 0.4, "semantic": 0.3, "system": 0.3})
    'Distance = 0.4 task + 0.3 semantic + 0.3 system, over the parts that both tasks have'
    """
    terms = " + ".join(f"{weight:g} {group}" for group, weight in weights.items())
    return f"Distance = {terms}, over the parts that both tasks have"
