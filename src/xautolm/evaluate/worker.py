"""The worker process: imports the training stack once, then forks one child per job.

Started as `python -m xautolm.evaluate.worker --serve` (fork server) or `... --job SPEC` (one job in a fresh process,
used where there is no fork and when a forked child did not come up); never imported.

The server has *imported* torch, transformers and peft and has done nothing else: no tensor operation, no
tokenisation, no CUDA call. Forking after a multi-threaded operation hangs the child, so the server refuses to fork
once it has more than one thread.

Protocol, one JSON object per line. Coordinator -> server: {"spec": path} starts a job. Server -> coordinator:
{"ready": true}; {"started": spec, "pid": n} or {"refused": spec, "reason": text}; {"exited": pid, "code": n} where a
negative code is a signal. The server ends, with all its children, when its standard input closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from xautolm.evaluate import cgroup_limits, process_tree

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Longest time that a server spends on ending its jobs before it ends itself.
_LEAVE_S = 5.0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _why_unfit() -> str | None:
    """Why a child of this process could hang or fail; None = fit to fork.

    More than one thread: something was computed or tokenised in parallel. An open device of NVIDIA's driver, or a CUDA
    context: a child cannot use CUDA any more.
    """
    try:
        n_threads = len(os.listdir("/proc/self/task"))
        files = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.lexists(entry.path)]
    except OSError:
        return None
    if n_threads != 1:
        return f"the fork server has {n_threads} threads: an operation was run in it; forking would hang the child"
    torch = sys.modules.get("torch")
    if any(file.startswith("/dev/nvidia") for file in files) or (torch and torch.cuda.is_initialized()):
        return "the fork server has used the GPU; a forked child could not"
    return None


def _become_job(spec_path: Path) -> NoReturn:
    """Turn this process into the given job: own session, own log, then run and leave without clean-up handlers."""
    from xautolm.evaluate import jobs

    spec = json.loads(spec_path.read_text())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the job starts stays below it, also when it is orphaned
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        if "cgroup" in spec:
            with contextlib.suppress(OSError):  # the limit is then kept by polling alone
                cgroup_limits.enter(spec["cgroup"])
        code = jobs.run_job(spec)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # no atexit handlers: those of the server must not run twice


def _fork_job(spec_path: Path) -> None:
    reason = _why_unfit()
    if reason is not None:
        _say({"refused": str(spec_path), "reason": reason})
        return
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:  # no process or no memory to be had
        _say({"refused": str(spec_path), "reason": f"no fork: {error.strerror}"})
        return
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # the server died between fork and prctl
            os._exit(1)
        _become_job(spec_path)
    _say({"started": str(spec_path), "pid": pid})


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say({"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def _serve() -> None:
    os.environ["XAUTOLM_FORK_SERVER"] = "1"
    from xautolm.evaluate import jobs

    jobs.import_training_stack()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphaned grandchildren come to the server and are reaped here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    gc.collect()
    gc.freeze()  # keeps the pages of imported modules shared with the children
    _say({"ready": True})
    try:
        _fork_on_demand()
    finally:
        _kill_children()


def _leave(*_: Any) -> NoReturn:
    """The coordinator is gone, or wants the server gone."""
    sys.exit(0)


def _kill_children() -> None:
    """Kill every job, and what they started, which comes to this process when they die."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deadline = time.monotonic() + _LEAVE_S
    while (left := process_tree.children(os.getpid())) and time.monotonic() < deadline:
        for child in left:
            process_tree.kill(child, {})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


def _fork_on_demand() -> None:
    buffer = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.05)
        _reap()
        if not readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            _fork_job(Path(json.loads(line)["spec"]))


def main() -> None:
    """Run as a fork server or as one job."""
    if sys.argv[1:2] == ["--serve"]:
        _serve()
    elif sys.argv[1:2] == ["--job"]:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _become_job(Path(sys.argv[2]))
    else:
        sys.exit("usage: python -m xautolm.evaluate.worker --serve | --job SPEC")


if __name__ == "__main__":
    main()
