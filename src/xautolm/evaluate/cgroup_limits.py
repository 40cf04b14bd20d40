"""Memory limits that the kernel keeps: a control group (cgroup v2) per job, where this user may make one.

Kept by the kernel, a limit cannot be overshot between two looks, and memory that no process maps counts too (files on
a memory disk). The polling of private memory goes on beside it, because the group also counts what the polling leaves
out: file pages that the job was the first to read, which the kernel gives back under pressure, and page tables. So the
group decides who is killed, and the polled figure is what a trial is recorded with.

A group can be made where memory control was handed to a folder that this user may write: under systemd a service or
scope with `Delegate=yes`, or root outside a container. It is tried once, with a process that moves itself in; what does
not work leaves polling alone. cgroup v1 is not used.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
_PROBE_S = 5.0
_REMOVE_S = 1.0


@dataclass(frozen=True, slots=True)
class JobGroup:
    """The control group of one job.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def n_killed(self) -> int:
        """Processes that the kernel killed because the group had reached its limit."""
        lines = _read(self.path / "memory.events").splitlines()
        counts = dict(line.split(" ", 1) for line in lines if " " in line)
        return int(counts.get("oom_kill", 0))

    @property
    def peak_mib(self) -> float:
        """The most memory that the group ever held; 0 where the kernel (before 5.19) does not say."""
        text = _read(self.path / "memory.peak").strip()
        return int(text) / 2**20 if text.isdigit() else 0.0

    def kill(self) -> None:
        """Kill every process of the group, also those that have left the job's tree."""
        with contextlib.suppress(OSError):
            _write(self.path / "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove the group, which has no process any more; the last one may take a moment to go."""
        deadline = time.monotonic() + _REMOVE_S
        while self.path.is_dir() and time.monotonic() < deadline:
            try:
                self.path.rmdir()
            except OSError:
                time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class GroupMaker:
    """Makes the groups of jobs.

    Attributes:
        parent: folder in which this user may make groups with memory control.
        prefix: start of their names, unique to this process.
    """

    parent: Path
    prefix: str

    def make(self, number: int, limit_mib: float) -> JobGroup | None:
        """A group that holds a job to its limit, without swap; None when it cannot be made (any more).

        The whole group is killed when it reaches the limit, not one process of it.
        """
        group = JobGroup(self.parent / f"{self.prefix}-{number}")
        try:
            group.path.mkdir()
            _write(group.path / "memory.max", str(math.ceil(limit_mib * 2**20)))
        except OSError:
            group.remove()
            return None
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # a kernel without swap accounting, or before 4.19
                _write(group.path / name, value)
        return group


def find_maker(*, root: Path = ROOT, membership: Path = MEMBERSHIP) -> GroupMaker | None:
    """Where jobs' groups can be made, as near to this process's own group as possible; None = nowhere.

    Args:
        root: where cgroup v2 is mounted.
        membership: the file that names this process's group.
    """
    own = next((line[3:] for line in _read(membership).splitlines() if line.startswith("0::")), None)
    if own is None or not (root / "cgroup.controllers").is_file():
        return None
    parts = [part for part in own.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        folder = root.joinpath(*parts[:depth])
        if "memory" not in _read(folder / "cgroup.subtree_control").split() or not os.access(folder, os.W_OK):
            continue
        maker = GroupMaker(folder, f"xautolm-{os.getpid()}")
        if _works(maker):
            return maker
    return None


def _works(maker: GroupMaker) -> bool:
    """Whether a process may move itself into a group that was made here."""
    group = maker.make(0, 1024.0)
    if group is None:
        return False
    try:
        command = ["sh", "-c", 'echo 0 > "$1"', "sh", str(group.path / "cgroup.procs")]
        done = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_PROBE_S, check=False)
        return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        group.remove()


def enter(path: str) -> None:
    """Move this process into a group; its children are born there."""
    _write(Path(path) / "cgroup.procs", "0")


def _write(path: Path, text: str) -> None:
    """Write to a file of the kernel's, which exists already."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
