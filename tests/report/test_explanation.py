"""The explanation on the console and as a page: complete, escaped, self-contained, readable without experiences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from explanations import cold_explanation, make_explanation

from xautolm.errors import UsageError
from xautolm.prior.explanation import THIS_TASK
from xautolm.records import Profile
from xautolm.report.explain_html import render_explanation, write_explanation
from xautolm.report.explain_text import render_explanation_text

from .test_html import HOSTILE, Page


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "/* plotly */")
    return lambda explanation: Page(render_explanation(explanation))


def test_text_tells_the_profile_the_near_tasks_and_the_changes() -> None:
    text = render_explanation_text(make_explanation())
    for part in (
        "80 train rows",
        "(classification/1) n_train 80, cv_chars 0.1235",
        "2 past tasks with 80 experiences in sqlite:///store.db",
        "Distance = 0.4 task + 0.3 semantic + 0.3 system",
        "2 past experiences would count: 1 good and 1 failed.",
        "method    head: 50 -> 80 %, full: 50 -> 20 %",
        "full.learning_rate  1e-4 (1e-5 to 1e-3) -> 1e-3 (1e-5 to 1e-3)",
        "Read this `first`.",
    ):
        assert part in text
    assert "batch_size" not in text, "what does not change is left out"
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("= sst2"))
    assert row.split() == ["=", "sst2", "0.000", "0.000", "-", "0.000", "20", "8", "+0.25", "-0.021"]
    assert "  (= the same data)" in lines


@pytest.mark.parametrize("width", [60, 80, 132])
def test_text_keeps_to_the_width(width: int) -> None:
    explanation = make_explanation(n_tasks=14, store="sqlite:///s.db")
    lines = render_explanation_text(explanation, width).splitlines()
    assert max(map(len, lines)) <= max(width, 80), "the table of figures is 80 wide at least"
    assert "  (4 farther tasks left out)" in lines


def test_without_experience_it_says_so_plainly(page) -> None:
    text = render_explanation_text(cold_explanation())
    assert "The store holds no experiences: a run would start cold." in text
    assert "past task" not in text
    assert "->" not in text
    parsed = page(cold_explanation())
    assert "a run would start cold" in parsed.text
    assert not any(attrs.get("class") == "plot fitted" for _, attrs in parsed.tags)


def test_when_nothing_counts_it_says_how_many_experiences_there_are(page) -> None:
    near = [replace(task, n_positive=0, n_negative=0) for task in make_explanation().near]
    idle = make_explanation(near=tuple(near), counted=(), decisions=(), prior_kind=None, kind="question-answering")
    lines = render_explanation_text(idle).splitlines()
    assert next(line for line in lines if "past task  " in line).split()[-2:] == ["experiences", "ok"]
    assert next(line for line in lines if line.startswith("~ sst2")).split()[-2:] == ["40", "30"]
    parsed = page(idle)
    assert "with a score" in parsed.text
    assert "learning rates" not in parsed.text


def test_large_figures_are_written_out() -> None:
    profile = Profile("generation/1", {"tokens": 362967.4, "share": 0.123456, "rows": 2400.0}, "system/2", {})
    assert "tokens 362,967, share 0.1235, rows 2,400" in render_explanation_text(make_explanation(profile=profile))


def test_page_shows_heat_map_and_beliefs(page) -> None:
    parsed = page(make_explanation())
    heat = parsed.data("heat")["data"][0]
    assert heat["z"] == [[0.0, 0.1, 0.2], [0.1, 0.0, 0.1], [0.2, 0.1, 0.0]]
    assert parsed.data("heat")["layout"]["yaxis"]["ticktext"] == [THIS_TASK, "sst2", "task1"]
    bars = {trace["name"]: trace for trace in parsed.data("methods")["data"]}
    assert parsed.data("methods")["layout"]["yaxis"]["ticktext"] == ["full", "head"]
    assert bars["with past experience"]["x"] == [0.2, 0.8]
    assert bars["without"]["x"] == [0.5, 0.5]
    for part in ("2 past tasks with 80 experiences", "+0.25", "-0.021", "the same data", "2 machines", "learning_rate"):
        assert part in parsed.text
    ids = {attrs["id"] for _, attrs in parsed.tags if attrs.get("id")}
    assert {"heat", "methods", "models"} <= ids
    assert all(attrs["aria-labelledby"] in ids for _, attrs in parsed.tags if "aria-labelledby" in attrs)


def test_page_of_a_warm_run_shows_the_same_section(make_run, monkeypatch) -> None:
    from xautolm.report.html import render_html
    from xautolm.report.summary import read_run, summarise

    from .conftest import warm_extras

    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "/* plotly */")
    parsed = Page(render_html(summarise(read_run(make_run(extras=warm_extras())))))
    assert parsed.data("methods")["layout"]["yaxis"]["ticktext"] == ["full", "head"]
    assert parsed.data("models")["layout"]["yaxis"]["ticktext"] == ["m", "s"]
    assert "Warm start from 40 past experiences" in parsed.text
    assert "0.400" in parsed.text


def test_figures_are_valid_plotly(page) -> None:
    from plotly import graph_objects

    parsed = page(make_explanation())
    for name in ("heat", "methods", "models"):
        text = json.dumps(parsed.data(name))
        for role in ("front", "muted"):
            text = text.replace(f'"color": "{role}"', '"color": "#123456"')
        text = text.replace('"near"', '"#123456"').replace('"far"', '"#ffffff"')
        graph_objects.Figure(json.loads(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_inert(page, text: str) -> None:
    dirty, clean = page(make_explanation(text)), page(make_explanation("plain"))
    assert [tag for tag, _ in dirty.tags if tag != "code"] == [tag for tag, _ in clean.tags if tag != "code"]
    assert all(not name.startswith("on") for _, attrs in dirty.tags for name in attrs)
    for name in ("heat", "models"):
        figure = dirty.data(name)
        for label in figure["layout"]["yaxis"]["ticktext"]:
            assert "<" not in label
    render_explanation(make_explanation(text)).encode()
    assert "\x1b" not in render_explanation_text(make_explanation("\x1b[31m" + text))


def test_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "")
    path = tmp_path / "page.html"
    assert write_explanation(make_explanation(), path) == path
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(UsageError, match="--html"):
        write_explanation(make_explanation(), tmp_path / "nowhere" / "page.html")
