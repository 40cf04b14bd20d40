"""A process and everything below it: who belongs to it, how much memory it uses, and how to end it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
#: Fields of /proc/PID/status: highest and present resident memory.
_RSS = ("VmHWM", "VmRSS")


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


def rough_mib(pids: Iterable[int]) -> float:
    """Resident memory that is not file-backed. Cheap; pages shared since a fork count in every process."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(pid).memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
    return total / 2**20


def private_mib(pids: Iterable[int]) -> float:
    """Memory that nobody else shares: for a forked child, what it uses above the idle worker.

    Costs milliseconds and holds the processes' memory maps meanwhile, so it is not for every poll.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().uss
    return total / 2**20


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
    """SIGKILL a process, its group, its descendants, and members seen earlier that have left the tree.

    Args:
        pid: the root; 0 = none.
        known: process id -> time of creation of earlier members.
    """
    victims = {**known, **created(members(pid))} if pid else dict(known)
    if pid and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for victim, time_of_creation in victims.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(victim)
            if process.create_time() == time_of_creation:
                process.kill()
