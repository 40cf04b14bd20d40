"""The live benchmark: figures, what strategies are given, processes that end in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import psutil
import pytest
from live_fixtures import ended, subject_of

from benchmarks.living import uniform, units
from benchmarks.living.child import Orders
from benchmarks.living.figures import N_GRID, Horizon, curves, figures
from benchmarks.living.subjects import left_out, load_subject, write_subject
from benchmarks.living.units import COLD, TRAINER, Strategy, ended_trials, run_strategy, watch
from xautolm.config import make_settings
from xautolm.errors import RunError
from xautolm.evaluate.fake import FakeBackend, analytic_evaluator
from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.journal import Journal, read_journal
from xautolm.records import Objective, Profile

ROOT = Path(__file__).parents[2]


def group(task_id, dataset_id, fingerprint="other", sketch=(), n=80):
    """A task of the starter store."""
    profile = Profile("classification/2", {}, "system/2", {})
    return ExperienceGroup(task_id, 0, "text-classification", dataset_id, fingerprint, sketch, profile, n, n)


# ---------------------------------------------------------------------------------------------------------- figures


def test_figures_tell_what_was_reached_when():
    trials = [
        ended(0, None, 20.0),
        ended(1, 0.6, 50.0),
        ended(2, 0.5, 70.0),
        ended(3, 0.7, 110.0),
        ended(4, 0.9, 170.0),
    ]
    found = figures(trials, Horizon(180.0, 0.3))
    assert (found.n_trials, found.n_failed, found.first_s) == (5, 1, 50.0)
    assert (found.f1_third, found.f1_two_thirds, found.f1_end) == (0.6, 0.7, 0.9)
    assert found.f1_first == 0.6, "a failure is one of the first three"
    assert found.f1_tenth == 0.9


def test_the_first_trials_are_those_begun_first():
    quick = [ended(i, 0.5, 10.0 + i) for i in (1, 3, 4, 5)]
    found = figures([*quick, ended(2, 0.6, 30.0), ended(0, 0.7, 60.0)], Horizon(180.0, 0.3))
    assert found.f1_first == 0.7, "trial 0 is one of the first three, though it ended last"


def test_hypervolume_takes_the_whole_time_for_the_limit_of_a_trial():
    found = figures([ended(0, 0.65, 90.0, time_s=10.0)], Horizon(100.0, 0.3))
    assert found.hypervolume == pytest.approx(0.5 * 0.5)
    assert found.area == pytest.approx(0.1 * 0.25)
    assert figures([ended(0, 0.65, 90.0, time_s=100.0)], Horizon(100.0, 0.3)).hypervolume == 0.0


def test_trials_that_were_stopped_are_no_failures():
    found = figures([ended(0, None, 5.0, status="stopped"), ended(1, None, 6.0, status="oom")], Horizon(60.0, 0.3))
    assert (found.n_trials, found.n_stopped, found.n_failed) == (2, 1, 1)
    assert (found.first_s, found.f1_end, found.hypervolume) == (None, None, 0.0)


def test_curves_hold_the_best_so_far_on_a_common_grid():
    found = curves(
        [ended(0, None, 10.0), ended(1, 0.6, 30.0), ended(2, 0.4, 40.0), ended(3, 0.8, 60.0)], Horizon(120, 0.3)
    )
    assert len(found["best_f1"]) == len(found["hypervolume"]) == N_GRID
    assert [found["best_f1"][second] for second in (0, 10, 29, 30, 45, 60, 120)] == [0, 0, 0, 0.6, 0.6, 0.8, 0.8]
    assert found["hypervolume"] == sorted(found["hypervolume"])
    assert curves([], Horizon(120, 0.3))["best_f1"] == [0.0] * N_GRID


# ------------------------------------------------------------------------------------------------------------- data


def test_the_same_data_are_left_out_by_name_and_by_rows(tmp_path):
    subject = subject_of(tmp_path)
    groups = [
        group(-1, "trec"),
        group(-2, "SetFit/Reviews", n=10),
        group(-3, "renamed", sketch=subject.task.sketch[:40], n=20),
        group(-4, "renamed", n=5),
        group(-5, "copied", fingerprint=subject.task.fingerprint, n=1),
    ]
    found = left_out(subject, groups)
    assert found.data_sets == ("SetFit/Reviews", "copied", "renamed")
    assert (found.n_rows, found.n_all) == (36, 116)


def test_strategies_get_the_rows_but_those_of_test(tmp_path):
    subject = subject_of(tmp_path)
    write_subject(tmp_path / "rows", subject)
    written = "".join(path.read_text() for path in (tmp_path / "rows").rglob("*") if path.is_file())
    assert "train of reviews number 7" in written
    assert "valid of reviews number 7" in written
    assert "test of reviews" not in written
    again = load_subject("again", [str(tmp_path / "rows" / f"{name}.jsonl") for name in ("train", "validation")] * 2)
    assert again.task.labels == subject.task.labels
    assert again.task.train == subject.task.train


def test_ours_differs_from_the_defaults_in_data_time_and_store_only(tmp_path):
    orders = Orders(str(tmp_path), str(tmp_path), time.monotonic(), 60.0, 3, is_warm=True, exclude=("trec",))
    warm = make_settings(live_fields(orders))
    assert (warm.prior, warm.starter, warm.exclude_dataset, warm.seed) == ("learned", True, ("trec",), 3)
    assert 50 < warm.parsed_budget.wall_s <= 60
    cold = make_settings(live_fields(replace(orders, is_warm=False)))
    assert (cold.prior, cold.starter) == ("none", False)
    given = {"data", "valid", "test", "task", "text", "target", "budget", "device", "store", "exclude_dataset", "seed"}
    default = make_settings({"data": "x"})
    others = set(type(warm).model_fields) - given
    assert all(getattr(warm, name) == getattr(default, name) for name in others)


def live_fields(orders):
    from benchmarks.living.ours import fields_of

    return fields_of(orders)


# -------------------------------------------------------------------------------------------------------- processes

_JOURNAL = """
import json, subprocess, sys, time
from pathlib import Path
orders = json.loads(Path(sys.argv[1]).read_text())
run = Path(orders["folder"]) / "run"
run.mkdir(exist_ok=True)
line = json.loads(Path(__file__).with_suffix(".json").read_text())
with (run / "trials.jsonl").open("a") as file:
    file.write(json.dumps({**line, "trial_id": orders["worker"]}) + "\\n")
    file.flush()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (run / f"child-{orders['worker']}").write_text(str(child.pid))
    time.sleep(60)
