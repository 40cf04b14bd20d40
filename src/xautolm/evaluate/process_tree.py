"""A process and everything below it: who belongs to it, how much memory it uses, and how to end it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

#: Fields of /proc/PID/status: highest and present resident memory.
_RSS = ("VmHWM", "VmRSS")
#: Lines of /proc/PID/status: private memory, and memory that is shared with other processes but with no file.
_ANONYMOUS = ("RssAnon:", "RssShmem:")
#: Seconds after which a tree that still grows is killed as it is; the orphans are looked for again afterwards.
_STOP_S = 2.0
#: Passes without anything new before a tree is at rest: one can be missed while it goes from one parent to another.
_QUIET_PASSES = 3
#: Longest time for one measurement; a process that forks is slow to tell.
_MEASURE_S = 3.0
#: Longest wait for killed processes.
_END_S = 5.0
_STOP = getattr(signal, "SIGSTOP", signal.SIGTERM)


def members(pid: int) -> list[int]:
    """The process and its descendants; empty when it is gone."""
    if not psutil.pid_exists(pid):
        return []
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(children(current))
    return found


def children(pid: int) -> list[int]:
    """Child processes; Linux keeps a list per thread, elsewhere all processes have to be looked at."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        lists = [(task / "children").read_text() for task in tasks.iterdir()]
        return [int(child) for listed in lists for child in listed.split()]
    except OSError:
        pass
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or has ended and only waits for its parent to notice."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def resident_mib(pid: int) -> float:
    """Memory of one process, shared pages included; 0 when it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def rough_mib(pids: Iterable[int]) -> float:
    """Resident memory that no file backs. Cheap; pages shared since a fork count in every process."""
    return sum(_rough_bytes(pid) for pid in pids) / 2**20


def _rough_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(_ANONYMOUS))
    except OSError:
        pass
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def used_mib(pids: Sequence[int], idle_mib: float) -> float:
    """What a job's processes use above the idle worker that the first one was forked from.

    For one process that is what nobody else maps. Pages that processes of the job share with each other are private to
    none of them, so for several processes it is also at least their proportional sizes less all of the idle worker.
    Costs milliseconds and holds the processes' memory maps meanwhile, so it is not for every poll.

    Args:
        pids: the job's processes.
        idle_mib: size of the process that they were forked from; 0 for a fresh one.
    """
    private = proportional = 0
    deadline = time.monotonic() + _MEASURE_S
    for pid in pids:
        if time.monotonic() > deadline:
            break  # at least this much
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(pid).memory_full_info()
            private += memory.uss
            proportional += getattr(memory, "pss", memory.uss)
    if len(pids) == 1:
        return private / 2**20
    return max(private / 2**20, proportional / 2**20 - idle_mib)


def missed_mib(pid: int) -> float:
    """How far a process's resident memory was above what it is now, at its highest: what polls have missed.

    Linux keeps the highest value (`VmHWM`); 0 elsewhere and for a process that is gone.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if name in _RSS}
    return (kib[_RSS[0]] - kib[_RSS[1]]) / 1024 if len(kib) == len(_RSS) else 0.0


def created(pids: Iterable[int]) -> dict[int, float]:
    """When each process was started, which tells it from a later one with the same id."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found[pid] = psutil.Process(pid).create_time()
    return found


def kill(pid: int, known: Mapping[int, float]) -> None:
    """SIGKILL a process, its group, its descendants, and members seen earlier that have left it; wait for their end.

    The tree is stopped before it is killed, so that no member can fork another that is missed.

    Args:
        pid: the root; 0 = none.
        known: process id -> time of creation of earlier members.
    """
    victims = {**known, **(_stopped(pid) if pid else {})}
    if pid and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for victim, time_of_creation in victims.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(victim)
            if process.create_time() == time_of_creation:
                process.kill()
    _wait_for_end(victims)


def _wait_for_end(victims: Iterable[int]) -> None:
    """A process with much memory, or on a GPU, takes a moment to go; what it holds is free only then."""
    deadline = time.monotonic() + _END_S
    left = list(victims)
    while (left := [pid for pid in left if not is_dead(pid)]) and time.monotonic() < deadline:
        time.sleep(0.002)


def _stopped(pid: int) -> dict[int, float]:
    """Stop a process and its descendants until no new ones turn up; when each of them was started.

    Each is stopped as soon as it is seen. A list of the tree would be out of date by the time it is complete where
    every process starts its successor and ends.
    """
    stopped: dict[int, float] = {}
    dead: set[int] = set()
    n_quiet, deadline = 0, time.monotonic() + _STOP_S
    while n_quiet < _QUIET_PASSES and time.monotonic() < deadline:
        n_quiet = 0 if _stop_new(pid, stopped, dead) else n_quiet + 1
    return stopped


def _stop_new(pid: int, stopped: dict[int, float], dead: set[int]) -> bool:
    """Stop what is new in a tree and add it to `stopped` or, where it has ended, to `dead`; whether anything was.

    What has ended counts as new, too: the processes that it leaves may have gone where this pass has been already.
    """
    found, queue = False, [pid]
    while queue:
        current = queue.pop()
        if current in dead:
            continue  # a process that has ended has no children
        if current not in stopped:
            found = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(current, _STOP)
            started = created([current])
            if not started or is_dead(current):
                dead.add(current)
                continue
            stopped |= started
        queue.extend(children(current))
    return found
