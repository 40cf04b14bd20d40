"""The worker pool: slots, what becomes of a trial's process in the record, checkpoints, and side jobs."""

import json
from dataclasses import replace

import pytest

from xautolm.backends.energy import EnergyMeter
from xautolm.backends.local import LocalBackend, TrialContext, run_alone
from xautolm.backends.outcomes import trial_result
from xautolm.backends.slots import Slots, choose_slots
from xautolm.errors import WorkerError
from xautolm.evaluate.job import Outcome
from xautolm.records import ModelSpec, Pipeline, Trial

MODEL = ModelSpec("m", "/m", "r", "bert", 2, False, 10, 5, 4, 2, 8, 20, 64, ("mean",))
TRIAL = Trial(3, Pipeline("m", "full", {"epochs": 2}), seed=7, seen=(0, 2))
COST = {
    "time_s": 2.5,
    "cached_s": 0.5,
    "train_s": 1.0,
    "predict_s": 0.2,
    "load_s": 0.1,
    "latency_ms": 4.0,
    "size_mib": 87.0,
}
OK = {"status": "ok", "scores": {"f1": 0.8}, "curve": [[1, 0.5, 0.7]], "cost": COST, "n_trained": 9}


class FakeServer:
    """Jobs end when the test says so."""

    def __init__(self):
        self.jobs, self.ended, self.stopped = [], [], []

    def submit(self, job):
        job.folder.mkdir(parents=True)
        self.jobs.append(job)

    def poll(self):
        ended, self.ended = self.ended, []
        return ended

    def stop(self, job):
        self.stopped.append(job)

    def end(self, job, outcome):
        self.ended.append((job, outcome))


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def backend(server, tmp_path):
    context = TrialContext(tmp_path, {"m": MODEL}, 60.0, 500.0, data_seed=5)
    return LocalBackend(server, Slots(("cpu", "cpu"), 1), context)


@pytest.mark.parametrize(
    ("outcome", "status", "kind"),
    [
        (Outcome("timeout", None, "reached its time limit of 60.0 s", 60.1, 5), "timeout", "time_limit"),
        (Outcome("memory", None, "used 600 MiB", 3, 600), "oom", "oom_host"),
        (Outcome("died", None, "killed by SIGKILL", 3, 5), "crashed", "killed"),
        (Outcome("died", None, "killed by SIGSEGV", 3, 5), "crashed", "died"),
        (Outcome("hang", None, "no sign of life", 3, 5), "crashed", "hang"),
        (Outcome("stopped", None, "stopped by the run", 3, 5), "interrupted", "stopped"),
    ],
)
def test_what_became_of_the_process_is_the_status(outcome, status, kind):
    result = trial_result(TRIAL, outcome)
    assert (result.status, result.error.kind, result.error.message) == (status, kind, outcome.detail)
    assert (result.trial_id, result.pipeline, result.seed, result.seen) == (3, TRIAL.pipeline, 7, (0, 2))
    assert (result.cost.time_s, result.cost.peak_mem_mib) == (outcome.elapsed_s, outcome.peak_mem_mib)
    assert result.scores == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [("oom", "oom_train"), ("diverged", "nan"), ("interrupted", "disk"), ("unavailable", "OSError")],
)
def test_a_failure_that_the_job_classified_keeps_its_label(status, kind):
    error = {"status": status, "error": {"kind": kind, "message": "RuntimeError: out of memory"}}
    result = trial_result(TRIAL, Outcome("finished", error, "", 3, 5))
    assert (result.status, result.error.kind) == (status, kind)


def test_a_trial_that_the_search_stopped_keeps_its_curve_and_is_no_failure(backend, server):
    backend.submit(TRIAL)
    (server.jobs[0].folder / "progress.json").write_text(json.dumps({"curve": [[5, 1.5, 0.4]], "n_steps": 40}))
    assert backend.running()[0].curve == ((5, 1.5, 0.4),)
    assert backend.running()[0].n_steps == 40

    backend.stop(TRIAL.trial_id, "at best f1 0.5, trial 0 is as good and costs no more")
    server.end(server.jobs[0], Outcome("stopped", None, "stopped by the run", 3, 5))
    (result,) = backend.poll(0.0)

    assert server.stopped == server.jobs
    assert (result.status, result.error.kind, result.curve) == ("stopped", "dominated", ((5, 1.5, 0.4),))
    assert result.cost.time_s == 3


