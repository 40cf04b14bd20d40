"""One GPU and a share of its memory for one job. Runs in a worker process only, before it uses the GPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def selection(device: str, visible: str | None) -> str:
    """The value of `CUDA_VISIBLE_DEVICES` with which a job sees nothing but its own GPU.

    A Trainer that sees several GPUs would use them all.

    Args:
        device: `cuda` or `cuda:N`, counted among the visible ones.
        visible: the present value; None = all are visible.

    >>> selection("cuda:1", None), selection("cuda:1", "4,7"), selection("cuda", "GPU-8f6a")
    ('1', '7', 'GPU-8f6a')
    """
    index = int(device.partition(":")[2] or 0)
    names = [name.strip() for name in visible.split(",")] if visible else []
    return names[index] if index < len(names) else str(index)


def claim_gpu(spec: Mapping[str, Any], torch: Any) -> dict[str, Any]:
    """Take hold of a job's GPU; the job gets its spec with the name that the device has from now on.

    Memory beyond `device_limit_mib` is refused by torch's allocator, with the exception that a full GPU gives.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = selection(spec["device"], os.environ.get("CUDA_VISIBLE_DEVICES"))
    limit_mib = spec.get("device_limit_mib")
    if limit_mib is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_mib * 2**20 / total), 0)
    return {**spec, "device": "cuda:0"}
