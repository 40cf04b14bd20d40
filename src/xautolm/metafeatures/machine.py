"""The machine as numbers: the published system features, and what a run may really use of it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from xautolm.errors import UsageError
from xautolm.metafeatures.cgroups import cpu_quota, memory_headroom_bytes
from xautolm.metafeatures.gpus import GIB, Gpu, visible_gpus

MIB = 2**20
CPU_INFO = Path("/proc/cpuinfo")


def system_features(device: str = "cpu") -> Mapping[str, float]:
    """Compute what is known of a machine without a measurement: schema `system/2` less its speed.

    The first five are the published ones (`method.md` section 4). Unlike in the published runs, where it was always
    0, the GPU memory is that of the device which the run uses.

    Args:
        device: `cpu`, `cuda` (the first visible GPU) or `cuda:N`.

    Returns:
        `physical_cores`, `logical_cores`, `max_frequency_ghz` (0 when the system does not tell), `ram_gib`
        (of the machine, in GiB), `gpu_memory_gib`, `n_gpus` (those that a run could use), `compute_capability` (of
        the device, 8.6 for 8.6). The last three are 0 on `cpu`, without a driver and for a GPU that is not there.

    Raises:
        UsageError: `device` has another form.
    """
    logical = psutil.cpu_count() or 1
    gpus = () if device == "cpu" else visible_gpus()
    gpu = _gpu(device, gpus)
    return {
        "physical_cores": float(psutil.cpu_count(logical=False) or logical),
        "logical_cores": float(logical),
        "max_frequency_ghz": _max_frequency_ghz(),
        "ram_gib": psutil.virtual_memory().total / GIB,
        "gpu_memory_gib": gpu.memory_gib if gpu else 0.0,
        "n_gpus": float(len(gpus)) if gpu else 0.0,
        "compute_capability": gpu.compute_capability if gpu else 0.0,
    }


def system_name(device: str = "cpu") -> str:
    """The processor and the GPU in words, for people; profiles are not compared by it.

    Raises:
        UsageError: `device` has another form than in `system_features`.
    """
    gpu = _gpu(device, () if device == "cpu" else visible_gpus())
    return f"{cpu_name()}, {gpu.name}" if gpu else cpu_name()


def usable_cores() -> int:
    """Whole processor cores that this process may use: affinity and control group quota, at least 1."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, granted if quota is None else min(granted, int(quota)))


def available_memory_mib() -> float:
    """Memory in MiB that new processes can take without swapping (machine) or being killed (control group)."""
    available = psutil.virtual_memory().available
    headroom = memory_headroom_bytes()
    return (available if headroom is None else min(available, headroom)) / MIB


def machine_facts() -> dict[str, object]:
    """Describe the machine for `run.json`: no host name, no user name, no path."""
    logical = psutil.cpu_count() or 1
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "physical_cores": psutil.cpu_count(logical=False) or logical,
        "logical_cores": logical,
        "usable_cores": usable_cores(),
        "ram_gib": round(psutil.virtual_memory().total / GIB, 2),
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.memory_gib, 2)} for gpu in visible_gpus()],
    }


def _gpu(device: str, gpus: Sequence[Gpu]) -> Gpu | None:
    """The GPU that a device names, None when it is none or not there."""
    if device == "cpu":
        return None
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    if match is None:
        raise UsageError(f"`device` must be `cpu`, `cuda` or `cuda:N`, got {device!r}.")
    index = int(match.group(1) or 0)
    return gpus[index] if index < len(gpus) else None


def _max_frequency_ghz() -> float:
    """Highest processor frequency in GHz.

    Virtual machines often tell the present frequency only; it is rounded to 0.1 GHz, or else one machine
    would look like another one at every start.
    """
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):  # psutil on some ARM and container systems
        return 0.0
    if frequency is None:
        return 0.0
    return float(frequency.max) / 1000 if frequency.max else round(float(frequency.current) / 1000, 1)


def cpu_name() -> str:
    """The processor's model name as the system tells it."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()
