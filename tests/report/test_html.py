"""The page: self-contained, escaped, complete."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from xautolm.report.html import render_html, write_html
from xautolm.report.page import json_block
from xautolm.report.plots import anytime_figure, pareto_figure
from xautolm.report.summary import read_run, summarise

from .conftest import TYPICAL_EXTRAS

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
    "`<b>`",
    "\u202e\x00\ud800",
]


class Page(HTMLParser):
    """Start tags with attributes, and the text of `script` elements by id (or position)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside: str = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside != "style":
            self.text += data

    def data(self, name: str):
        return json.loads(next(text for attrs, text in self.scripts if attrs.get("id") == f"{name}-data"))


@pytest.fixture
def page(make_run, monkeypatch):
    # Plotly's 5 MB are left out where the test does not need them.
    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "/* plotly */")
    return lambda *args, **kwargs: Page(render_html(summarise(read_run(make_run(*args, **kwargs)))))


def hostile_run(trial, text):
    rows = [
        trial(0, 0.8, 10.0, model=text, method=text, params={text: text}),
        trial(1, 0.7, 20.0, model=text),
        trial(2, model=text, error=(text, text)),
    ]
    extras = {
        "space": {
            "models": [{"name": text}],
            "methods": [{"method": text}],
            "dropped": [{"what": text, "reason": text}],
        },
        "prior": {"kind": text, "n_experiences": 3, "neighbours": [{"dataset_id": text, "distance": 0.1}]},
        "data": {
            "dataset_id": text,
            "labels": {text: 3},
            "rows": {text: 1},
            "warnings": [text],
            "profile": {text: text},
        },
    }
    run = {
        "run_id": text,
        "task": text,
        "status": text,
        "notes": [text],
        "test": {"f1": 0.5, text: 0.5},
        "versions": {text: text},
        "machine": {text: [text]},
        "baselines": {text: 0, f"{text}2": -1, f"{text}3": text},
        "seed": text,
    }
    return rows, extras, run


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_are_inert_everywhere(page, trial, text):
    clean = page(*hostile_run(trial, "plain")[:2], **hostile_run(trial, "plain")[2])
    rows, extras, run = hostile_run(trial, text)
    dirty = page(rows, extras, **run)
    tags = [tag for tag, _ in dirty.tags if tag != "code"]
    assert tags == [tag for tag, _ in clean.tags if tag != "code"]
    assert all(not name.startswith("on") for _, attrs in dirty.tags for name in attrs)
    assert all("javascript:" not in (attrs.get("href") or "") for _, attrs in dirty.tags)
    assert "49" not in dirty.text or "{{ 7" not in text
    dirty.data("pareto")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_in_plots_is_escaped_for_plotly_too(make_run, trial, text):
    rows, extras, run = hostile_run(trial, text)
    summary = summarise(read_run(make_run(rows, extras, **run)))
    for figure in (pareto_figure(summary), anytime_figure(summary)):
        for trace in figure["data"]:
            for hover in trace["hovertext"]:
                assert not re.search(r"<(?!br>)", hover)


def test_json_block_cannot_leave_its_script_element():
    value = {"a": "</script><!--<script>&'\u2028"}
    text = str(json_block(value))
    assert not set("<>&'") & set(text)
    assert text.isascii()
    assert json.loads(text) == value


def test_page_loads_nothing_from_outside(make_run):
    folder = make_run(extras=TYPICAL_EXTRAS)
    html = render_html(summarise(read_run(folder)))
    page = Page(html)
    loading = ("src", "href", "srcset", "data", "action", "poster", "background", "formaction")
    for tag, attrs in page.tags:
        for name in loading:
            assert (attrs.get(name) or "data:").startswith(("data:", "#")), (tag, attrs)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "@import" not in style
    assert "url(" not in style
    assert any("Plotly" in text or "plotly" in text[:200] for _, text in page.scripts)