def test_a_trial_that_ended_before_it_could_be_stopped_stays_what_it_is(backend, server):
    backend.submit(TRIAL)
    (server.jobs[0].folder / "checkpoint").mkdir()
    backend.stop(TRIAL.trial_id, "too late")
    server.end(server.jobs[0], Outcome("finished", OK, "", 3, 5))

    assert backend.poll(0.0)[0].status == "ok"


def test_a_result_becomes_the_record():
    result = trial_result(TRIAL, Outcome("finished", OK, "", 9, 123))
    assert result.is_ok
    assert result.error is None
    assert result.scores == {"f1": 0.8}
    assert result.curve == ((1, 0.5, 0.7),)
    assert (result.cost.time_s, result.cost.cached_s, result.cost.peak_mem_mib) == (2.5, 0.5, 123)
    on_gpu = trial_result(TRIAL, Outcome("finished", OK | {"device_mem_mib": 77.0}, "", 9, 123))
    assert on_gpu.cost.peak_mem_mib == 77


def test_a_working_trial_leaves_its_checkpoint_and_nothing_else(backend, server, tmp_path):
    backend.submit(TRIAL)
    assert backend.poll(0) == []
    job = server.jobs[0]
    assert (job.time_limit_s, job.memory_limit_mib) == (60.0, 500.0)
    assert (job.spec["seed"], job.spec["data_seed"], job.spec["n_threads"]) == (7, 5, 1)
    assert json.loads(json.dumps(dict(job.spec)))["params"] == {"epochs": 2}
    (job.folder / "checkpoint").mkdir()
    (job.folder / "checkpoint" / "trained.safetensors").write_text("weights")
    server.end(job, Outcome("finished", OK, "", 3, 5))
    (result,) = backend.poll(0)
    assert (result.status, result.n_threads, result.n_parallel) == ("ok", 1, 1)
    assert "" < result.started_at <= result.finished_at
    assert (backend.checkpoint(3) / "trained.safetensors").read_text() == "weights"
    assert list((tmp_path / "work").iterdir()) == []
    assert backend.poll(0) == []


ASKED = replace(TRIAL, pipeline=Pipeline("m", "full", {"batch_size": 4}))
TOO_BIG = Outcome("memory", None, "used 600 MiB, the limit is 500 MiB", 3, 600)
OOM = {"status": "oom", "error": {"kind": "oom_train", "message": "RuntimeError: can't allocate memory"}}


def run_out_of_memory(server, outcome, stage="train"):
    """End the last job, in a stage of its work."""
    job = server.jobs[-1]
    (job.folder / "progress.json").write_text(json.dumps({"stage": stage}))
    server.end(job, outcome)


def cut(job):
    params = job.spec["params"]
    return params["batch_size"], params["micro_batch_size"], params["gradient_checkpointing"]


@pytest.mark.parametrize("outcome", [TOO_BIG, Outcome("finished", OOM, "", 3, 5)])
def test_a_trial_out_of_memory_starts_again_in_less_and_both_settings_are_recorded(backend, server, outcome, tmp_path):
    backend.submit(ASKED)
    run_out_of_memory(server, outcome)
    assert backend.poll(0) == []
    job = server.jobs[-1]
    assert cut(job) == (4, 2, False)
    assert (job.earlier_s, job.time_limit_s, job.spec["seed"]) == (3, 60.0, 7)
    assert len(backend.running()) == 1
    (job.folder / "checkpoint").mkdir()
    server.end(job, Outcome("finished", OK, "", 6, 5))
    (result,) = backend.poll(0)
    assert result.is_ok
    assert result.requested == ASKED.pipeline
    assert result.pipeline.params == {"batch_size": 4, "micro_batch_size": 2, "gradient_checkpointing": False}
    assert result.cost.time_s == COST["time_s"] + 3
    assert "starting again with a micro-batch of 2 rows" in (tmp_path / "trials" / "3.log").read_text()


