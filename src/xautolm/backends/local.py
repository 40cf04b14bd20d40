"""A pool of workers on this machine: trials in isolated processes, each with its own threads or device."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xautolm.backends.energy import EnergyMeter
from xautolm.backends.outcomes import rescued_result, rescued_settings, stopped_result, trial_result
from xautolm.backends.slots import Slots
from xautolm.errors import WorkerError
from xautolm.evaluate import rescue
from xautolm.evaluate.isolate import WorkerServer
from xautolm.evaluate.job import Job, Outcome
from xautolm.records import ModelSpec, ParamValue, Progress, Trial, TrialResult
from xautolm.search.baselines import job_fields

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What every trial of a run has in common.

    Attributes:
        folder: the run folder.
        models: name -> facts of the models in the space.
        time_limit_s: wall-clock limit per trial.
        memory_limit_mib: private memory limit per trial.
        data_seed: seed of the nested subsets of the rows, the same for all trials.
        with_rescue: whether a trial that runs out of memory is started again in less (`evaluate.rescue`).
        kind: task kind.
    """

    folder: Path
    models: Mapping[str, ModelSpec]
    time_limit_s: float
    memory_limit_mib: float
    data_seed: int
    with_rescue: bool = True
    kind: str = "text-classification"

    @property
    def work(self) -> Path:
        return self.folder / "work"


@dataclass(slots=True)
class _Running:
    """A trial in a slot; `job` is its last start."""

    trial: Trial
    job: Job
    slot: int
    started_at: str
    n_parallel: int


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
        self._running: dict[int, _Running] = {}
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
        self._meter.tick(self._running)  # what was used until now is not this trial's
        taken = {running.slot for running in self._running.values()}
        slot = next(i for i in range(self.n_slots) if i not in taken)
        log = self._log(trial)
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        job = self._launch(trial, trial.pipeline.params, slot)
        self._running[trial.trial_id] = _Running(trial, job, slot, _now(), len(self._running) + 1)

    def _launch(self, trial: Trial, params: Mapping[str, ParamValue], slot: int, earlier_s: float = 0.0) -> Job:
        """Start a trial's process; seconds of earlier starts count against its time limit."""
        folder = self._context.work / f"trial-{trial.trial_id}"
        shutil.rmtree(folder, ignore_errors=True)
        spec = {
            **job_fields(trial.pipeline, self._context.models),
            "folder": str(folder),
            "log": str(self._log(trial)),
            "n_threads": self._slots.n_threads,
            "device": self._slots.devices[slot],
            "seed": trial.seed,
            "data_seed": self._context.data_seed,
            "kind": self._context.kind,
            "data": str(self._context.work / "data"),
            "cache": str(self._context.work / "cache"),
            "params": dict(params),
        }
        if spec["device"] != "cpu":
            spec["device_limit_mib"] = self._context.memory_limit_mib
        limits = (self._context.time_limit_s, self._context.memory_limit_mib)
        job = Job(spec, folder, *limits, earlier_s=earlier_s)
        self._server.submit(job)
        return job

    def _log(self, trial: Trial) -> Path:
        return self._context.folder / "trials" / f"{trial.trial_id}.log"

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
        for entry in self._running.values():
            trial, job = entry.trial, entry.job
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
        job = self._running[trial_id].job
        self._stopped[trial_id] = (reason, job.progress())
        self._server.stop(job)

    def stop_all(self) -> None:
        """Kill every running trial; their results (`interrupted`) are dropped."""
        for running in self._running.values():
            self._server.stop(running.job)
        self._server.poll()
        for running in self._running.values():
            shutil.rmtree(running.job.folder, ignore_errors=True)
        self._running.clear()

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
            entry = next((running for running in self._running.values() if running.job is job), None)
            if entry is None:
                self._side[id(job)] = outcome
            elif not self._rescue(entry, outcome):
                self._done.append(self._finish(entry, outcome))

    def _rescue(self, entry: _Running, outcome: Outcome) -> bool:
        """Start a trial that ran out of memory again in less; False = its result stands."""
        trial, job = entry.trial, entry.job
        if not self._context.with_rescue or trial.trial_id in self._stopped:
            return False
        stage = str(job.progress().get("stage", "start"))
        params = rescued_settings(job.spec["params"], trial_result(trial, outcome), stage)
        if params is None or outcome.elapsed_s >= self._context.time_limit_s:
            return False
        with self._log(trial).open("a", encoding="utf-8") as log:
            log.write(f"\nout of memory: starting again with {rescue.describe(params)}\n\n")
        entry.job = self._launch(trial, params, entry.slot, outcome.elapsed_s)
        return True

    def _finish(self, entry: _Running, outcome: Outcome) -> TrialResult:
        """The record of a trial whose last process has ended."""
        trial, job = entry.trial, entry.job
        del self._running[trial.trial_id]
        result = trial_result(trial, outcome)
        if trial.trial_id in self._stopped:
            result = stopped_result(result, outcome, *self._stopped.pop(trial.trial_id))
        result = rescued_result(result, job.spec["params"], job.earlier_s)
        if result.is_ok and not result.is_baseline:
            self._keep_checkpoint(trial.trial_id, job.folder)
        shutil.rmtree(job.folder, ignore_errors=True)
        return replace(
            result,
            n_threads=self._slots.n_threads,
            n_parallel=entry.n_parallel,
            started_at=entry.started_at,
            finished_at=_now(),
            cost=self._meter.charged(result.cost, trial.trial_id),
        )

    def _keep_checkpoint(self, trial_id: int, folder: Path) -> None:
        kept = self.checkpoint(trial_id)
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(folder / "checkpoint", kept)


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
