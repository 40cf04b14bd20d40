"""The live view, on a terminal and redirected."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from xautolm.records import Budget, Objective, Progress
from xautolm.report import live
from xautolm.report.live import LiveView

OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))


def console(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=100, color_system=None, legacy_windows=False)


def progress(trial, **changes) -> Progress:
    entry = Progress(7, trial(7).pipeline, elapsed_s=3.2, epoch=1.5, n_epochs=3, stage="train")
    return replace(entry, **changes)


def output(view: LiveView) -> str:
    return view.console.file.getvalue()


def test_redirected_output_is_one_line_per_trial_and_nothing_else(trial):
    view = LiveView(console(is_terminal=False), Budget(wall_s=60), OBJECTIVES)
    with view:
        for elapsed in range(50):
            view.update([trial(0, 0.8)], [progress(trial)], [0], elapsed)
        view.trial_finished(trial(3, 0.842, 12.3))
        view.trial_finished(trial(4, time_s=140.0, error=("oom_train", "needed 9 GiB\nmore")))
        view.log("prior: cold")
    lines = output(view).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == (
        [
            "trial",
            "3",
            "ok",
            "f1",
            "0.842",
            "12.3",
            "s",
            "all-MiniLM-L6-v2@3",
            "lora",
            "lr=1e-3",
            "epochs=2",
            "batch=16",
            "length=64",
            "warmup_ratio=0.1",
        ]
    )
    assert lines[1].startswith("trial 4 oom ")
    assert "2 min 20 s" in lines[1]
    assert lines[1].endswith("oom_train: needed 9 GiB more")
    assert "\x1b" not in output(view)


def test_long_lines_are_not_wrapped_when_redirected(trial):
    view = LiveView(console(is_terminal=False), Budget(n_trials=3), OBJECTIVES)
    with view:
        view.trial_finished(trial(0, 0.5, model="m" * 100, error=("crashed", "e" * 200)))
    assert len(output(view).splitlines()) == 1


def test_terminal_shows_budget_counts_running_trial_and_front(trial):
    view = LiveView(console(is_terminal=True), Budget(wall_s=120), OBJECTIVES)
    finished = [trial(0, 0.8, 10.0), trial(1, 0.9, 30.0), trial(2), replace(trial(3), status="stopped")]
    with view:
        view.update(finished, [progress(trial)], [0, 1], elapsed_s=45.0)
        shown = output(view)
    assert "45.0 s of 2 min 00 s, 75.0 s left" in shown
    assert "2 done, 1 stopped early, 1 failed (1 oom)   best F1 0.900 (trial 1)" in shown
    assert "trial 7  all-MiniLM-L6-v2@3 lora  train, epoch 1.5 of 3, 3.2 s" in shown
    assert shown.index("0.900", shown.index("pipeline")) < shown.index("0.800")


def test_trial_budget_counts_trials(trial):
    view = LiveView(console(is_terminal=True), Budget(n_trials=40), OBJECTIVES)
    with view:
        view.update([trial(0, 0.8)], [], [0], 12.0)
        assert "1 of 40 trials, 12.0 s" in output(view)


def test_view_before_the_first_result_and_past_the_budget(trial):
    view = LiveView(console(is_terminal=True), Budget(wall_s=10), OBJECTIVES)
    with view:
        view.update([], [progress(trial, n_epochs=0.0, stage="start")], [], 25.0)
        assert "0.00 s left" in output(view)
        assert "0 done, 0 failed" in output(view)


def test_redraws_are_limited(trial, monkeypatch):
    clock = iter([100.0, 100.0, 100.1, 100.1, 100.3, 100.3])
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    view = LiveView(console(is_terminal=True), Budget(wall_s=60), OBJECTIVES)
    shown = []
    with view:
        monkeypatch.setattr(view._live, "update", lambda *_, **__: shown.append(1))
        view.update([], [], [], 1.0)
        view.update([], [], [], 1.1)
        monkeypatch.setattr(live.time, "monotonic", lambda: 100.3)
        view.update([], [], [], 1.3)
    assert len(shown) == 2


def test_failed_trials_stay_visible_on_a_terminal(trial):
    view = LiveView(console(is_terminal=True), Budget(wall_s=60), OBJECTIVES)
    with view:
        view.trial_finished(trial(0, 0.8))
        view.trial_finished(trial(4, error=("oom_train", "needed 9 GiB")))
    assert "needed 9 GiB" in output(view)
    assert "trial 0" not in output(view)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_markup_and_escapes_in_names_are_inert(trial, is_terminal):
    view = LiveView(console(is_terminal=is_terminal), Budget(wall_s=60), OBJECTIVES)
    with view:
        hostile = trial(0, 0.8, model="[bold]m[/] \x1b[31m", method="x[/y]")
        view.update([hostile], [progress(trial, pipeline=hostile.pipeline)], [0], 1.0)
        view.trial_finished(hostile)
        view.log("[red]line\x1b[0m")
    assert "[red]line·[0m" in output(view)
    assert "\x1b[31m" not in output(view)


def test_terminal_is_restored_after_an_error(trial):
    view = LiveView(console(is_terminal=True), Budget(wall_s=60), OBJECTIVES)

    def fail() -> None:
        with view:
            view.update([], [], [], 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert output(view).rstrip().endswith("\x1b[2K") or "\x1b[?25h" in output(view)
    view.log("after")
    assert "after" in output(view)
