"""Control groups (cgroup v2): the kernel ends a job as a whole, and keeps its memory limit where it may.

Killed as a group, processes that fork on and on end at one stroke, however they left the job's tree. That needs no
controller, only a folder of the hierarchy that this user may write, also beside cgroup v1 (`/sys/fs/cgroup/unified`).

Kept by the kernel, a limit cannot be overshot between two looks, and memory that no process maps counts too (files on
a memory disk). The polling of private memory goes on beside it, because the group also counts what the polling leaves
out: file pages that the job was the first to read, which the kernel gives back under pressure, and page tables. So the
group decides who is killed, and the polled figure is what a trial is recorded with.

A memory limit can be kept where memory control was handed to such a folder: under systemd a service or scope with
`Delegate=yes`, or root outside a container. All is tried once, with a process that moves itself in; what does not work
is left out. cgroup v1 is not used.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
#: Where cgroup v2 is beside v1, on machines that have both.
BESIDE_V1 = ROOT / "unified"
_PROBE_S = 5.0
_REMOVE_S = 1.0
#: Longest wait for the end of a killed group.
_END_S = 5.0


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
        """Kill every process of the group, also those that have left the job's tree, and wait for their end.

        The kernel (since 5.14) kills at one stroke: no process can fork another that is missed.
        """
        with contextlib.suppress(OSError):
            _write(self.path / "cgroup.kill", "1")
        deadline = time.monotonic() + _END_S
        while "populated 1" in _read(self.path / "cgroup.events") and time.monotonic() < deadline:
            time.sleep(0.002)

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
        parent: folder in which this user may make groups.
        prefix: start of their names, unique to this process.
        limits_memory: whether they have memory control.
    """

    parent: Path
    prefix: str
    limits_memory: bool = True

    def make(self, number: int, limit_mib: float) -> JobGroup | None:
        """A group for a job; None when it cannot be made (any more).

        With memory control it holds the job to its limit, without swap, and the whole group is killed when it reaches
        the limit, not one process of it.

        Args:
            number: tells it from the others.
            limit_mib: memory limit; infinite = none.
        """
        group = JobGroup(self.parent / f"{self.prefix}-{number}")
        has_limit = self.limits_memory and math.isfinite(limit_mib)
        try:
            group.path.mkdir()
            if has_limit:
                _write(group.path / "memory.max", str(math.ceil(limit_mib * 2**20)))
        except OSError:
            group.remove()
            return None
        if not has_limit:
            return group
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # a kernel without swap accounting, or before 4.19
                _write(group.path / name, value)
        return group


def find_maker(*, roots: Sequence[Path] = (ROOT, BESIDE_V1), membership: Path = MEMBERSHIP) -> GroupMaker | None:
    """Where jobs' groups can be made, with memory control if anywhere, else as near to this process's own as possible.

    Args:
        roots: where cgroup v2 may be mounted; the first that is counts.
        membership: the file that names this process's group.

    Returns:
        None = nowhere.
    """
    own = next((line[3:] for line in _read(membership).splitlines() if line.startswith("0::")), None)
    root = next((root for root in roots if (root / "cgroup.controllers").is_file()), None)
    if own is None or root is None:
        return None
    parts = [part for part in own.split("/") if part not in ("", "..")]
    folders = [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    writable = [folder for folder in folders if os.access(folder, os.W_OK)]
    limiting = [folder for folder in writable if "memory" in _read(folder / "cgroup.subtree_control").split()]
    prefix = f"xautolm-{os.getpid()}"
    makers = [GroupMaker(folder, prefix) for folder in limiting] + [GroupMaker(f, prefix, False) for f in writable]
    return next((maker for maker in makers if _works(maker)), None)


def _works(maker: GroupMaker) -> bool:
    """Whether a process may move itself into a group that was made here."""
    group = maker.make(0, 1024.0)
    if group is None:
        return False
    try:
        command = ["sh", "-c", 'echo 0 > "$1"', "sh", str(group.path / "cgroup.procs")]
        done = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_PROBE_S, check=False)
        return done.returncode == 0 and (group.path / "cgroup.kill").exists()
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
