"""The report on the console."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from xautolm.records import Pipeline
from xautolm.report.summary import read_run, summarise
from xautolm.report.text import print_summary, render_text

LONG = "organisation/a-very-long-model-name-that-does-not-fit-in-any-table@12"


def text_of(folder, width=80):
    return render_text(summarise(read_run(folder)), width)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_asked_and_nothing_draws_boxes(make_run, trial, monkeypatch, tmp_path, width):
    monkeypatch.chdir(tmp_path)
    make_run([trial(0, 0.8, 10.0, model=LONG), trial(1, 0.9, 12345.0, method="a-long-method-name")])
    text = text_of("run", width)
    assert max(map(len, text.splitlines())) <= width
    assert not set(text) & set("─│┌┐└┘━┃╭╮")


def test_front_is_listed_cheapest_first_with_figures(make_run):
    lines = text_of(make_run()).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Pareto front: 3 pipelines"))
    assert lines[start + 1].split() == ["trial", "model", "method", "macro", "F1", "time", "memory"]
    assert lines[start + 2].split() == ["2", "all-MiniLM-L6-v2@1", "head", "0.600", "2.0", "s", "400", "MiB"]
    assert lines[start + 4].split() == ["*", "4", "all-MiniLM-L6-v2@3", "full", "0.815", "40.0", "s", "400", "MiB"]


def test_long_names_are_cut_but_figures_stay(make_run, trial):
    text = text_of(make_run([trial(0, 0.8, 10.0, model=LONG)]), 60)
    row = next(line for line in text.splitlines() if line.startswith("* "))
    assert "…" in row
    assert row.endswith("0.800  10.0 s  400 MiB")


def test_test_score_failures_and_places_are_stated(make_run):
    folder = make_run()
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    text = text_of(folder)
    assert text.count("0.831") == 1
    assert "Test: macro F1 0.831" in text
    assert "Failed: 1 oom, 1 timeout of 7 trials" in text
    assert f"Report: {folder / 'report.html'}" in text
    assert f"Model:  {folder / 'model'}" in text


def test_run_without_a_working_model_says_what_to_do(make_run, trial):
    text = text_of(make_run([trial(0), trial(1)]))
    assert "No trial gave a working model." in text
    assert "--memory" in text
    assert "Model:" not in text
    assert "No trial has finished." in text_of(make_run([], status="running"))


def test_only_the_best_of_a_long_front_is_listed(make_run, trial):
    text = text_of(make_run([trial(i, 0.5 + i / 1000, 1.0 + i) for i in range(300)]))
    assert "(288 cheaper ones are in the report)" in text
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("is_terminal", [True, False])
def test_hostile_names_reach_no_terminal(make_run, trial, is_terminal):
    folder = make_run([trial(0, 0.8, model="[red]x\x1b[2J\u202e", method="lora\r\n")], notes=["\x1b]0;title\x07"])
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=80, color_system=None)
    print_summary(summarise(read_run(folder)), console)
    assert "[red]x·[2J·" in out.getvalue()
    assert not {"\x1b", "\u202e", "\x07", "\r"} & set(out.getvalue())


def test_terminal_output_is_coloured_and_redirected_output_is_not(make_run):
    summary = summarise(read_run(make_run()))
    for is_terminal in (True, False):
        out = io.StringIO()
        print_summary(summary, Console(file=out, force_terminal=is_terminal, width=100))
        assert ("\x1b[" in out.getvalue()) == is_terminal


def test_what_was_left_out_is_listed_with_reasons_and_the_rest_counted(make_run):
    dropped = [{"what": f"model-{i} full", "reason": "needs 11.2 GiB, the limit is 6.0 GiB"} for i in range(11)]
    text = text_of(make_run(extras={"space": {"models": [{"name": "m"}], "dropped": dropped}}))
    assert "Left out before the search, 11 parts:" in text
    assert "- model-7 full: needs 11.2 GiB, the limit is 6.0 GiB" in text
    assert "model-8" not in text
    assert "- 3 more are in the report" in text
    nothing = text_of(make_run(extras={"space": {"models": [{"name": "m"}], "dropped": []}}))
    assert "Left out" not in nothing


def test_rescued_trials_are_named(make_run, trial):
    asked = Pipeline("m", "full", {"batch_size": 64})
    text = text_of(make_run([replace(trial(3, 0.8), requested=asked), trial(4, 0.7)]))
    assert "Rescued from running out of memory, with smaller micro-batches: trial 3." in " ".join(text.split())
    assert "Rescued" not in text_of(make_run([trial(4, 0.7)]))
