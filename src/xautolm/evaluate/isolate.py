"""Runs one job per process and keeps what goes wrong inside it.

Covered (each promise has its test in `tests/evaluate/test_containment.py` or `test_isolate.py`):

- A job runs in its own process and session, with its own folder and log. It adopts what it starts, daemons included,
  so its tree is complete while it lives; at its time or memory limit, beyond 128 processes, when it is stopped, and
  when it has ended on its own, the tree is stopped, killed and gone before the outcome is told. A loop that holds the
  GIL, a hang in mid-training and zombies end with it.
- A job that dies leaves an outcome that names the signal or the exit code. The first result that is written counts.
- A child that shows no heartbeat within 20 s of its start is killed and started once more in a fresh process.
- A server that has computed in parallel or used a GPU refuses to fork; the job then runs in a fresh process.
- The log of a job keeps its first and last MiB.
- Jobs and what they started die with the coordinator, also when that is killed with SIGKILL.
- Memory is looked at every 0.2 s. Where a control group can be had (`cgroup_limits`) the kernel ends a job as a whole
  and, given memory control, keeps its limit too.

Not covered: a job that writes outside its folder, exhausts the disk, or escapes on purpose (ptrace, setuid, a service
manager that starts it anew). Without a control group a job can overshoot its memory limit until the next look (on Linux
the peak that its first process had is seen then), and memory that no process maps (files on a memory disk) is not seen.
Several processes of a job share pages with each other; of those, as much as the idle worker has may go uncounted. A
daemon that a job in a *fresh* process starts in its last 0.2 s is missed. A server that is killed with SIGKILL takes
its jobs along, but not daemons that left their group less than 0.2 s before. A hang of a job without a time limit
lasts. It is a safety net, not a sandbox for hostile code.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from xautolm.errors import WorkerError
from xautolm.evaluate import process_tree
from xautolm.evaluate.cgroup_limits import GroupMaker, find_maker
from xautolm.evaluate.job import Job, Outcome, describe_exit

logger = logging.getLogger(__name__)

HEARTBEAT_S = 20.0
_LOOK_S = 0.2
_GROWTH = 1.01
#: No trial needs more processes; a fork bomb passes this within the time between two looks.
MAX_PROCESSES = 128
#: Longest time for ending what a job left behind.
_ORPHANS_S = 2.0
#: Looks without an orphan before there are none: one can be missed while it goes from its parent to the server.
_QUIET_LOOKS = 3
_START_S = 180.0


def worker_environment() -> dict[str, str]:
    """Environment of workers: one thread unless the job asks for more, no network, no tokenizer threads.

    Arrow's allocator would start a thread as soon as it is imported, which makes the server unfit to fork. PyTorch and
    oneDNN keep a compiled kernel for each shape of a product, 1,024 of each kind; batches of every width then cost
    several hundred MiB (1.5 GiB instead of 0.9 for LoRA after 78 batches of 52 widths). Keeping fewer costs up to
    6 % of the processor time (docs/log.md).

    The memory of large tensors stays with the process instead of going back to the system after every step: else a
    fifth of the processor time of a small full fine-tune goes into page faults (docs/log.md); what the user sets wins.
    """
    kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    limits["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait bring a busy machine to a halt
    fixed = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    arrow = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "WANDB_DISABLED": "true"}
    kernels = {"LRU_CACHE_CAPACITY": "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
    return {**kept, **os.environ, **limits, **fixed, **arrow, **kernels, **quiet}


class WorkerServer:
    """Starts jobs in forked (Linux) or fresh (elsewhere) processes and watches them.

    Args:
        log_path: where the server's own output goes.
        use_fork: None = fork where it is safe (Linux).
        groups: makes a control group for each job; None = where the machine lets it.
    """

    def __init__(self, log_path: Path, *, use_fork: bool | None = None, groups: GroupMaker | None = None) -> None:
        self._log_path = log_path
        self._use_fork = sys.platform == "linux" if use_fork is None else use_fork
        self._server: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._is_ready = False
        self._jobs: dict[str, Job] = {}
        self._idle_mib = 0.0
        self._groups = groups or find_maker()
        self._n_groups = 0

    @property
    def memory_limit_by(self) -> str:
        """Who keeps the memory limit of jobs: `cgroup` (the kernel, polling beside it) or `polling` alone."""
        return "cgroup" if self._groups is not None and self._groups.limits_memory else "polling"

    def start(self) -> None:
        """Start the fork server; returns at once, it becomes ready in the background."""
        if not self._use_fork or self._server is not None:
            return
        with self._log_path.open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "xautolm.evaluate.worker", "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=worker_environment(),
                start_new_session=True,  # Ctrl-C in the terminal goes to the coordinator only
            )
        os.set_blocking(_pipe(self._server.stdout).fileno(), False)

    def close(self) -> None:
        """Kill every job and the server."""
        for job in list(self._jobs.values()):
            self._kill(job)
            if job.process is not None:
                job.process.wait()
            job.leave_group()
        self._jobs.clear()
        self._close_server()

    def _close_server(self) -> None:
        if self._server is None:
            return
        process_tree.kill(self._server.pid, {})
        self._server.wait()
        for pipe in (self._server.stdin, self._server.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):  # what was not yet sent to a server that is gone
                    pipe.close()
        self._server, self._buffer, self._is_ready = None, b"", False

    def submit(self, job: Job) -> None:
        """Start a job.

        Raises:
            WorkerError: the server did not come up.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        job.spec_path.write_text(json.dumps(dict(job.spec) | self._grouped(job)))
        job.started = time.monotonic()
        self._jobs[str(job.spec_path)] = job
        if not self._use_fork:
            self._spawn(job)
            return
        self.start()
        self._wait_ready()
        job.started = time.monotonic()
        stdin = _pipe(self._server.stdin if self._server is not None else None)
        try:
            stdin.write(json.dumps({"spec": str(job.spec_path)}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            self._restart_lost_server()
            self._spawn(job)
            return
        self._wait_started(job)

    def _grouped(self, job: Job) -> dict[str, str]:
        """Make the job's control group; the part of its spec that tells it to move in."""
        if self._groups is not None:
            self._n_groups += 1
            limit_mib = math.inf if job.memory_limit_mib is None else job.memory_limit_mib
            job.group = self._groups.make(self._n_groups, limit_mib)
        return {} if job.group is None else {"cgroup": str(job.group.path)}

    def poll(self) -> list[tuple[Job, Outcome]]:
        """Enforce limits and collect the jobs that ended since the last call."""
        self._read_server()
        ended = []
        for key, job in list(self._jobs.items()):
            self._watch(job)
            if self._has_ended(job):
                del self._jobs[key]
                self._kill(job)
                job.leave_group()
                job.cut_log()
                ended.append((job, self._outcome(job)))
        if ended:
            self._kill_orphans()
        return ended

    def stop(self, job: Job) -> None:
        """Kill a job; `poll` reports it as `stopped`."""
        job.verdict = ("stopped", "stopped by the run")
        self._kill(job)

    def _spawn(self, job: Job) -> None:
        """Run the job in a fresh process (slower to start, depends on nothing that came before)."""
        for name in ("progress.json", "result.json"):
            (job.folder / name).unlink(missing_ok=True)
        job.is_spawned = True
        job.exit_code = None
        job.started = time.monotonic()
        with self._log_path.open("ab") as log:
            job.process = subprocess.Popen(
                [sys.executable, "-m", "xautolm.evaluate.worker", "--job", str(job.spec_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=worker_environment(),
                start_new_session=True,
            )
        job.pid = job.process.pid

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._is_ready:
            self._read_server()
            if self._server is None or self._server.poll() is not None:
                raise WorkerError(f"the worker process ended while starting; its output is in {self._log_path}")
            if time.monotonic() > deadline:
                raise WorkerError(f"the worker process did not start within {_START_S:.0f} s; see {self._log_path}")
            if not self._is_ready:
                time.sleep(0.02)

    def _wait_started(self, job: Job) -> None:
        """A fork takes milliseconds; without its pid a job could not be killed."""
        deadline = time.monotonic() + HEARTBEAT_S
        while job.pid == 0 and job.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.002)
            self._read_server()
        if job.pid == 0:
            self._spawn(job)

    def _read_server(self) -> None:
        if self._server is None or self._server.stdout is None:
            return
        while True:
            try:
                chunk = os.read(self._server.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not chunk:
                if self._is_ready:
                    self._restart_lost_server()
                break
            *lines, self._buffer = (self._buffer + chunk).split(b"\n")
            for line in lines:
                self._handle(json.loads(line))

    def _restart_lost_server(self) -> None:
        """The server is gone (killed from outside): its jobs died with it; a later submit starts a new one."""
        logger.warning("the worker server ended unexpectedly; starting a new one")
        self._close_server()
        for job in self._jobs.values():
            if not job.is_spawned and job.exit_code is None:
                job.exit_code = -signal.SIGKILL

    def _handle(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self._is_ready = True
            if self._server is not None:
                self._idle_mib = process_tree.resident_mib(self._server.pid)
        elif "started" in message:
            job = self._jobs.get(message["started"])
            if job is not None and not job.is_spawned:
                job.pid = message["pid"]
        elif "refused" in message:
            logger.warning("fork refused (%s); using a fresh process", message["reason"])
            job = self._jobs.get(message["refused"])
            if job is not None:
                self._spawn(job)
        elif "exited" in message:
            pid = message["exited"]
            for job in self._jobs.values():
                if job.pid == pid and not job.is_spawned:
                    job.exit_code = message["code"]
                    return

    def _watch(self, job: Job) -> None:
        if job.process is not None and job.exit_code is None:
            job.exit_code = job.process.poll()
        if job.exit_code is not None or job.verdict is not None or job.pid == 0:
            return
        self._look_at(job)
        if job.verdict is not None:
            self._kill(job)
            return
        if job.time_limit_s is not None and job.elapsed_s > job.time_limit_s:
            job.verdict = ("timeout", f"reached its time limit of {job.time_limit_s:.1f} s")
            self._kill(job)
        elif job.running_s > HEARTBEAT_S * (6 if job.is_spawned else 1) and not job.progress():
            self._start_again(job)

    def _start_again(self, job: Job) -> None:
        """No heartbeat: a forked child is replaced by a fresh process once; a fresh one is given up."""
        self._kill(job)
        if job.is_spawned:
            job.verdict = ("hang", "the process gave no sign of life after its start")
            return
        logger.warning("a forked worker gave no heartbeat within %.0f s; starting a fresh process", HEARTBEAT_S)
        self._spawn(job)

    def _has_ended(self, job: Job) -> bool:
        return job.exit_code is not None or job.verdict is not None

    def _outcome(self, job: Job) -> Outcome:
        if job.process is not None:
            job.process.wait()
        if job.verdict is not None:
            return Outcome(job.verdict[0], None, job.verdict[1], job.elapsed_s, job.peak_mem_mib)
        try:
            result = json.loads((job.folder / "result.json").read_text())
            if not isinstance(result, dict) or not isinstance(result.get("status"), str):
                raise ValueError(f"expected a result with a status, got {result!r}")
            return Outcome("finished", result, "", job.elapsed_s, job.peak_mem_mib)
        except (OSError, ValueError):
            return Outcome("died", None, describe_exit(job.exit_code), job.elapsed_s, job.peak_mem_mib)

    def _kill(self, job: Job) -> None:
        if job.group is not None:
            job.group.kill()
        if job.pid:
            process_tree.kill(job.pid, job.descendants)

    def _kill_orphans(self) -> None:
        """Kill what ended jobs left running: the server is their subreaper, so orphans are its children.

        Those in the process group of a running job belong to that job and stay.
        """
        if self._server is None:
            return
        deadline = time.monotonic() + _ORPHANS_S
        n_quiet = 0
        while n_quiet < _QUIET_LOOKS and time.monotonic() < deadline:
            orphans = self._orphans(self._server.pid)
            n_quiet = 0 if orphans else n_quiet + 1
            for orphan in orphans:
                process_tree.kill(orphan, {})
            time.sleep(0.002)  # those that they leave come to the server in turn

    def _orphans(self, server: int) -> list[int]:
        running = {job.pid for job in self._jobs.values()}
        found = []
        for child in process_tree.children(server):
            with contextlib.suppress(ProcessLookupError):
                # A child that was forked a moment ago may not lead its own group yet.
                if child not in running and os.getpgid(child) not in running and not process_tree.is_dead(child):
                    found.append(child)
        return found

    def _look_at(self, job: Job) -> None:
        """Count the processes, cut the log, raise the peak of memory; beyond a limit this is the verdict.

        Memory is measured exactly only when a cheap figure has grown beyond its own peak. A peak between two looks
        counts: the kernel keeps the highest resident memory, and what a forked child shares with the idle worker
        hardly changes.
        """
        pids = process_tree.members(job.pid)
        if len(pids) > MAX_PROCESSES:
            # Orphans that have ended stay with the job that adopted them, which does not know of them.
            pids = [pid for pid in pids if not process_tree.is_dead(pid)]
        if len(pids) > MAX_PROCESSES:
            job.verdict = ("processes", f"started {len(pids)} processes, the limit is {MAX_PROCESSES}")
        if job.verdict is not None or time.monotonic() < job.next_look:
            return
        job.next_look = time.monotonic() + _LOOK_S
        job.cut_log()
        job.descendants |= process_tree.created(pid for pid in pids if pid not in job.descendants)
        missed = process_tree.missed_mib(job.pid)
        rough = process_tree.rough_mib(pids) + missed
        if rough > _GROWTH * job.rough_peak_mib:
            job.rough_peak_mib = rough
            idle_mib = 0.0 if job.is_spawned else self._idle_mib
            began = time.monotonic()
            job.peak_mem_mib = max(job.peak_mem_mib, process_tree.used_mib(pids, idle_mib) + missed)
            job.next_look += time.monotonic() - began  # many large processes are slow to tell, and held up by it
        if job.memory_limit_mib is not None and job.peak_mem_mib > job.memory_limit_mib:
            limit = f"used {job.peak_mem_mib:.0f} MiB, the limit is {job.memory_limit_mib:.0f} MiB"
            job.verdict = ("memory", limit)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise WorkerError("the worker process ended while starting; see `work/server.log` in the run folder")
    return pipe
