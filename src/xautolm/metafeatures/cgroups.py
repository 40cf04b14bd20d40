"""What the control group of this process allows: processor time and memory, cgroup v1 and v2, Linux only.

A container or a batch system often grants less than the machine has. A limit of any group from the
process's own up to the root applies. Groups that cannot be seen (a container shows the host's path but not
its folder) fall back to the mounted root.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(*, root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Processor time that the tightest group grants, in cores (1.5 = one and a half); None = no limit."""
    quotas = [
        quota / period
        for folder in _groups("cpu", root, membership)
        for quota, period in [_cpu_limit(folder)]
        if quota > 0 and period > 0
    ]
    return min(quotas, default=None)


def memory_headroom_bytes(*, root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Memory that the tightest group still grants, in bytes, never negative; None = no limit.

    File pages that nobody has used lately count as free: the kernel drops them before it kills a process.
    """
    headrooms = []
    for folder in _groups("memory", root, membership):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        usage = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None and usage is not None:
            headrooms.append(max(0, limit - max(0, usage - _inactive_file_bytes(folder))))
    return min(headrooms, default=None)


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """Folders of this process's groups for one controller, innermost first, up to the mounted root."""
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            bases = [root, root / "unified"]  # v2 alone, or beside v1
        elif controller in controllers.split(","):
            bases = [root / controller, root / controllers]
        else:
            continue
        base = next((base for base in bases if _is_mount_of(base, controllers)), None)
        if base is None:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        yield from (base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _is_mount_of(base: Path, controllers: str) -> bool:
    return (base / "cgroup.controllers").exists() if controllers == "" else base.is_dir()


def _cpu_limit(folder: Path) -> tuple[float, float]:
    """(quota, period) in microseconds; (0, 0) without a limit."""
    words = _text(folder / "cpu.max").split()
    if len(words) == 2 and words[0].isdigit():
        return float(words[0]), float(words[1])
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return (float(quota), float(period)) if quota and period else (0.0, 0.0)


def _inactive_file_bytes(folder: Path) -> int:
    counters = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    return int(counters.get("total_inactive_file", counters.get("inactive_file", "0")))


def _number(*paths: Path) -> int | None:
    """The integer in the first file that holds one; `max` and -1 (v1) mean no limit and count as none."""
    texts = (_text(path).strip() for path in paths)
    return next((int(text) for text in texts if text.isdigit()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
