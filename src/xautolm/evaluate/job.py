"""A job as the coordinator sees it, and how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xautolm.evaluate.cgroup_limits import JobGroup
from xautolm.evaluate.job_log import JobLog

OutcomeKind = Literal["finished", "timeout", "memory", "processes", "died", "hang", "stopped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        kind: `finished` = the job wrote its result; the others are the coordinator's verdict.
        result: what the job wrote, None unless finished.
        detail: one sentence for `kind` other than finished.
        elapsed_s: wall-clock from start to end, those of earlier starts included.
        peak_mem_mib: largest private memory of the process tree that was seen, i.e. above the idle worker.
    """

    kind: OutcomeKind
    result: Mapping[str, Any] | None
    detail: str
    elapsed_s: float
    peak_mem_mib: float


@dataclass(slots=True)
class Job:
    """A running job.

    Attributes:
        spec: what the worker is told; written to `folder/spec.json`.
        folder: working folder; the job writes `progress.json` and `result.json` there.
        time_limit_s: wall-clock limit, None = no limit.
        memory_limit_mib: limit of private memory of the tree, None = no limit.
        earlier_s: seconds that count against the time limit already: of earlier starts of the same work.
    """

    spec: Mapping[str, Any]
    folder: Path
    time_limit_s: float | None
    memory_limit_mib: float | None
    earlier_s: float = 0.0
    pid: int = 0
    exit_code: int | None = None
    started: float = 0.0
    peak_mem_mib: float = 0.0
    rough_peak_mib: float = 0.0
    is_spawned: bool = False
    process: subprocess.Popen[bytes] | None = None
    next_look: float = 0.0
    verdict: tuple[OutcomeKind, str] | None = None
    descendants: dict[int, float] = field(default_factory=dict)
    log: JobLog | None = None
    group: JobGroup | None = None

    @property
    def spec_path(self) -> Path:
        return self.folder / "spec.json"

    @property
    def running_s(self) -> float:
        """Seconds since this start."""
        return time.monotonic() - self.started

    @property
    def elapsed_s(self) -> float:
        """Seconds that are charged: since this start, and those of earlier ones."""
        return self.earlier_s + self.running_s

    def progress(self) -> dict[str, Any]:
        """What the job last reported; empty before its first heartbeat."""
        try:
            return dict(json.loads((self.folder / "progress.json").read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def cut_log(self) -> None:
        """Keep the log within bounds."""
        if "log" in self.spec:
            self.log = self.log or JobLog(Path(self.spec["log"]))
            self.log.cut()

    def leave_group(self) -> None:
        """Take the kernel's word for who killed the job, and remove its group."""
        group, self.group = self.group, None
        if group is None:
            return
        if group.n_killed and self.verdict is None and self.memory_limit_mib is not None:
            self.peak_mem_mib = max(self.peak_mem_mib, self.memory_limit_mib)
            limit, held = f"{self.memory_limit_mib:.0f} MiB", f"{group.peak_mib:.0f} MiB"
            self.verdict = ("memory", f"reached its limit of {limit} (its control group held {held})")
        group.remove()


def describe_exit(code: int | None) -> str:
    """Name the way a process ended.

    >>> describe_exit(-9)
    'killed by SIGKILL'
    >>> describe_exit(3)
    'ended with exit code 3 and no result'
    """
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no result"
