"""Baselines before the search: which run, what a failing one does, and what a resumed run repeats."""

from dataclasses import replace
from pathlib import Path

import pytest

from xautolm import comparison, pareto
from xautolm.backends.local import TrialContext
from xautolm.config import make_settings
from xautolm.experience.journal import read_baselines, read_journal
from xautolm.experience.run_folder import RunFolder
from xautolm.export import ExportContext
from xautolm.recording import Recorder, Silent
from xautolm.records import Cost, ModelSpec, Objective, Pipeline, Spent, TrialError, TrialResult
from xautolm.report.folder import read_run
from xautolm.search.baselines import IDS, baseline_trials, is_frozen_embedding, job_fields
from xautolm.search.plan import Plan
from xautolm.space.feasibility import Limits, Speed, TaskSize
from xautolm.space.params import Space

MODEL = ModelSpec("all-MiniLM-L6-v2", "/m", "r", "bert", 6, False, 10, 5, 4, 2, 8, 20, 512, ("mean", "first"))
SIZE = TaskSize(100, 20, 2, tuple(range(101)))
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
HEAD = Pipeline("all-MiniLM-L6-v2", "head", {"train_fraction": 1.0})


class Backend:
    """Ends every trial at the next poll, TF-IDF without a score."""

    n_slots = 2

    def __init__(self, context, submitted, interrupted):
        self.context, self.submitted, self._interrupted, self._new = context, submitted, interrupted, []

    def submit(self, trial):
        self.submitted.append(trial)
        self._new.append(trial)

    def poll(self, timeout_s):
        ended, self._new = self._new, []
        return [self._result(trial) for trial in ended]

    def _result(self, trial):
        ok = TrialResult(trial.trial_id, "ok", trial.pipeline, {"f1": 0.9}, Cost(0.1 - trial.trial_id), trial.seed)
        if trial.trial_id in self._interrupted:
            return replace(ok, status="interrupted", scores={})
        if trial.pipeline.method == "tfidf_logreg":
            return replace(ok, status="invalid", scores={}, error=TrialError("settings", "empty vocabulary"))
        return ok

    def running(self):
        return []

    def stop_all(self):
        assert not self._new


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Scores the baselines of a run folder; returns the recorder and what was submitted."""
    monkeypatch.setattr(comparison, "embedded_model", lambda: MODEL)
    space = Space(models={"m": MODEL}, methods={})
    plan = Plan(space, SIZE, Limits(60.0, 1000.0), Speed(50e9, 1.0, "default"), ())

    def score(first_start=None, interrupted=(), should_stop=lambda: False, **settings):
        path = tmp_path / "run"
        folder = RunFolder.open(path) if path.exists() else RunFolder.create(path)
        (path / "config.yaml").touch()
        facts = {"run_id": "r", "objectives": [{"name": o.name, "direction": o.direction} for o in OBJECTIVES]}
        recorder = Recorder(
            folder=folder,
            backend=None,
            models={},
            objectives=OBJECTIVES,
            context=ExportContext("r", "d", ("a", "b"), {}, 0),
            to_experience=lambda result: pytest.fail("a baseline went to the store"),
            store=None,
            observer=Silent(),
            facts=facts,
            spent=lambda: Spent(1.0),
            max_disk_bytes=1,
        )
        journal = folder.path / "trials.jsonl"
        recorder.begin(read_journal(journal), read_baselines(journal))
        submitted, contexts = [], []

        def make_backend(context):
            contexts.append(context)
            return Backend(context, submitted, interrupted)

        context = TrialContext(Path("/run"), {}, 600.0, 1000.0, 0)
        fields = make_settings({"data": "d.csv", "budget": "100s", **settings})
        comparison.score_baselines(recorder, plan, fields, first_start, context, make_backend, should_stop)
        folder.close()
        return recorder, [trial.trial_id for trial in submitted], contexts

    return score


def test_all_three_are_scored_and_a_failing_one_stops_nothing(run):
    recorder, submitted, contexts = run()
    assert submitted == [-1, -2, -3]
    assert [result.status for result in recorder.baselines] == ["ok", "invalid", "ok"]
    assert recorder.facts["baselines"] == IDS
    assert recorder.front == (-1,)
    assert recorder.best is None
    assert contexts[0].time_limit_s == 10.0  # a tenth of the budget
    assert not contexts[0].with_rescue
    report = read_run(recorder.folder.path)
    assert (len(report.baselines), report.trials, report.front, report.best) == (3, (), (-1,), None)
    assert (report.run["n_trials"], report.run["n_failed"], report.run["n_baselines"]) == (0, 0, 3)


def test_a_search_that_begins_with_the_frozen_embedding_does_not_run_it_twice(run):
    recorder, submitted, _ = run(HEAD)
    assert submitted == [-1, -2]
    assert recorder.facts["baselines"]["embedding_logreg"] == 0


def test_a_resumed_run_scores_only_what_is_missing(run):
    _, submitted, _ = run(interrupted=(-2,))
    assert submitted == [-1, -2, -3]
    recorder, submitted, _ = run()
    assert submitted == [-2]
    assert sorted(result.trial_id for result in recorder.baselines) == [-3, -2, -1]


def test_none_run_when_they_are_switched_off_or_the_run_is_over(run):
    assert run(baselines=False)[1:] == ([], [])
    assert run(should_stop=lambda: True)[1] == []


@pytest.mark.parametrize(
    ("pipeline", "is_it"),
    [
        (HEAD, True),
        (Pipeline("all-MiniLM-L6-v2", "head", {"train_fraction": 0.5}), False),
        (Pipeline("all-MiniLM-L6-v2@1", "head", {}), False),
        (Pipeline("all-MiniLM-L6-v2", "full", {}), False),
    ],
)
def test_only_the_whole_embedded_encoder_on_all_rows_is_the_baseline(pipeline, is_it):
    assert is_frozen_embedding(pipeline) is is_it


def test_the_frozen_embedding_is_the_method_head_on_a_bounded_number_of_rows():
    trials = baseline_trials(replace(SIZE, n_train=8000), 3, model=MODEL)
    pipeline = trials[-1].pipeline
    assert (pipeline.params["train_fraction"], pipeline.params["pooling"], pipeline.params["c"]) == (0.25, "mean", 0.1)
    fields = job_fields(pipeline, {MODEL.name: MODEL})
    assert fields["job"] == "evaluate"
    assert fields["method_target"] == "xautolm.methods.head:METHOD"
    assert job_fields(trials[0].pipeline, {}) == {"job": "baseline", "baseline": "majority"}


def test_a_baseline_that_is_ahead_is_on_the_front_and_the_best_trial_keeps_its_checkpoint(run):
    recorder, _, _ = run()
    slow = TrialResult(0, "ok", Pipeline("m", "full", {}), {"f1": 0.5}, Cost(30.0), 0)
    recorder.results.append(slow)
    assert recorder.front == (-1,)
    assert recorder.exportable_front == (0,)
    assert recorder.best == slow
    assert pareto.recommend(recorder.results, OBJECTIVES) == 0