def test_policy_allows_only_the_pages_own_scripts(page):
    parsed = page()
    policy = next(a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    script_src = re.search(r"script-src ([^;]*)", policy).group(1)
    assert len(re.findall(r"'sha256-[\w+/]{43}='", script_src)) == 2
    assert "unsafe-inline" not in script_src
    assert "http" not in policy.replace("http-equiv", "")


def test_scripts_match_the_hashes_of_the_policy(page):
    import base64
    import hashlib

    parsed = page()
    policy = next(a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a)
    executed = [text for attrs, text in parsed.scripts if attrs.get("type") != "application/json"]
    for text in executed:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_chart_cannot_be_sent_to_plotlys_cloud(page):
    own = [text for attrs, text in page().scripts if not attrs][-1]
    assert "showSendToCloud: false" in own
    assert 'plotlyServerURL: ""' in own
    assert "modeBarButtons: buttons" in own


def test_figures_are_valid_plotly(make_run):
    from plotly import graph_objects

    summary = summarise(read_run(make_run(extras=TYPICAL_EXTRAS)))
    for figure in (pareto_figure(summary), anytime_figure(summary)):
        text = json.dumps(figure)
        for role in ("front", "best", "muted", "curve", "failed", "paper"):
            text = text.replace(f'"color": "{role}"', '"color": "#123456"')
        graph_objects.Figure(json.loads(text))  # raises on a property that Plotly does not know


def test_pareto_plot_shows_every_trial_in_its_role(page):
    traces = {t["name"]: t for t in page().data("pareto")["data"]}
    assert traces["Pareto front"]["customdata"] == [2, 0, 4]
    assert traces["dominated"]["customdata"] == [1]
    assert traces["recommended"]["customdata"] == [4]
    assert traces["failed"]["y"] == ["oom", "timeout"]
    assert traces["stopped"]["customdata"] == [6]


def test_instant_failure_stays_on_the_log_axis(page, trial):
    traces = {t["name"]: t for t in page([trial(0, 0.8), trial(1, time_s=0.0)]).data("pareto")["data"]}
    assert traces["failed"]["x"][0] > 0


def test_page_holds_recommendation_dropped_parts_prior_and_data(page):
    text = page(extras=TYPICAL_EXTRAS).text
    for part in (
        "0.831",
        "Trial 4 has the highest",
        "roberta-large full",
        "needs 11.2 GiB, the limit is 6.0 GiB",
        "120 past experiences",
        "12 duplicate rows",
        "train 8,000 rows",
        "5,100",
        "oom_train: needed 9 GiB, limit 6 GiB",
        "xautolm predict",
        "truncation=True",
        "2.13.0",
    ):
        assert part in text


def test_page_renders_without_optional_files_and_without_trials(page, trial):
    assert "does not say what was removed" in page().text
    assert "Nothing was removed" in page(extras={"space": {"models": [{"name": "m"}], "dropped": []}}).text
    failed = page([trial(0), trial(1)], test=None)
    assert "No working model" in failed.text
    assert not any(attrs.get("id") == "pareto" for _, attrs in failed.tags)
    empty = page([], status="running")
    assert "No working model yet" in empty.text
    assert "No trial has finished" in empty.text


def test_run_json_with_required_keys_only_is_enough(make_run, monkeypatch, trial):
    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "")
    folder = make_run([trial(0, 0.8)])
    objectives = [{"name": "f1", "direction": "maximize"}]
    (folder / "run.json").write_text(json.dumps({"run_id": "a", "status": "running", "objectives": objectives}))
    assert "Trial 0 is the only one" in Page(render_html(summarise(read_run(folder)))).text


def test_large_run_has_a_row_per_trial(page, trial):
    rows = [trial(i, 0.5 + i / 1000, 1.0 + i) if i % 3 else trial(i, error=("oom", "m" * 500)) for i in range(300)]
    parsed = page(rows)
    assert sum(tag == "tr" and (a.get("id") or "").startswith("trial-") for tag, a in parsed.tags) == 300


def test_many_labels_are_folded(page):
    extras = {"data": {"labels": {f"label {i}": 100 - i for i in range(50)}}}
    parsed = page(extras=extras)
    assert sum(tag == "meter" for tag, _ in parsed.tags) == 20
    assert "30 rarer labels" in parsed.text


def test_plots_and_tables_are_labelled_for_screen_readers(page):
    parsed = page(extras=TYPICAL_EXTRAS)
    ids = {attrs["id"] for _, attrs in parsed.tags if attrs.get("id")}
    assert all(attrs["aria-labelledby"] in ids for _, attrs in parsed.tags if "aria-labelledby" in attrs)
    assert all("aria-label" in a for _, a in parsed.tags if a.get("role") == "figure")
    assert sum(tag == "th" and a.get("aria-sort") == "none" for tag, a in parsed.tags) == 8


def test_file_is_replaced_atomically(make_run, monkeypatch):
    monkeypatch.setattr("xautolm.report.page.plotly_js", lambda: "")
    folder = make_run()
    summary = summarise(read_run(folder))
    path = write_html(summary)
    assert path == folder / "report.html"
    (folder / "report.html").write_text("old")

    def refuse(source: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_html(summary)
    assert (folder / "report.html").read_text() == "old"
    assert {p.name for p in folder.iterdir()} == {"run.json", "trials.jsonl", "report.html"}
