"""The NVIDIA GPUs that CUDA will see, read through NVML without creating a CUDA context."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

logger = logging.getLogger(__name__)
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as `cuda:N` addresses it.

    Attributes:
        name: of the model.
        memory_gib: its total memory.
        compute_capability: CUDA's major.minor version of its features, such as 8.6; 0 when the driver does not tell.
    """

    name: str
    memory_gib: float
    compute_capability: float = 0.0


def visible_gpus(environ: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """List the GPUs that CUDA shows to this process, in CUDA's order (entry N is `cuda:N`).

    `CUDA_VISIBLE_DEVICES` is read as CUDA reads it: numbers, `GPU-` ids or beginnings of them, `MIG-` ids;
    the first entry that matches nothing ends the list. Numbers follow the PCI order, as with
    `CUDA_DEVICE_ORDER=PCI_BUS_ID`; CUDA's default puts the fastest first, which differs only on machines
    with unequal GPUs.

    Args:
        environ: environment to read; None = that of this process.

    Returns:
        Empty without a driver, without a GPU, or when NVML does not answer.
    """
    import pynvml

    variables = os.environ if environ is None else environ
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.debug("NVML is not available: %s", error)
        return ()
    try:
        handles = selected_handles(pynvml, variables)
        return tuple(_describe(pynvml, handle) for handle in handles)
    except pynvml.NVMLError as error:
        logger.warning("The GPUs could not be read through NVML (%s); this run counts none.", error)
        return ()
    finally:
        pynvml.nvmlShutdown()


def _select(nvml: Any, visible: str | None) -> list[Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if visible is None:
        return [_first_instance(nvml, handle) for handle in handles]
    chosen = []
    for entry in visible.split(","):
        handle = _find(nvml, handles, entry.strip())
        if handle is None:
            break
        chosen.append(handle)
    return chosen


def _find(nvml: Any, handles: list[Any], entry: str) -> Any | None:
    if entry.isdigit():
        return _first_instance(nvml, handles[int(entry)]) if int(entry) < len(handles) else None
    if entry.startswith("MIG-"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(entry)
        except nvml.NVMLError:
            return None
    if entry.startswith("GPU-"):
        matches = [handle for handle in handles if nvml.nvmlDeviceGetUUID(handle).startswith(entry)]
        return _first_instance(nvml, matches[0]) if len(matches) == 1 else None
    return None


def _first_instance(nvml: Any, handle: Any) -> Any:
    """The part of a GPU that CUDA uses: of one that is split (MIG), the first instance, else the whole."""
    try:
        is_split = bool(nvml.nvmlDeviceGetMigMode(handle)[0])
        return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0) if is_split else handle
    except nvml.NVMLError:
        return handle


def _describe(nvml: Any, handle: Any) -> Gpu:
    try:
        total_bytes = nvml.nvmlDeviceGetMemoryInfo(handle).total
    except nvml.NVMLError_NotSupported:  # a GPU that shares the machine's memory
        total_bytes = psutil.virtual_memory().total
    return Gpu(
        name=str(nvml.nvmlDeviceGetName(handle)),
        memory_gib=total_bytes / GIB,
        compute_capability=_compute_capability(nvml, handle),
    )


def _compute_capability(nvml: Any, handle: Any) -> float:
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except nvml.NVMLError:
        return 0.0
    return float(f"{major}.{minor}")


def selected_handles(nvml: Any, environ: Mapping[str, str] | None = None) -> list[Any]:
    """NVML handles of the GPUs that CUDA shows, in CUDA's order; the module must be initialised.

    Args:
        nvml: the module `pynvml`.
        environ: environment to read; None = that of this process.
    """
    variables = os.environ if environ is None else environ
    return _select(nvml, variables.get("CUDA_VISIBLE_DEVICES"))