"""


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Replaces the strategies' processes by a script."""

    def use(code):
        script = tmp_path / "strategy.py"
        script.write_text(code)
        full = ended(0, 0.7, 1.0).result.to_dict()
        script.with_suffix(".json").write_text(json.dumps(full))
        monkeypatch.setattr(units, "command_of", lambda strategy, path: [sys.executable, str(script), str(path)])
        return Orders("rows", str(tmp_path / "unit"), 0.0, 1.2, 0)

    return use


def test_a_strategy_is_ended_in_time_with_all_that_it_started_and_keeps_what_had_ended(scripted, tmp_path):
    outcome = run_strategy(Strategy(TRAINER, "trainer"), replace(scripted(_JOURNAL), n_workers=2))
    assert sorted(trial.result.trial_id for trial in outcome.trials) == [0, 1]
    assert all(0 < trial.ended_s <= 1.2 for trial in outcome.trials)
    assert outcome.exit_codes == (None, None)
    assert outcome.problem == ""
    for worker in (0, 1):
        assert not is_alive(int((tmp_path / "unit" / "run" / f"child-{worker}").read_text()))


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_strategy_that_breaks_down_at_once_is_an_error_and_no_result(scripted):
    orders = replace(scripted("import sys; sys.exit('no such library')"), seconds=30.0)
    with pytest.raises(
        RunError, match=r"`ours cold` broke down after .* without a trial:\nexit code 1: no such library"
    ):
        run_strategy(Strategy(COLD, "ours"), orders)


def test_a_strategy_that_fails_late_is_a_result(scripted):
    outcome = run_strategy(
        Strategy(COLD, "ours"), scripted("import time; time.sleep(0.8); raise SystemExit('no model')")
    )
    assert outcome.trials == ()
    assert outcome.problem == "exit code 1: no model"


def test_trials_that_are_written_after_the_end_do_not_count(tmp_path):
    orders = Orders("rows", str(tmp_path), time.monotonic() - 9.0, 9.0, 0)
    orders.run.mkdir()
    with Journal(orders.journal) as journal:
        journal.append(ended(0, 0.7, 1.0).result)
        seen = watch([lambda: None], orders)
        journal.append(ended(1, 0.9, 1.0).result)
        with orders.journal.open("a") as file:
            file.write("torn")
        assert [trial.result.trial_id for trial in ended_trials(orders, seen)] == [0]
    assert seen == {0: 9.0}


def test_a_strategy_does_not_outlive_the_benchmark(tmp_path):
    orders = Orders("rows", str(tmp_path), time.monotonic(), 60.0, 0)
    orders.write(tmp_path / "orders.json")
    child = (
        "from benchmarks.living.child import receive; import time; print(receive().seed, flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}, {str(tmp_path / 'orders.json')!r}],"
        " stdout=subprocess.PIPE)\nchild.stdout.readline()\nprint(child.pid)"
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", parent],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    pid, deadline = int(done.stdout), time.monotonic() + 8
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_random_draws_are_uniform_and_only_the_best_checkpoint_is_kept(space, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    judge = analytic_evaluator(space)

    def evaluate(trial):
        (checkpoints / str(trial.trial_id)).mkdir(parents=True)
        return judge(trial)

    objectives = (Objective("f1", "maximize"), Objective("time", "minimize"))
    with Journal(tmp_path / "trials.jsonl") as journal:
        trials = islice(uniform.draws(space, 0), 12)
        uniform.evaluate(FakeBackend(evaluate, n_slots=2), trials, journal, checkpoints, objectives)
    results = read_journal(tmp_path / "trials.jsonl")
    assert sorted(result.trial_id for result in results) == list(range(12))
    best = max((result for result in results if result.is_ok), key=lambda result: result.scores["f1"])
    assert [path.name for path in checkpoints.iterdir()] == [str(best.trial_id)]
    assert {result.pipeline.method for result in results} == set(space.methods)
