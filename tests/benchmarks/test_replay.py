"""The replay end to end on one recorded task, its figures of merit, and what its surrogate knows."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from benchmarks import replay
from benchmarks.replaying.figures import (
    figures,
    figures_against,
    front,
    quality_points,
    time_grid,
    time_to_reach,
    upper_win_ratio,
    volumes,
    win_ratio,
)
from benchmarks.replaying.simulate import TaskFacts, finish_times
from benchmarks.replaying.strategies import ABLATIONS, ENTRIES
from benchmarks.replaying.tasks import load_facts, load_tasks
from xautolm.records import Budget, Cost, Pipeline, Trial, TrialResult

FACTS = TaskFacts("made", constant_f1=0.5, time_limit_s=100.0, budget=Budget(wall_s=1000.0, n_trials=60))


def trial(trial_id: int, f1: float | None, time_s: float) -> TrialResult:
    scores = {} if f1 is None else {"f1": f1}
    status = "timeout" if f1 is None else "ok"
    return TrialResult(trial_id, status, Pipeline("m", "head", {}), scores, Cost(time_s), seed=0)  # type: ignore[arg-type]


def test_points_lie_in_the_unit_square_as_defined() -> None:
    points = quality_points([trial(0, 0.75, 10.0), trial(1, None, 5.0), trial(2, 0.4, 0.1)], FACTS)

    assert points[[0, 2]].tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert all(map(math.isnan, points[1]))


def test_figures_of_a_search() -> None:
    results = [trial(0, None, 100.0), trial(1, 0.5, 10.0), trial(2, 0.75, 10.0)]

    found = figures(results, FACTS, horizon_s=240.0)

    assert (found.n_trials, found.error_ratio, found.useless_share) == (3, pytest.approx(1 / 3), 0.5)
    assert (found.best_f1, found.volume, found.mean_time_s) == (0.75, 0.25, 40.0)
    assert found.area == pytest.approx(0.125)
    assert finish_times(results).tolist() == [100.0, 110.0, 120.0]
    assert volumes(results, FACTS).tolist() == [0.0, 0.0, 0.25]
    assert time_to_reach(results, FACTS, 0.25) == 120.0
    assert math.isinf(time_to_reach(results, FACTS, 0.26))


def test_wins_are_valid_trials_that_no_rival_weakly_dominates() -> None:
    rivals = [trial(0, 0.8, 10.0), trial(1, None, 1.0)]

    assert win_ratio(
        [trial(0, 0.8, 10.0), trial(1, 0.8, 9.0), trial(2, 0.7, 20.0), trial(3, None, 1.0)], rivals
    ) == pytest.approx(1 / 3)
    assert math.isnan(win_ratio([trial(0, None, 1.0)], rivals))


def test_wins_above_the_middle_of_the_rivals_front_leave_out_what_is_cheap_and_poor() -> None:
    rivals = [trial(0, 0.6, 1.0), trial(1, 0.7, 5.0), trial(2, 0.8, 10.0)]
    results = [trial(0, 0.55, 0.5), trial(1, 0.75, 9.0), trial(2, 0.79, 20.0)]

    assert win_ratio(results, rivals) == pytest.approx(2 / 3)
    assert upper_win_ratio(results, rivals) == 0.5
    assert math.isnan(upper_win_ratio(results[:1], rivals))


def test_a_front_is_what_no_other_result_dominates_the_fastest_first() -> None:
    results = [trial(0, 0.8, 10.0), trial(1, 0.6, 1.0), trial(2, 0.7, 12.0), trial(3, None, 0.1)]

    assert front(results) == [(0.6, 1.0), (0.8, 10.0)]
    assert front([trial(0, None, 1.0)]) == []


def test_figures_against_a_rival_share_its_time() -> None:
    rival = [trial(0, None, 100.0), trial(1, 0.6, 10.0), trial(2, 0.75, 10.0), trial(3, 0.6, 80.0)]
    quick = [trial(i, 0.75, 10.0) for i in range(4)]

    found = figures_against(quick, rival, FACTS)

    assert (found["to_cold"], found["to_cold_own"]) == (10.0 / 200.0, 10.0 / 120.0)
    assert (found["first_f1"], found["win_ratio"], found["upper_win_ratio"]) == (0.75, 0.0, None)
    assert found["area"] == pytest.approx(0.25 * 190 / 200)
    assert figures_against([trial(0, None, 5.0)], rival, FACTS)["to_cold"] is None
    assert time_grid(200.0)[[0, -1]].tolist() == [0.0, 200.0]


@pytest.mark.timeout(120)
def test_a_surrogate_says_of_recorded_trials_what_became_of_most_of_them() -> None:
    tasks, experiences = load_tasks(["trec"])
    (task,) = tasks

    told = [task.surrogate(Trial(r.trial_id, r.pipeline, 0)).status for r in task.results]

    agree = [a == b.status for a, b in zip(told, task.results, strict=True)]
    assert sum(agree) >= 0.85 * len(agree)
    assert {experience.dataset_id for experience in experiences} > {"trec", "sst2"}


def test_facts_are_those_of_the_tasks() -> None:
    assert [task.name for task in load_facts()] == ["ag_news", "cola", "liar", "meld", "sst2", "trec"]
    (facts,) = load_facts(["trec"])
    assert facts.time_limit_s == pytest.approx(12.9, abs=0.05)
    assert 0.06 < facts.constant_f1 < 0.07


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quick_replay_prints_its_tables_and_a_rerun_reads_what_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "random,published warm (high),ours cold,ours warm,ours (adversarial store)"
    command = ["--quick", "--tasks", "trec", "--strategies", names, "--ablations", "--cache", str(tmp_path), "--json"]

    assert replay.main([*command, str(tmp_path / "a.json"), "--jobs", "2"]) == 0
    first = capsys.readouterr().out
    assert replay.main([*command, str(tmp_path / "b.json")]) == 0
    second = capsys.readouterr().out

    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert set(a["strategies"]) == {"published cold", *names.split(",")}
    assert len(a["records"]) == 3 * (6 + len(ABLATIONS))
    assert {key: a[key] for key in ("records", "numbers", "paired", "tasks")} == {
        key: b[key] for key in ("records", "numbers", "paired", "tasks")
    }
    assert "trec: ours warm done" in first
    assert "done" not in second
    assert "at most 1/8" in second
    assert "no front-aware stopping" in second
    assert second.splitlines()[-1].startswith("ours (adversarial store)")


def test_unknown_names_are_refused_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--strategies", "magic"]) == 2
    assert "'magic'" in capsys.readouterr().err
    assert replay.main(["--tasks", "magic"]) == 2
    assert "'magic'" in capsys.readouterr().err
    assert replay.main(["--jobs", "0"]) == 2


def test_what_is_not_installed_is_left_out_and_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = dataclasses.replace(ENTRIES["random"], package="no_such_package")
    monkeypatch.setattr(replay, "ENTRIES", {**ENTRIES, "random": missing})

    assert "random" not in replay.chosen(None, is_quick=False, with_ablations=False)
    assert "left out: random, package `no_such_package` is not installed" in capsys.readouterr().out


def test_quick_leaves_out_what_is_slow() -> None:
    everything = replay.chosen("SMAC3,random", is_quick=True, with_ablations=True)

    assert everything == ["random", "published cold", "ours cold", "ours warm", *ABLATIONS]
