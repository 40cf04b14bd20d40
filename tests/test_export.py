"""The exported folder is replaced in one step, says where it came from, and predictions keep the user's table."""

import json
import threading
from dataclasses import replace

import pytest

from xautolm import export
from xautolm.errors import WorkerError
from xautolm.export import ExportContext, export_trial, exported_trial, swap_folder
from xautolm.records import Cost, ModelSpec, Pipeline, TrialResult

MODEL = ModelSpec("m", "/m", "r1", "bert", 2, False, 10, 5, 4, 2, 8, 20, 64, ("mean",))
PIPELINE = Pipeline("m", "full", {"max_length": 32, "learning_rate": 1e-4})
RESULT = TrialResult(4, "ok", PIPELINE, {"f1": 0.8, "accuracy": 0.75}, Cost(1.0), seed=9)
CONTEXT = ExportContext("run-1", "reviews", (False, True), {"text": "body", "target": "y"}, 0)


def folder_with(path, content):
    path.mkdir()
    (path / "file").write_text(content)
    return path


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_swap_replaces_and_leaves_nothing_behind(tmp_path, monkeypatch, platform):
    monkeypatch.setattr(export.sys, "platform", platform)
    target = tmp_path / "model"
    swap_folder(folder_with(tmp_path / "fresh", "first"), target)
    assert (target / "file").read_text() == "first"
    swap_folder(folder_with(tmp_path / "fresh", "second"), target)
    assert (target / "file").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(export.sys.platform != "linux", reason="names can be exchanged on Linux only")
def test_a_reader_always_finds_a_whole_folder(tmp_path):
    target = folder_with(tmp_path / "model", "0")
    missed, done = [], threading.Event()

    def read():
        while not done.is_set():
            if not (target / "file").exists():
                missed.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        swap_folder(folder_with(tmp_path / "fresh", str(i)), target)
    done.set()
    reader.join()
    # Between two look-ups of the path the old folder may already be emptied: that is a race of the reader's own.
    assert len(missed) <= 5
    assert (target / "file").read_text() == "99"


class Backend:
    """Exports by writing one file."""

    def __init__(self, tmp_path, error=None, notes=None):
        self.tmp_path, self.error, self.fields, self.notes = tmp_path, error, {}, notes or {}

    def checkpoint(self, trial_id):
        return self.tmp_path / "checkpoints" / str(trial_id)

    def run_job(self, name, fields):
        self.fields = fields
        if self.error:
            raise self.error
        (self.tmp_path / "job").mkdir()
        folder_with(export.Path(fields["target"]), "weights")
        return {"folder": str(self.tmp_path / "job"), "notes": self.notes}


def test_an_export_says_where_it_came_from(tmp_path):
    backend = Backend(tmp_path)
    export_trial(backend, RESULT, MODEL, CONTEXT, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert backend.fields["labels"] == ["False", "True"]
    assert backend.fields["checkpoint"].endswith("checkpoints/4")
    info = json.loads((tmp_path / "model" / "xautolm.json").read_text())
    assert info["labels"] == [False, True]
    assert info["pipeline"] == PIPELINE.to_dict()
    assert (info["run_id"], info["trial_id"], info["trial_seed"]) == ("run-1", 4, 9)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| learning_rate | 0.0001 |" in card
    assert "f1 0.8000" in card
    assert "at most 32 tokens" in card
    assert exported_trial(tmp_path / "model") == 4


def test_an_export_states_the_settings_that_a_rescue_left(tmp_path):
    asked = Pipeline("m", "full", {"max_length": 32, "batch_size": 32})
    ran = Pipeline("m", "full", {**asked.params, "micro_batch_size": 4, "gradient_checkpointing": False})
    export_trial(Backend(tmp_path), replace(RESULT, pipeline=ran, requested=asked), MODEL, CONTEXT, tmp_path / "model")
    info = json.loads((tmp_path / "model" / "xautolm.json").read_text())
    assert info["pipeline"] == ran.to_dict() | {"gradient_accumulation_steps": 8}
    assert info["requested"] == asked.to_dict()
    card = (tmp_path / "model" / "README.md").read_text()
    for name, value in (("batch_size", 32), ("micro_batch_size", 4), ("gradient_accumulation_steps", 8)):
        assert f"| {name} | {value} |" in card
    assert "| gradient_checkpointing | False |" in card
    assert "a micro-batch of 4 rows, 8 of them to a step" in card


def test_an_export_that_writes_says_what_it_was_asked(tmp_path):
    notes = {"template": "<user>{context} {question}\n", "adds_special": False, "start_id": None, "n_new": 7}
    context = replace(CONTEXT, kind="question-answering", labels=())
    export_trial(Backend(tmp_path, notes=notes), RESULT, MODEL, context, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "xautolm.json").read_text())["notes"] == notes
    card = (tmp_path / "model" / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    assert "at most 7 tokens" in card
    assert 'template.format(context="...", question="...")' in card
    assert "Labels" not in card


def test_an_export_that_fails_leaves_the_old_model(tmp_path):
    folder_with(tmp_path / "model", "old")
    with pytest.raises(WorkerError):
        export_trial(Backend(tmp_path, WorkerError("no")), RESULT, MODEL, CONTEXT, tmp_path / "model")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("content", [None, "", "{}", '{"trial_id": "x"}'])
def test_a_folder_without_usable_notes_is_no_export(tmp_path, content):
    if content is not None:
        (tmp_path / "xautolm.json").write_text(content)
    assert exported_trial(tmp_path) is None
