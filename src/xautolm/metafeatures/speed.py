"""How fast a machine computes and trains, measured once and kept in the user's cache folder.

The measurement itself is a job of the worker (`evaluate/measuring.py`). A file that is damaged or cannot be written
costs a new measurement, never a run.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xautolm.metafeatures.machine import system_name, usable_cores

logger = logging.getLogger(__name__)

FILE_NAME = "speed.json"
#: What `train_rows_per_s` is measured with: rows of a step, and tokens of a row (as in `evaluate/measuring.py`).
STEP_ROWS, STEP_TOKENS = 16, 24
#: Another number makes older measurements void; for a change of what is measured.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """What a machine can do with one device and the threads of one trial.

    Attributes:
        matmul_gflops: 10^9 operations per second in a large matrix product.
        train_rows_per_s: rows per second in full fine-tuning of the embedded encoder: 16 rows of 24 tokens a step.
    """

    matmul_gflops: float
    train_rows_per_s: float


def speed_key(device: str, n_threads: int) -> str:
    """What a measurement depends on: processor, cores, GPU, device, threads and the version of torch.

    Args:
        device: `cpu`, `cuda` or `cuda:N`; equal GPUs share a measurement.
        n_threads: threads of one trial.
    """
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    kind = device.partition(":")[0]
    return f"{system_name(device)} | {usable_cores()} cores | {kind} | {n_threads} threads | torch {torch}"


def speed_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where measurements are kept: `xautolm/speed.json` in `XDG_CACHE_HOME`, else in `~/.cache`.

    >>> speed_file({"XDG_CACHE_HOME": "/var/cache/me"}).as_posix()
    '/var/cache/me/xautolm/speed.json'
    """
    variables = os.environ if environ is None else environ
    root = variables.get("XDG_CACHE_HOME")
    # The standard says that a relative path is invalid and to be ignored.
    folder = Path(root) if root and Path(root).is_absolute() else Path("~/.cache").expanduser()
    return folder / "xautolm" / FILE_NAME


def read_speed(path: Path, key: str) -> MachineSpeed | None:
    """The measurement that is kept under a key; None when there is none that can be used."""
    entry = _entries(path).get(key)
    if not isinstance(entry, Mapping):
        return None
    values = [entry.get(name) for name in ("matmul_gflops", "train_rows_per_s")]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not all(0 < number < math.inf for number in numbers):
        return None
    return MachineSpeed(*numbers)


def write_speed(path: Path, key: str, speed: MachineSpeed) -> None:
    """Keep a measurement beside those under other keys; where that is not possible, do without."""
    entries = {**_entries(path), key: asdict(speed)}
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({"format": _FORMAT, "entries": entries}, indent=1), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        logger.debug("the speed of this machine cannot be kept in %s: %s", path, error)
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            return


def _entries(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return {}
    entries = content.get("entries")
    return dict(entries) if isinstance(entries, dict) else {}