def test_a_rescue_that_comes_to_its_end_fails_as_out_of_memory(backend, server):
    backend.submit(ASKED)
    tried = []
    while not (done := backend.poll(0)):
        run_out_of_memory(server, replace(TOO_BIG, elapsed_s=3 + len(tried)))
        tried.append(server.jobs[-1].spec["params"].get("micro_batch_size"))
    assert tried == [None, 2, 1, 1]
    assert cut(server.jobs[-1]) == (4, 1, True)
    (result,) = done
    assert (result.status, result.error.kind) == ("oom", "oom_host")
    assert "also with a micro-batch of 1 row, 4 of them to a step, with gradient checkpointing" in result.error.message
    assert (result.pipeline, result.requested, result.cost.time_s) == (ASKED.pipeline, None, 6)


def test_nothing_is_rescued_where_a_smaller_batch_cannot_help(backend, server):
    for trial, stage, outcome in (
        (ASKED, "load", TOO_BIG),
        (TRIAL, "train", TOO_BIG),
        (ASKED, "train", replace(TOO_BIG, elapsed_s=61)),
    ):
        backend.submit(trial)
        run_out_of_memory(server, outcome, stage)
        assert [result.status for result in backend.poll(0)] == ["oom"]


def test_a_stopped_trial_is_not_rescued(backend, server):
    backend.submit(ASKED)
    backend.stop(3, "hopeless")
    run_out_of_memory(server, TOO_BIG)
    assert [result.status for result in backend.poll(0)] == ["oom"]


def test_rescue_can_be_switched_off(server, tmp_path):
    context = TrialContext(tmp_path, {"m": MODEL}, 60.0, 500.0, data_seed=5, with_rescue=False)
    backend = LocalBackend(server, Slots(("cpu",), 1), context)
    backend.submit(ASKED)
    run_out_of_memory(server, TOO_BIG)
    assert [(result.status, result.requested) for result in backend.poll(0)] == [("oom", None)]


def test_a_trial_on_a_gpu_is_told_its_share_of_the_memory(server, tmp_path):
    context = TrialContext(tmp_path, {"m": MODEL}, 60.0, 500.0, data_seed=5)
    LocalBackend(server, Slots(("cuda:1",), 1), context).submit(TRIAL)
    assert (server.jobs[0].spec["device"], server.jobs[0].spec["device_limit_mib"]) == ("cuda:1", 500.0)


def test_slots_are_shared_and_parallel_trials_counted(backend, server):
    backend.submit(TRIAL)
    backend.submit(replace(TRIAL, trial_id=4))
    assert [progress.trial_id for progress in backend.running()] == [3, 4]
    with pytest.raises(StopIteration):
        backend.submit(replace(TRIAL, trial_id=5))
    server.end(server.jobs[1], Outcome("timeout", None, "late", 60, 5))
    (second,) = backend.poll(0)
    assert (second.trial_id, second.n_parallel) == (4, 2)
    backend.submit(replace(TRIAL, trial_id=5))
    assert len(server.jobs) == 3


def test_stopped_trials_never_come_back(backend, server):
    backend.submit(TRIAL)
    backend.stop_all()
    assert server.stopped == server.jobs
    assert not server.jobs[0].folder.exists()
    assert backend.running() == []
    assert backend.poll(0) == []


def test_progress_is_what_the_job_reported(backend, server):
    backend.submit(TRIAL)
    (server.jobs[0].folder / "progress.json").write_text('{"stage": "train", "epoch": 1.5, "n_epochs": 2}')
    (progress,) = backend.running()
    assert (progress.stage, progress.epoch, progress.n_epochs) == ("train", 1.5, 2.0)


def test_a_side_job_waits_for_its_own_result_and_keeps_those_of_trials(backend, server, monkeypatch):
    backend.submit(TRIAL)
    submit = server.submit

    def submit_and_end(job):
        submit(job)
        server.end(server.jobs[0], Outcome("timeout", None, "late", 60, 5))
        server.end(job, Outcome("finished", {"status": "ok", "n": 1}, "", 2, 5))

    monkeypatch.setattr(server, "submit", submit_and_end)
    assert backend.run_job("measure", {"x": 1})["n"] == 1
    assert server.jobs[1].spec["x"] == 1
    assert [result.trial_id for result in backend.poll(0)] == [3]


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome("died", None, "killed by SIGKILL", 1, 5), "killed by SIGKILL"),
        (
            Outcome("finished", {"status": "oom", "error": {"kind": "oom", "message": "no memory"}}, "", 1, 5),
            "no memory",
        ),
    ],
)
def test_a_side_job_that_fails_says_why_and_where_to_look(backend, server, monkeypatch, outcome, message):
    submit = server.submit
    monkeypatch.setattr(server, "submit", lambda job: (submit(job), server.end(job, outcome)))
    with pytest.raises(WorkerError, match=rf"`export` failed: {message}.*export\.log"):
        backend.run_job("export", {})
    assert not server.jobs[0].folder.exists()


