"""An Optuna study as experiences: real storages, read without changing them."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy.pool import NullPool

from xautolm.errors import DataError, UsageError
from xautolm.experience import importers
from xautolm.experience.importers.evaluation import CLASSIFICATION_FEATURES
from xautolm.experience.importers.optuna_study import read
from xautolm.experience.store import ExperienceStore

START = datetime(2026, 1, 2, 3, 4, 5)
LR = FloatDistribution(1e-6, 1e-2)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module")
def empty_storage(tmp_path_factory) -> Path:
    """A storage without studies: making one takes a second, copying it nothing."""
    path = tmp_path_factory.mktemp("optuna") / "empty.db"
    optuna.storages.RDBStorage(f"sqlite:///{path}").engine.dispose()
    return path


@pytest.fixture
def path(empty_storage, tmp_path) -> Path:
    return Path(shutil.copy(empty_storage, tmp_path / "study.db"))


def make_study(path: Path, name="reviews", directions=("maximize",), metric_names=None):
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"poolclass": NullPool})
    study = optuna.create_study(storage=storage, study_name=name, directions=list(directions))
    if metric_names:
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            study.set_metric_names(metric_names)
    return study


def add(study, params=None, state=TrialState.COMPLETE, values=(0.75,), seconds=12.5, **changes):
    params = {"learning_rate": 1e-3} if params is None else params
    distributions = {name: _distribution(value) for name, value in params.items()}
    trial = create_trial(
        state=state,
        params=params,
        distributions=distributions,
        values=list(values) if state == TrialState.COMPLETE else None,
        **changes,
    )
    trial.datetime_start, trial.datetime_complete = START, START + timedelta(seconds=seconds)
    study.add_trial(trial)


def _distribution(value):
    if isinstance(value, float):
        return LR
    return IntDistribution(0, 100) if type(value) is int else CategoricalDistribution([value, "another"])


def only(imported):
    assert imported.rejected == []
    (experience,) = imported.experiences
    return experience


def test_a_trial_becomes_an_experience(path) -> None:
    params = {"method": "lora", "lora.model": "google-t5/t5-small", "lora.lora_r": 8, "seed_everything": 3}
    add(make_study(path, metric_names=["f1"]), params)

    experience = only(read(f"sqlite:///{path}"))

    assert experience.result.pipeline.to_dict() == {
        "model": "google-t5/t5-small", "method": "lora", "lora_r": 8, "seed_everything": 3
    }  # fmt: skip
    assert experience.result.scores == {"f1": 0.75}
    assert experience.result.cost.time_s == 12.5
    assert experience.result.started_at == "2026-01-02T03:04:05+00:00"
    assert (experience.dataset_id, experience.source) == ("reviews", "import")


def test_states_become_statuses(path) -> None:
    study = make_study(path)
    add(study)
    add(study, state=TrialState.PRUNED, intermediate_values={0: 0.5, 2: 0.6})
    add(study, state=TrialState.FAIL)
    study.ask()

    imported = read(str(path))

    results = [e.result for e in imported.experiences]
    assert [r.status for r in results] == ["ok", "stopped", "crashed"]
    assert [dict(r.scores) for r in results] == [{"value": 0.75}, {}, {}]
    assert results[1].curve == ((0, 6.25, 0.5), (2, 12.5, 0.6))
    assert results[2].error.kind == "unknown"
    assert [(r.where, r.reason) for r in imported.rejected] == [("trial 3", "must have ended, but is running")]


def test_what_the_study_did_not_choose_is_unknown(path) -> None:
    add(make_study(path))

    pipeline = only(read(str(path))).result.pipeline

    assert (pipeline.model, pipeline.method) == ("unknown", "unknown")


@pytest.mark.parametrize(
    ("directions", "names", "expected"),
    [
        (["minimize"], None, {"loss": 1.0}),
        (["maximize", "minimize"], None, {"value_0": 1.0, "loss_1": 2.0}),
        (["maximize", "minimize"], ["f1", "time"], {"f1": 1.0, "time": 2.0}),
        (["maximize", "minimize"], ["f1", "a name of words"], {"f1": 1.0, "loss_1": 2.0}),
    ],
)
def test_names_of_scores(directions, names, expected, path) -> None:
    add(make_study(path, directions=directions, metric_names=names), values=[1.0, 2.0][: len(directions)])

    assert only(read(str(path))).result.scores == expected


def test_attributes_that_are_known_numbers_are_taken_over_and_text_is_not(path, own_store) -> None:
    marker = "Dear Anna"
    study = make_study(path, metric_names=["f1"])
    study.set_user_attr("note", marker)
    study.set_user_attr("n_train", 500)
    study.set_user_attr("kind", "multi-label")
    attributes = {"accuracy": 0.9, "peak_mem_mib": 812, "note": marker, "odd": 3.0, "energy_wh": None}
    add(study, {"prompt": marker, "model": f"/home/{marker}/bert"}, user_attrs=attributes)

    experience = only(read(str(path)))
    with ExperienceStore(own_store) as store:
        store.add([experience])

    assert experience.kind == "multi-label"
    assert experience.result.scores == {"accuracy": 0.9, "f1": 0.75}
    assert experience.result.cost.peak_mem_mib == 812
    assert experience.result.pipeline.model == "bert"
    assert experience.profile.task == {"n_train": 500.0}
    assert "n_train" in CLASSIFICATION_FEATURES
    assert marker.encode() not in Path(own_store.removeprefix("sqlite:///")).read_bytes()


def test_a_second_import_and_one_of_a_grown_study_add_only_what_is_new(path, own_store) -> None:
    study = make_study(path)
    add(study)
    add(study, {"learning_rate": 2e-3})
    with ExperienceStore(own_store) as store:
        assert store.add(read(str(path)).experiences) == 2
        assert store.add(read(str(path)).experiences) == 0
        add(study, {"learning_rate": 3e-3})
        assert store.add(read(str(path)).experiences) == 1


def test_one_of_several_studies_must_be_named(path) -> None:
    add(make_study(path, "first"), values=[0.1])
    add(make_study(path, "second"), values=[0.2])

    with pytest.raises(DataError, match="it holds 'first', 'second'"):
        read(str(path))
    with pytest.raises(DataError, match="a study named 'third'"):
        read(str(path), "third")
    assert only(importers.read(str(path), "optuna", name="second")).result.scores == {"value": 0.2}


def test_reading_leaves_the_storage_as_it_was(path) -> None:
    add(make_study(path))
    before = hashlib.sha256(path.read_bytes()).hexdigest()

    read(f"sqlite:///{path}")

    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [p.name for p in path.parent.iterdir()] == ["study.db"]


def execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial_params SET distribution_json = '{' WHERE trial_id = 1",
        'UPDATE trial_params SET distribution_json = \'{"name": "os.system", "attributes": {}}\' WHERE trial_id = 1',
        "UPDATE trials SET state = 'ODD' WHERE trial_id = 1",
        "UPDATE trials SET datetime_start = 'yesterday' WHERE trial_id = 1",
        "UPDATE trial_values SET value = 'many' WHERE trial_id = 1",
        "UPDATE trial_values SET value_type = 'INF_POS', value = NULL WHERE trial_id = 1",
        "UPDATE trials SET datetime_complete = NULL WHERE trial_id = 1",
        "DELETE FROM trial_values WHERE trial_id = 1",
        "UPDATE trials SET number = -3 WHERE trial_id = 1",
    ],
)
def test_a_damaged_trial_is_reported_and_the_others_go_in(statement, path) -> None:
    study = make_study(path)
    add(study)
    add(study, values=[0.5])
    execute(path, statement)

    imported = read(str(path))

    assert [e.result.scores["value"] for e in imported.experiences] == [0.5]
    assert len(imported.rejected) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("redis://localhost/0", "URL of an Optuna storage"),
        ("sqlite:///{tmp}/missing.db", "no SQLite database"),
        ("{tmp}", "no SQLite database"),
        ("{tmp}/text.db", "no SQLite database"),
        ("{tmp}/other.db", "cannot be read"),
        ("postgresql://anna:secret@127.0.0.1:1/none", "cannot be read"),
        ("://", "URL of an Optuna storage"),
    ],
)
def test_a_source_that_is_no_storage_is_one_error(source, message, tmp_path) -> None:
    (tmp_path / "text.db").write_text("not a database")
    execute(tmp_path / "other.db", "CREATE TABLE t (x)")

    with pytest.raises(DataError, match=message) as caught:
        read(source.format(tmp=tmp_path))

    assert "secret" not in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} == {"text.db", "other.db"}


def test_a_form_must_be_known() -> None:
    with pytest.raises(UsageError, match="'paper', 'optuna', 'hf'"):
        importers.read("x", "csv")
    with pytest.raises(UsageError, match="names its data sets itself"):
        importers.read("x", "paper", name="liar")
