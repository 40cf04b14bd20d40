"""The replay end to end on one recorded task, its figures of merit, and what its surrogate knows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import replay
from benchmarks.replaying.simulate import (
    TaskFacts,
    figures,
    finish_times,
    quality_points,
    time_to_reach,
    volumes,
    win_ratio,
)
from benchmarks.replaying.tasks import load_tasks
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


@pytest.mark.timeout(120)
def test_a_surrogate_says_of_recorded_trials_what_became_of_most_of_them() -> None:
    tasks, experiences = load_tasks(["trec"])
    (task,) = tasks

    told = [task.surrogate(Trial(r.trial_id, r.pipeline, 0)).status for r in task.results]

    agree = [a == b.status for a, b in zip(told, task.results, strict=True)]
    assert sum(agree) >= 0.85 * len(agree)
    assert {experience.dataset_id for experience in experiences} > {"trec", "sst2"}


@pytest.mark.slow
def test_the_quick_replay_prints_a_table_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = replay.main(
        ["--quick", "--tasks", "trec", "--strategies", "random,ours cold,ours warm", "--json", str(tmp_path / "r.json")]
    )

    written = json.loads((tmp_path / "r.json").read_text())
    assert code == 0
    assert set(written["strategies"]) == {"published cold", "random", "ours cold", "ours warm"}
    assert len(written["records"]) == 12
    assert "ours warm" in capsys.readouterr().out.splitlines()[-2]


def test_unknown_names_are_refused_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--strategies", "magic"]) == 2
    assert "'magic'" in capsys.readouterr().err