@pytest.mark.parametrize(
    ("cores", "devices", "n_params", "workers", "threads", "expected"),
    [
        (2, ["cpu"], 22_000_000, None, None, (("cpu", "cpu"), 1)),
        (2, ["cpu"], 22_000_000, 1, None, (("cpu",), 1)),
        (8, ["cpu"], 22_000_000, None, 4, (("cpu", "cpu"), 4)),
        (8, ["cpu"], 22_000_000, 3, 2, (("cpu",) * 3, 2)),
        (8, ["cpu"], 400_000_000, None, None, (("cpu",), 8)),
        (1, ["cpu"], 22_000_000, None, 2, (("cpu",), 2)),
        (16, ["cuda:0", "cuda:1"], 7_000_000_000, None, None, (("cuda:0", "cuda:1"), 8)),
        (16, ["cuda:0"], 22_000_000, 2, None, (("cuda:0", "cuda:0"), 8)),
    ],
)
def test_threads_and_devices_are_given_out(cores, devices, n_params, workers, threads, expected):
    slots = choose_slots(cores, devices, n_params, workers=workers, threads=threads)
    assert (slots.devices, slots.n_threads) == expected


@pytest.mark.timeout(60)
def test_a_job_alone_that_fails_raises(tmp_path):
    fields = {"model_folder": str(tmp_path / "nowhere"), "rows": str(tmp_path / "rows.json")}
    with pytest.raises(WorkerError, match="`predict` failed: FileNotFoundError"):
        run_alone("predict", fields, tmp_path, device="cpu", n_threads=1)


class Counter:
    """Gives the joules that the test sets, once."""

    source = "rapl"
    joules = 0.0

    def used_j(self):
        used, self.joules = self.joules, 0.0
        return used


def test_what_the_machine_used_before_a_trial_is_not_the_trials(server, tmp_path):
    counter = Counter()
    backend = LocalBackend(
        server, Slots(("cpu",), 1), TrialContext(tmp_path, {"m": MODEL}, 60.0, 500.0, 5), EnergyMeter([counter])
    )
    counter.joules = 7200.0
    backend.submit(TRIAL)
    counter.joules = 3600.0
    (server.jobs[0].folder / "checkpoint").mkdir()
    server.end(server.jobs[0], Outcome("finished", OK, "", 2, 5))
    (result,) = backend.poll(0)
    assert result.cost.energy_wh == 1.0


def test_costs_name_the_host_and_the_device(backend, server):
    backend.submit(TRIAL)
    (server.jobs[0].folder / "checkpoint").mkdir()
    server.end(server.jobs[0], Outcome("finished", {**OK, "device_mem_mib": 900.0}, "", 2, 70.0))
    (result,) = backend.poll(0)
    cost = result.cost
    assert (cost.peak_mem_mib, cost.peak_device_mib, cost.peak_host_mib, cost.load_s) == (900.0, 900.0, 70.0, 0.1)


def test_a_baseline_runs_as_a_job_of_its_own_and_leaves_no_checkpoint(backend, server, tmp_path):
    backend.submit(Trial(-1, Pipeline("none", "majority", {"train_fraction": 1.0}), 0))
    job = server.jobs[0]
    assert (job.spec["job"], job.spec["baseline"], job.memory_limit_mib) == ("baseline", "majority", 500.0)
    server.end(job, Outcome("finished", {**OK, "curve": []}, "", 2, 5))
    (result,) = backend.poll(0)
    assert (result.is_ok, result.is_baseline, result.to_dict()["exportable"]) == (True, True, False)
    assert not (tmp_path / "checkpoints").exists()
