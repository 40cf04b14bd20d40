"""What happens with a finished trial, in an order that a kill cannot hurt; and the two signals of a stop."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xautolm import recording
from xautolm.errors import StoreError, WorkerError
from xautolm.experience.journal import read_journal
from xautolm.experience.run_folder import RunFolder
from xautolm.interrupts import StopRequest
from xautolm.recording import Recorder, Silent
from xautolm.records import Cost, ModelSpec, Objective, Pipeline, Spent, TrialError, TrialResult

MODEL = ModelSpec("m", "/m", "r", "bert", 2, False, 10, 5, 4, 2, 8, 20, 64, ("mean",))
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))


def trial(trial_id, f1=None, time_s=1.0):
    """A result; without a score it has failed."""
    pipeline = Pipeline("m", "full", {"epochs": trial_id})
    if f1 is None:
        return TrialResult(trial_id, "oom", pipeline, {}, Cost(time_s), seed=1, error=TrialError("oom_train", "no"))
    return TrialResult(trial_id, "ok", pipeline, {"f1": f1}, Cost(time_s), seed=1)


class Store:
    def __init__(self, events):
        self.events, self.kept, self.is_broken = events, {}, False

    def add(self, experiences):
        if self.is_broken:
            raise StoreError("the server is gone")
        self.events.append("store")
        self.kept |= dict.fromkeys(experiences)


class Watcher(Silent):
    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


@pytest.fixture
def events():
    return []


@pytest.fixture
def recorder(tmp_path, events, monkeypatch):
    """A recorder whose exports only leave the trial's number in `model/`."""
    folder = RunFolder.create(tmp_path / "run")

    def export(backend, result, model, context, target):
        n_lines = len(read_journal(folder.path / "trials.jsonl", repair=False))
        events.append(f"export {result.trial_id} after {n_lines} lines")
        target.mkdir(exist_ok=True)
        (target / "xautolm.json").write_text(json.dumps({"trial_id": result.trial_id}))

    monkeypatch.setattr(recording, "export_trial", export)
    yield Recorder(
        folder=folder,
        backend=None,
        models={"m": MODEL},
        objectives=OBJECTIVES,
        context=None,
        to_experience=lambda result: result.trial_id,
        store=Store(events),
        observer=Watcher(),
        facts={"run_id": "r"},
        spent=lambda: Spent(12.3456),
        max_disk_bytes=1000,
    )
    folder.close()


def checkpoint(recorder, trial_id, n_bytes=100):
    path = recorder.folder.checkpoints / str(trial_id)
    path.mkdir(parents=True)
    (path / "trained.safetensors").write_bytes(bytes(n_bytes))


def test_an_estimate_of_energy_has_a_field_of_its_own(recorder):
    recorder.spent = lambda: Spent(1.0, 0.5)
    recorder.facts["energy_source"] = "estimate"
    recorder.write_run()
    assert (state(recorder)["energy_wh"], state(recorder)["energy_wh_estimate"]) == (None, 0.5)
    recorder.facts["energy_source"] = "rapl"
    recorder.write_run()
    assert (state(recorder)["energy_wh"], state(recorder)["energy_wh_estimate"]) == (0.5, None)


def state(recorder):
    return json.loads((recorder.folder.path / "run.json").read_text())


def test_the_best_is_exported_before_it_is_journalled_and_stored_last(recorder, events):
    recorder.record(trial(0, 0.5))
    assert events == ["export 0 after 0 lines", "store"]
    events.clear()
    recorder.record(trial(1, 0.4))
    assert events == ["store"]
    recorder.record(trial(2, 0.9))
    assert events[1:] == ["export 2 after 2 lines", "store"]
    assert [result.trial_id for result in read_journal(recorder.folder.path / "trials.jsonl")] == [0, 1, 2]


