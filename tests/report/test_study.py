"""A run as an Optuna study: whole, drawn by Optuna's plots, read back as it was, and overwriting nothing."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from xautolm import AutoLM
from xautolm.cli.app import main
from xautolm.errors import DataError, RunFolderError, UsageError
from xautolm.evaluate.fake import analytic_evaluator, analytic_space
from xautolm.experience.from_run import experiences_of_run
from xautolm.experience.importers.optuna_study import EXPERIENCE, read
from xautolm.experience.store import ExperienceStore
from xautolm.pareto import front
from xautolm.records import Objective, Pipeline, Trial, TrialError, TrialResult
from xautolm.report.study import export_study
from xautolm.search.samplers import StudyAsker
from xautolm.space.build import space_to_dict

from .conftest import write_run

SPACE = analytic_space()
BOTH = (Objective("f1", "maximize"), Objective("time", "minimize"))
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MARKER = "Dear Anna"
PROFILE = {
    "schema": "classification/2",
    "task": {"n_train": 800.0},
    "system_schema": "system/1",
    "system": {"cores": 2.0},
}
DATA = {"dataset_id": "reviews", "fingerprint": "f" * 64, "sketch": [1, 2, 2**63], "profile": PROFILE}

# Optuna's storage writes trial by trial, which a busy disk makes slow.
pytestmark = [pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"), pytest.mark.timeout(60)]


def as_dicts(objectives: Sequence[Objective]) -> list[dict[str, str]]:
    return [{"name": objective.name, "direction": objective.direction} for objective in objectives]


@pytest.fixture(scope="module")
def results() -> list[TrialResult]:
    """40 trials of random search on the fake evaluator, some failed, two of them made stopped and rescued."""
    asker, evaluate = StudyAsker(optuna.samplers.RandomSampler(seed=3), SPACE, BOTH), analytic_evaluator(SPACE)
    found: list[TrialResult] = []
    for i in range(40):
        result = evaluate(Trial(i, asker.ask(i, ()), seed=i, seen=tuple(range(i))))
        started = START + timedelta(seconds=100 * i)
        times = {"started_at": started, "finished_at": started + timedelta(seconds=result.cost.time_s)}
        curve = tuple((10 * k, 1.5 * k, 0.1 * k) for k in (1, 2, 3)) if result.is_ok else ()
        found.append(replace(result, curve=curve, **{name: time.isoformat() for name, time in times.items()}))
    assert {result.status for result in found} >= {"ok", "oom"}
    ok = [result.trial_id for result in found if result.is_ok and "batch_size" in result.pipeline.params]
    found[ok[0]] = replace(found[ok[0]], status="stopped", scores={})
    rescued = found[ok[1]].pipeline
    smaller = Pipeline(rescued.model, rescued.method, {**rescued.params, "batch_size": 1, "accumulation": 8})
    found[ok[1]] = replace(found[ok[1]], pipeline=smaller, requested=rescued)
    failed = next(i for i, result in enumerate(found) if result.error)
    found[failed] = replace(found[failed], error=TrialError("oom_train", f"cannot put {MARKER} into memory"))
    return found


@pytest.fixture
def make_folder(tmp_path: Path, results: list[TrialResult]) -> Callable[..., Path]:
    def make(objectives: Sequence[Objective] = BOTH, trials: Sequence[TrialResult] = (), **run: Any) -> Path:
        limits = {"time_s": 600.0, "memory_mib": 1024.0}
        neighbours = [{"dataset_id": "sst2", "distance": 0.1, "n_positive": 3, "n_negative": 2, "groups": {}}]
        prior = {"kind": "learned", "n_experiences": 120, "weight": 0.8, "neighbours": neighbours}
        extras = {"space": {**space_to_dict(SPACE), "limits": limits}, "data": DATA, "prior": prior}
        facts = {"objectives": as_dicts(objectives), "front": list(front(results, objectives))} | run
        folder = write_run(tmp_path / "reviews", list(trials) or results, extras, **facts)
        (folder / "config.yaml").touch()
        return folder

    return make


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder()


@pytest.fixture
def small(make_folder: Callable[..., Path], results: list[TrialResult]) -> Path:
    """A run of three trials, for what is written to a disk."""
    return make_folder(trials=results[:3])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def trial_of(study: optuna.Study, trial_id: int) -> optuna.trial.FrozenTrial:
    return next(trial for trial in study.trials if trial.user_attrs["trial_id"] == trial_id)


def test_every_trial_is_there_with_its_parameters_values_times_and_attributes(folder, results) -> None:
    study = AutoLM.load(folder).to_optuna()

    assert study.study_name == "reviews"
    assert study.metric_names == ["f1", "time"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.number for trial in study.trials] == [result.trial_id for result in results]
    for result, trial in zip(results, study.trials, strict=True):
        asked = result.requested or result.pipeline
        handles = {f"{asked.method}.{name}": value for name, value in asked.params.items()}
        assert trial.params == {"method": asked.method, f"{asked.method}.model": asked.model, **handles}
        assert trial.values == ([result.scores["f1"], result.cost.time_s] if result.is_ok else None)
        assert trial.duration == pytest.approx(timedelta(seconds=result.cost.time_s), abs=timedelta(milliseconds=1))
        started = datetime.fromisoformat(result.started_at)
        assert trial.datetime_start.astimezone(UTC) == started
        attributes = trial.user_attrs
        assert attributes["status"] == result.status
        assert attributes["peak_mem_mib"] == result.cost.peak_mem_mib
        assert attributes.get("f1") == result.scores.get("f1")
        assert attributes.get("error_kind") == (result.error.kind if result.error else None)


def test_states_are_what_became_of_the_trials(folder, results) -> None:
    states = {"ok": TrialState.COMPLETE, "stopped": TrialState.PRUNED}
    study = export_study(folder)
    assert [t.state for t in study.trials] == [states.get(r.status, TrialState.FAIL) for r in results]


def test_the_front_of_the_study_is_that_of_the_run(folder, results) -> None:
    study = export_study(folder)
    assert {trial.number for trial in study.best_trials} == set(front(results, BOTH)) == set(study.user_attrs["front"])


def test_parameters_keep_the_distributions_of_the_space(folder, results) -> None:
    study = export_study(folder)
    result = next(r for r in results if r.pipeline.method == "lora")
    distributions = study.trials[result.trial_id].distributions
    rate = SPACE.methods["lora"].params["learning_rate"]
    assert distributions["lora.learning_rate"] == optuna.distributions.FloatDistribution(rate.low, rate.high, log=True)
    assert distributions["method"].choices == tuple(SPACE.methods)
    assert not any(name.startswith("full.") for name in distributions)


def test_the_study_says_which_run_it_was_and_what_it_believed(folder) -> None:
    attributes = export_study(folder).user_attrs
    assert (attributes["run_id"], attributes["kind"], attributes["dataset_id"]) == (
        "run-1", "text-classification", "reviews"
    )  # fmt: skip
    assert (attributes["prior_kind"], attributes["prior_n_experiences"], attributes["prior_weight"]) == (
        "learned",
        120,
        0.8,
    )
    assert attributes["prior_neighbours"][0] == {
        "dataset_id": "sst2", "distance": 0.1, "n_positive": 3, "n_negative": 2
    }  # fmt: skip
    assert attributes["test"] == {"f1": 0.831}


def test_a_rescued_trial_shows_what_was_asked_for_and_what_ran(folder, results) -> None:
    rescued = next(result for result in results if result.requested)
    trial = export_study(folder).trials[rescued.trial_id]
    assert trial.params[f"{rescued.pipeline.method}.batch_size"] == rescued.requested.params["batch_size"]
    assert trial.user_attrs["ran"] == {"batch_size": 1, "accumulation": 8}


def test_with_one_score_as_objective_the_curve_is_made_of_intermediate_values(make_folder, results) -> None:
    study = export_study(make_folder(BOTH[:1]))
    for result, trial in zip(results, study.trials, strict=True):
        assert trial.intermediate_values == {step: score for step, _, score in result.curve}
        assert "curve" not in trial.user_attrs
    stopped = next(result for result in results if result.status == "stopped")
    assert study.trials[stopped.trial_id].value == pytest.approx(0.3)  # the last it reported
    assert study.best_value == max(result.scores["f1"] for result in results if result.is_ok)


@pytest.mark.parametrize("objectives", [BOTH, BOTH[1:]], ids=["two", "a cost"])
def test_otherwise_the_curve_is_an_attribute(objectives, make_folder, results) -> None:
    study = export_study(make_folder(objectives))
    ok = next(result for result in results if result.is_ok)
    assert study.trials[ok.trial_id].user_attrs["curve"] == [
        [10, 1.5, 0.1],
        [20, 3.0, 0.2],
        [30, 4.5, pytest.approx(0.3)],
    ]
    assert all(trial.intermediate_values == {} for trial in study.trials)


def test_bounds_are_constraints_that_optuna_reads(make_folder, results) -> None:
    bound = float(np.median([result.scores["f1"] for result in results if result.is_ok]))
    bounds = [
        {"name": "f1", "is_minimum": True, "bound": bound},
        {"name": "time", "is_minimum": False, "bound": 300.0},
    ]
    study = export_study(make_folder(constraints=bounds))
    keeps = [
        result for result in results if result.is_ok and result.scores["f1"] >= bound and result.cost.time_s <= 300
    ]
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    kept = {trial.number for trial in complete if all(value <= 0 for value in trial.constraints.values())}
    assert kept == {result.trial_id for result in keeps}
    assert {trial.number for trial in study.best_trials} == set(front(keeps, BOTH))
    assert study.user_attrs["constraints"] == [f"f1>={bound:g}", "time<=300"]
    unmeasured = export_study(make_folder(constraints=[{"name": "latency", "is_minimum": False, "bound": 9.0}]))
    assert unmeasured.best_trials == []


def test_a_trial_without_an_objective_counts_as_failed_and_one_from_outside_the_space_is_shown(
    make_folder, results
) -> None:
    baseline = replace(results[-1], status="ok", scores={"f1": 0.5}, error=None, requested=None)
    baseline = replace(baseline, pipeline=Pipeline(baseline.pipeline.model, "bag-of-words", {"terms": 100}))
    baseline = replace(baseline, cost=replace(baseline.cost, energy_wh=0.5))
    unmeasured = next(result for result in results if result.is_ok)
    objectives = (BOTH[0], Objective("energy", "minimize"))
    study = export_study(make_folder(objectives, trials=[unmeasured, baseline]))
    assert trial_of(study, unmeasured.trial_id).state == TrialState.FAIL
    assert trial_of(study, unmeasured.trial_id).user_attrs["status"] == "ok"
    assert trial_of(study, baseline.trial_id).values == [0.5, 0.5]
    assert trial_of(study, baseline.trial_id).params["bag-of-words.terms"] == 100
    assert "bag-of-words" in study.trials[0].distributions["method"].choices


def test_interrupted_trials_are_no_trials_and_order_is_that_of_the_ids(make_folder, results) -> None:
    trials = [results[3], results[1], replace(results[2], status="interrupted")]
    assert [t.user_attrs["trial_id"] for t in export_study(make_folder(trials=trials)).trials] == [1, 3]


def plots(study: optuna.Study) -> Iterator[Any]:
    draw, is_single = optuna.visualization, len(study.directions) == 1
    targets = [None] if is_single else [lambda t: t.values[0], lambda t: t.values[1]]
    if is_single:
        yield draw.plot_intermediate_values(study)
    else:
        yield draw.plot_pareto_front(study)
        yield draw.plot_hypervolume_history(study, reference_point=[0.0, 1000.0])
    for target in targets:
        named = {"target": target, "target_name": "value"}
        yield draw.plot_optimization_history(study, **named)
        yield draw.plot_parallel_coordinate(study, params=["method"], **named)
        yield draw.plot_slice(study, params=["method", "lora.learning_rate"], **named)
        yield draw.plot_contour(study, params=["lora.learning_rate", "lora.epochs"], **named)
        yield draw.plot_rank(study, params=["lora.learning_rate", "lora.epochs"], **named)
        yield draw.plot_edf(study, **named)
        yield draw.plot_param_importances(study, params=["method"], **named)
    yield draw.plot_timeline(study)


@pytest.mark.parametrize("objectives", [BOTH, BOTH[:1]], ids=["two objectives", "one objective"])
def test_optunas_plots_draw_the_study(objectives, make_folder, results) -> None:
    study = export_study(make_folder(objectives))
    with warnings.catch_warnings(action="ignore"):
        figures = list(plots(study))
    assert all(figure.data for figure in figures)
    json.dumps([figure.to_plotly_json() for figure in figures], default=list)
    ok = [result for result in results if result.is_ok]
    if len(objectives) == 2:
        pareto = figures[0]
        assert sum(len(trace.x) for trace in pareto.data) == len(ok)
        assert pareto.layout.xaxis.title.text == "f1"
        assert pareto.layout.yaxis.title.text == "time"
    else:
        assert len(figures[0].data) == sum(bool(result.curve) for result in results)
    bars = {trace.name: len(trace.y) for trace in figures[-1].data}
    assert bars == {"COMPLETE": len(ok), "PRUNED": 1, "FAIL": len(results) - len(ok) - 1}


def test_what_is_exported_comes_back_whole(folder, url, tmp_path) -> None:
    export_study(folder, url)
    imported = read(url)
    assert imported.rejected == []
    assert [e.result.trial_id for e in imported.experiences] == list(range(40))
    with ExperienceStore(f"sqlite:///{tmp_path / 'a.db'}") as store:
        store.add(experiences_of_run(folder))
        assert store.add(imported.experiences) == 0  # it has them all
        assert imported.experiences == list(store.load())


def test_trials_that_were_added_to_an_exported_study_are_read_like_any_other(folder, url, results) -> None:
    study = export_study(folder, url)
    best = study.best_trials[0]
    study.enqueue_trial(best.params)
    trial = study.ask()
    for name, distribution in best.distributions.items():
        trial._suggest(name, distribution)
    study.tell(trial, [0.9, 3.0])

    imported = read(url)

    assert imported.rejected == []
    assert imported.experiences[-1].run_id == "optuna/reviews"
    assert imported.experiences[-1].result.pipeline == results[best.number].pipeline


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE trial_system_attributes SET value_json='[1]' WHERE key='{key}'", "must be an object"),
        (
            "UPDATE study_system_attributes SET value_json='7' WHERE key='xautolm:shared'",
            "must refer to an entry above",
        ),
        ('UPDATE trial_system_attributes SET value_json=\'{{"task": 1, "id": "a"}}\' WHERE key=\'{key}\'', "`task`"),
    ],
)
def test_what_was_damaged_in_between_is_rejected_with_its_reason(
    damage, reason, make_folder, results, url, tmp_path
) -> None:
    export_study(make_folder(trials=results[:2]), url)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute(damage.format(key=EXPERIENCE))
    imported = read(url)
    assert imported.experiences == []
    assert [reason in rejected.reason for rejected in imported.rejected] == [True, True]


def test_no_text_of_the_user_leaves_the_run_folder(folder, url, tmp_path) -> None:
    assert MARKER in (folder / "trials.jsonl").read_text()
    export_study(folder, url)
    assert MARKER.encode() not in (tmp_path / "study.db").read_bytes()


def test_a_study_that_is_there_is_never_overwritten(small, url, tmp_path) -> None:
    export_study(small, url)
    export_study(small, url, "another")
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(UsageError, match=r"already holds a study 'reviews'; give another `--name`.*delete-study"):
        export_study(small, url)
    assert (tmp_path / "study.db").read_bytes() == before
    assert optuna.get_all_study_names(url) == ["reviews", "another"]


@pytest.mark.parametrize("is_new", [True, False], ids=["new storage", "storage with a study"])
def test_nothing_is_left_of_an_export_that_fails(is_new, small, url, tmp_path, monkeypatch) -> None:
    if not is_new:
        export_study(small, url, "earlier")

    def fail(self: optuna.Study, trials: object) -> None:
        self.add_trial(next(iter(trials)))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(optuna.Study, "add_trials", fail)
    with pytest.raises(DataError, match="cannot be read or written"):
        export_study(small, url)
    assert (tmp_path / "study.db").exists() != is_new
    assert is_new or optuna.get_all_study_names(url) == ["earlier"]


def test_an_export_that_was_killed_is_named_as_such(small, url, tmp_path) -> None:
    export_study(small, url)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("DELETE FROM study_system_attributes WHERE key='xautolm:complete'")
    with pytest.raises(UsageError, match="of an export that is going on or was cut off"):
        export_study(small, url)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("redis://localhost/0", "URL of an Optuna storage"),
        ("sqlite:///:memory:", "path of a file"),
        ("{tmp}/text.db", "something else"),
        ("{tmp}", "something else"),
        ("{tmp}/missing/study.db", "cannot be read or written"),
        ("sqlite:///{tmp}/store.db", "an experience store"),
        ("postgresql://anna:secret@127.0.0.1:1/none", "cannot be read or written"),
    ],
)
def test_a_place_that_can_hold_no_study_is_refused_and_left_alone(storage, message, folder, tmp_path) -> None:
    (tmp_path / "text.db").write_text("not a database")
    ExperienceStore(f"sqlite:///{tmp_path / 'store.db'}").close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(DataError, match=message) as caught:
        export_study(folder, storage.format(tmp=tmp_path))
    assert "secret" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_run_that_cannot_be_read_writes_nothing(folder, url, tmp_path, results) -> None:
    with pytest.raises(UsageError, match="study name"):
        export_study(folder, url, "")
    lines = [json.dumps(replace(result, started_at="soon").to_dict()) for result in results[:1]]
    (folder / "trials.jsonl").write_text("\n".join([*lines, ""]))
    with pytest.raises(DataError, match=r"times like .* in trial 0"):
        export_study(folder, url)
    (folder / "space.json").unlink()
    with pytest.raises(RunFolderError, match=r"`space.json`"):
        export_study(folder, url)
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_says_what_it_wrote(as_json, small, url, monkeypatch, capsys) -> None:
    arguments = ["xautolm", "study", str(small), "--storage", url, "--name", "mine", *(["--json"] if as_json else [])]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert not ended.value.code
    assert printed.err == ""
    (mine,) = optuna.get_all_study_summaries(url)
    assert (mine.study_name, mine.n_trials) == ("mine", 3)
    if as_json:
        counts = json.loads(printed.out)
        assert counts["n_complete"] + counts["n_pruned"] + counts["n_fail"] == counts["n_trials"] == 3
        assert (counts["study"], counts["storage"]) == ("mine", url)
    else:
        assert f"optuna-dashboard {url}" in printed.out
