"""A pool of workers on this machine: trials in isolated processes, each with its own threads or device."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xautolm import registry
from xautolm.backends.energy import EnergyMeter
from xautolm.errors import WorkerError
from xautolm.evaluate.isolate import Job, Outcome, WorkerServer
from xautolm.experience.scrub import scrub
from xautolm.records import Cost, ModelSpec, Progress, Trial, TrialError, TrialResult

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Slots:
    """How trials share the machine.

    Attributes:
        devices: device of each slot, one trial per slot at a time.
        n_threads: threads of each trial.
    """

    devices: tuple[str, ...]
    n_threads: int


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What every trial of a run has in common.

    Attributes:
        folder: the run folder.
        models: name -> facts of the models in the space.
        time_limit_s: wall-clock limit per trial.
        memory_limit_mib: private memory limit per trial.
        data_seed: seed of the nested subsets of the rows, the same for all trials.
    """

    folder: Path
    models: Mapping[str, ModelSpec]
    time_limit_s: float
    memory_limit_mib: float
    data_seed: int

    @property
    def work(self) -> Path:
        return self.folder / "work"


def choose_slots(
    n_cores: int, devices: Sequence[str], largest_model: int, *, workers: int | None, threads: int | None
) -> Slots:
    """Give out threads: on a CPU one per trial and as many trials as cores for small models, else one trial.

    Measured (design.md, decision 8): a second thread gains nothing for a 22 M parameter encoder, a second process
    doubles the sum, and two processes with two threads each on two cores collapse.

    Args:
        n_cores: cores this process may use.
        devices: `["cpu"]` or one entry per GPU.
        largest_model: parameters of the largest model in the space.
        workers: the user's wish, None = decide.
        threads: the user's wish, None = decide.

    >>> choose_slots(4, ["cpu"], 22_000_000, workers=None, threads=None).devices
    ('cpu', 'cpu', 'cpu', 'cpu')
    >>> choose_slots(4, ["cpu"], 22_000_000, workers=1, threads=None).n_threads
    1
    >>> choose_slots(4, ["cpu"], 400_000_000, workers=None, threads=None).n_threads
    4
    """
    is_cpu = devices[0] == "cpu"
    small = largest_model < 150_000_000
    n_slots = workers or ((max(1, n_cores // (threads or 1)) if small else 1) if is_cpu else len(devices))
    n_threads = threads or (1 if is_cpu and small else max(1, n_cores // n_slots))
    return Slots(devices=tuple(devices[i % len(devices)] for i in range(n_slots)), n_threads=n_threads)


class LocalBackend:
    """Runs trials and other jobs in worker processes.

    Args:
        server: starts and watches the processes.
        slots: how many trials at once, and on what.
        context: what trials have in common.
        meter: shares the machine's energy among the trials; None = none is measured.
    """

    def __init__(
        self, server: WorkerServer, slots: Slots, context: TrialContext, meter: EnergyMeter | None = None
    ) -> None:
        self._server, self._slots, self._context = server, slots, context
        self._meter = meter or EnergyMeter(())
        self._running: dict[int, tuple[Trial, Job, str, int]] = {}
        self._busy: dict[int, int] = {}
        self._side: dict[int, Outcome] = {}
        self._stopped: dict[int, tuple[str, dict[str, Any]]] = {}
        self._done: list[TrialResult] = []
        self._n_jobs = 0

    @property
    def n_slots(self) -> int:
        return len(self._slots.devices)

    @property
    def device(self) -> str:
        """The device of jobs that are no trials."""
        return self._slots.devices[0]

    def start(self) -> None:
        """Start the worker server, so that it gets ready in the background.

        Workers die with the thread that started their server: call this from one that outlives the jobs.
        """
        self._server.start()

    def submit(self, trial: Trial) -> None:
        """Start a trial in a free slot."""
        slot = next(i for i in range(self.n_slots) if i not in self._busy.values())
        folder = self._context.work / f"trial-{trial.trial_id}"
        shutil.rmtree(folder, ignore_errors=True)
        log = self._context.folder / "trials" / f"{trial.trial_id}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        spec = {
            "job": "evaluate",
            "folder": str(folder),
            "log": str(log),
            "n_threads": self._slots.n_threads,
            "device": self._slots.devices[slot],
            "seed": trial.seed,
            "data_seed": self._context.data_seed,
            "data": str(self._context.work / "data"),
            "cache": str(self._context.work / "cache"),
            "model": asdict(self._context.models[trial.pipeline.model]),
            "params": dict(trial.pipeline.params),
            "method_target": registry.target("methods", trial.pipeline.method),
        }
        job = Job(spec, folder, self._context.time_limit_s, self._context.memory_limit_mib)
        self._server.submit(job)
        self._busy[trial.trial_id] = slot
        self._running[trial.trial_id] = (trial, job, _now(), len(self._busy))

    def poll(self, timeout_s: float) -> list[TrialResult]:
        """Results of trials that ended, waiting up to `timeout_s` for the first."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._collect()
            if self._done or time.monotonic() >= deadline:
                done, self._done = self._done, []
                return done
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))

    def running(self) -> list[Progress]:
        """How far the running trials are."""
        found = []
        for trial, job, _, _ in self._running.values():
            report = job.progress()
            found.append(
                Progress(
                    trial_id=trial.trial_id,
                    pipeline=trial.pipeline,
                    elapsed_s=job.elapsed_s,
                    epoch=float(report.get("epoch", 0.0)),
                    n_epochs=float(report.get("n_epochs", 0.0)),
                    stage=str(report.get("stage", "start")),
                    curve=tuple((int(step), float(s), float(score)) for step, s, score in report.get("curve", ())),
                    n_steps=int(report.get("n_steps", 0)),
                )
            )
        return found

    def stop(self, trial_id: int, reason: str) -> None:
        """Kill a running trial; its result is `stopped`, with the curve so far."""
        _, job, _, _ = self._running[trial_id]
        self._stopped[trial_id] = (reason, job.progress())
        self._server.stop(job)

    def stop_all(self) -> None:
        """Kill every running trial; their results (`interrupted`) are dropped."""
        for trial_id, (_, job, _, _) in list(self._running.items()):
            self._server.stop(job)
            shutil.rmtree(job.folder, ignore_errors=True)
            del self._running[trial_id], self._busy[trial_id]
        self._server.poll()

    def run_job(self, name: str, fields: Mapping[str, Any], *, time_limit_s: float | None = None) -> dict[str, Any]:
        """Run a job other than a trial and wait for it; trials go on and are collected meanwhile.

        Returns:
            What the job wrote, with `folder` = its working folder, which the caller removes.

        Raises:
            WorkerError: the job failed.
        """
        self._n_jobs += 1
        folder = self._context.work / f"job-{os.getpid()}-{self._n_jobs}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        log = self._context.folder / "trials" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        defaults = {"job": name, "folder": str(folder), "log": str(log), "device": self.device}
        spec = {**defaults, "n_threads": self._slots.n_threads, **fields}
        job = Job(spec, folder, time_limit_s, None)
        self._server.submit(job)
        while id(job) not in self._side:
            self._collect()
            time.sleep(0.02)
        outcome = self._side.pop(id(job))
        if outcome.result is None or outcome.result["status"] != "ok":
            shutil.rmtree(folder, ignore_errors=True)
            reason = outcome.detail or (outcome.result or {})["error"]["message"]
            raise WorkerError(f"the job `{name}` failed: {reason}; details are in {log}", reason=reason)
        return {**outcome.result, "folder": str(folder), "elapsed_s": outcome.elapsed_s}

    def checkpoint(self, trial_id: int) -> Path:
        """Where the trained parameters of a finished trial are kept."""
        return self._context.folder / "checkpoints" / str(trial_id)

    def _collect(self) -> None:
        self._meter.tick(self._running)
        for job, outcome in self._server.poll():
            entry = next((e for e in self._running.values() if e[1] is job), None)
            if entry is None:
                self._side[id(job)] = outcome
                continue
            trial, _, started_at, n_parallel = entry
            del self._running[trial.trial_id], self._busy[trial.trial_id]
            result = trial_result(trial, outcome)
            if trial.trial_id in self._stopped:
                result = _stopped_result(result, outcome, *self._stopped.pop(trial.trial_id))
            if result.is_ok:
                self._keep_checkpoint(trial.trial_id, job.folder)
            shutil.rmtree(job.folder, ignore_errors=True)
            self._done.append(
                replace(
                    result,
                    n_threads=self._slots.n_threads,
                    n_parallel=n_parallel,
                    started_at=started_at,
                    finished_at=_now(),
                    cost=replace(result.cost, energy_wh=self._meter.finish(trial.trial_id)),
                )
            )

    def _keep_checkpoint(self, trial_id: int, folder: Path) -> None:
        kept = self.checkpoint(trial_id)
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(folder / "checkpoint", kept)


def trial_result(trial: Trial, outcome: Outcome) -> TrialResult:
    """The record of a trial from what became of its process; a relabelled failure is a defect."""
    result = outcome.result or {}
    blank = TrialResult(
        trial_id=trial.trial_id,
        status="crashed",
        pipeline=trial.pipeline,
        scores={},
        cost=Cost(time_s=outcome.elapsed_s, peak_mem_mib=outcome.peak_mem_mib),
        seed=trial.seed,
        seen=trial.seen,
    )
    if outcome.kind == "finished" and result["status"] == "ok":
        cost = result["cost"]
        return replace(
            blank,
            status="ok",
            scores=result["scores"],
            curve=tuple((int(step), float(s), float(score)) for step, s, score in result["curve"]),
            cost=Cost(
                time_s=cost["time_s"],
                cached_s=cost["cached_s"],
                train_s=cost["train_s"],
                predict_s=cost["predict_s"],
                peak_mem_mib=result.get("device_mem_mib", outcome.peak_mem_mib),
                n_trainable=result["n_trained"],
                size_mib=cost["size_mib"],
                latency_ms=cost["latency_ms"],
            ),
        )
    if outcome.kind == "finished":
        error = TrialError(result["error"]["kind"], scrub(result["error"]["message"]))
        return replace(blank, status=result["status"], error=error)
    if outcome.kind == "timeout":
        return replace(blank, status="timeout", error=TrialError("time_limit", outcome.detail))
    if outcome.kind == "memory":
        return replace(blank, status="oom", error=TrialError("oom_host", outcome.detail))
    if outcome.kind == "stopped":
        return replace(blank, status="interrupted", error=TrialError("stopped", outcome.detail))
    kind = "hang" if outcome.kind == "hang" else "killed" if "SIGKILL" in outcome.detail else "died"
    return replace(blank, error=TrialError(kind, outcome.detail))


def _stopped_result(result: TrialResult, outcome: Outcome, reason: str, progress: Mapping[str, Any]) -> TrialResult:
    """The record of a trial that the search stopped; one that ended on its own in the meantime stays what it is."""
    if outcome.kind != "stopped":
        return result
    curve = tuple((int(step), float(s), float(score)) for step, s, score in progress.get("curve", ()))
    return replace(result, status="stopped", error=TrialError("dominated", reason), curve=curve)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def run_alone(name: str, fields: Mapping[str, Any], folder: Path, *, device: str, n_threads: int) -> dict[str, Any]:
    """Run one job in a fresh process, without a pool, and wait for it.

    Args:
        name: the job.
        fields: its own fields.
        folder: an existing scratch folder of the caller.
        device: `cpu` or `cuda:N`.
        n_threads: threads of the job.

    Raises:
        WorkerError: the job failed.
    """
    log = folder / f"{name}.log"
    spec = {"job": name, "folder": str(folder), "log": str(log), "device": device, "n_threads": n_threads, **fields}
    server = WorkerServer(folder / "server.log", use_fork=False)
    try:
        server.submit(Job(spec, folder, None, None))
        while not (ended := server.poll()):
            time.sleep(_POLL_S)
    finally:
        server.close()
    outcome = ended[0][1]
    if outcome.result is None or outcome.result["status"] != "ok":
        reason = outcome.detail or (outcome.result or {})["error"]["message"]
        raise WorkerError(f"the job `{name}` failed: {reason}")
    return dict(outcome.result)