def test_run_json_counts_and_names_the_front(recorder):
    for result in (trial(0, 0.5, 1.0), trial(1), trial(2, 0.9, 5.0), trial(3, 0.4, 3.0)):
        recorder.record(result)
    run = state(recorder)
    assert (run["n_trials"], run["n_ok"], run["n_failed"], run["n_stopped"]) == (4, 3, 1, 0)
    assert (run["front"], run["best"], run["status"]) == ([0, 2], 2, "running")
    assert (run["wall_s"], run["run_id"]) == (12.346, "r")


def test_a_run_without_a_working_trial_has_no_model(recorder, events):
    recorder.record(trial(0))
    assert (state(recorder)["best"], state(recorder)["front"]) == (None, [])
    assert events == ["store"]


def test_a_broken_store_never_stops_a_run_and_is_mentioned_once(recorder):
    recorder.store.is_broken = True
    for i in range(3):
        recorder.record(trial(i, 0.1 * i))
    assert sum("experience store is not available" in line for line in recorder.observer.lines) == 1
    recorder.store.is_broken = False
    recorder.sync_store()
    assert list(recorder.store.kept) == [0, 1, 2]


def test_an_export_that_fails_is_a_warning(recorder, monkeypatch):
    def fail(*_):
        raise WorkerError("no")

    monkeypatch.setattr(recording, "export_trial", fail)
    recorder.record(trial(0, 0.5))
    assert "trial 0 could not be exported: no" in recorder.observer.lines[0]
    assert state(recorder)["best"] == 0


def test_checkpoints_of_dominated_trials_are_removed_at_once(recorder):
    for result in (trial(0, 0.5, 2.0), trial(1, 0.4, 1.0), trial(2, 0.6, 2.0)):
        checkpoint(recorder, result.trial_id)
        recorder.record(result)
    assert set(recorder.folder.checkpoint_sizes()) == {1, 2}


def test_the_disk_limit_drops_the_worst_of_the_front_and_never_the_best(recorder):
    for result in (trial(0, 0.3, 1.0), trial(1, 0.5, 2.0), trial(2, 0.7, 3.0)):
        checkpoint(recorder, result.trial_id, 450)
        recorder.record(result)
    assert set(recorder.folder.checkpoint_sizes()) == {1, 2}
    recorder.max_disk_bytes = 1
    checkpoint(recorder, 3, 450)
    recorder.record(trial(3, 0.1, 9.0))
    assert set(recorder.folder.checkpoint_sizes()) == {2}


def test_the_checkpoint_of_a_trial_that_is_not_recorded_yet_is_left_alone(recorder):
    checkpoint(recorder, 7)
    recorder.record(trial(0, 0.5))
    assert set(recorder.folder.checkpoint_sizes()) == {7}


def test_beginning_again_takes_over_and_repairs(recorder, events):
    earlier = [trial(0, 0.5), trial(1, 0.9)]
    for trial_id in (1, 5):
        checkpoint(recorder, trial_id)
    recorder.begin(earlier)
    assert events == ["store", "export 1 after 0 lines"]
    assert list(recorder.store.kept) == [0, 1]
    assert set(recorder.folder.checkpoint_sizes()) == {1}  # 5 was cut off before it was recorded
    assert state(recorder)["n_trials"] == 2
    events.clear()
    recorder.begin(earlier)
    assert events == ["store"]  # `model/` is the best one's already


def test_heartbeat_is_written_every_few_seconds_only(recorder, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(recording.time, "monotonic", lambda: now[0])
    recorder.write_run()
    (recorder.folder.path / "run.json").unlink()
    now[0] += recording.HEARTBEAT_S - 1
    recorder.tick([])
    assert not (recorder.folder.path / "run.json").exists()
    now[0] += 2
    recorder.tick([])
    assert state(recorder)["status"] == "running"


def test_the_first_signal_is_noted_and_handlers_are_put_back():
    called = []
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest(lambda: called.append(1)) as stop:
        assert not stop.is_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_requested()
        assert called == [1]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once(second):
    code = f"""
import os, signal, time
from xautolm.interrupts import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    print("noted", stop.is_requested(), flush=True)
    os.kill(os.getpid(), {int(second)})
    time.sleep(5)
    print("still here")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert ended.returncode == 130
    assert ended.stdout == "noted True\n"
