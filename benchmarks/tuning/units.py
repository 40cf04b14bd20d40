"""One row of the comparison on one task: started as a process of its own, timed from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.tuning.drawn import Configuration
from xautolm.errors import RunError


@dataclass(frozen=True, slots=True)
class Row:
    """A way of doing the fine-tunes.

    Attributes:
        module: of `benchmarks.tuning`, which is run.
        options: what it is told beside the rows and the configurations.
        threads: `OMP_NUM_THREADS`; None = it is not set.
    """

    name: str
    module: str
    options: Mapping[str, bool]
    threads: int | None = None


ROWS = (
    Row("Trainer + Optuna, defaults", "hugging_face", {"with_our_settings": False}),
    Row("Trainer + Optuna, our threads and precision", "hugging_face", {"with_our_settings": True}, threads=1),
    Row("ours, one worker", "ours", {"is_default": False}),
    Row("ours, defaults", "ours", {"is_default": True}),
)


@dataclass(frozen=True, slots=True)
class Fit:
    """One fine-tune.

    Attributes:
        f1: macro F1 on the validation rows.
        wall_s: from its start to its end.
        stages: seconds per stage; what is missing to `wall_s` is start and end.
    """

    f1: float
    wall_s: float
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Unit:
    """What one process took for the fine-tunes of a task.

    Attributes:
        row: its name.
        round: counted from 0.
        wall_s: from the start of the process to its end, imports included.
        processor_s: of the process and everything that it started.
        fits: in the order of the configurations.
        once: seconds per stage that are spent once for all of them, `start` = what is neither stage nor search.
        load_1m: load average of the machine before.
    """

    row: str
    task: str
    round: int
    wall_s: float
    processor_s: float
    fits: tuple[Fit, ...]
    once: Mapping[str, float]
    load_1m: float


def run_unit(row: Row, configurations: Sequence[Configuration], rows: Path, round_: int) -> Unit:
    """Run a row on the configurations of one task.

    Args:
        row: which.
        configurations: of one task.
        rows: folder of the task's rows, as `finish.write_rows` writes them.
        round_: counted from 0.

    Raises:
        RunError: the process failed.
    """
    load_1m = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="xautolm-throughput-") as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        spec = {
            "rows": str(rows),
            "scratch": str(folder / "scratch"),
            "result": str(folder / "result.json"),
            "configurations": [asdict(item) for item in configurations],
            **row.options,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        wall_s, processor_s = _timed(row, folder)
        written = json.loads((folder / "result.json").read_text())
    fits = tuple(Fit(**fit) for fit in written["trials"])
    task = configurations[0].task
    once = written["once"]
    start_s = wall_s - written["search_s"] - sum(once.values())
    return Unit(row.name, task, round_, wall_s, processor_s, fits, {"start": start_s, **once}, load_1m)


def _timed(row: Row, folder: Path) -> tuple[float, float]:
    """Run a row's process; seconds on the clock and of processors."""
    command = [sys.executable, "-m", f"benchmarks.tuning.{row.module}", str(folder / "spec.json")]
    started = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(row))
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    wall_s = time.perf_counter() - started
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code:
        last = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-25:])
        raise RunError(f"the row {row.name!r} ended with exit code {code}; the last that it printed:\n{last}")
    return wall_s, usage.ru_utime + usage.ru_stime


def environment(row: Row) -> dict[str, str]:
    """This process's environment without what would set the threads; no GPU, no network, the code of this checkout."""
    mine = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    threads: Mapping[str, Any] = {"OMP_NUM_THREADS": str(row.threads)} if row.threads else {}
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**mine, **threads, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
