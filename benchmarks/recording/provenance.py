"""What is said about every recorded row: data, limits, code, libraries and machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.recorded import Row
from benchmarks.recording.limits import best_constant_f1
from benchmarks.recording.space import space_id
from xautolm.metafeatures.machine import machine_facts, system_features
from xautolm.preparation import library_versions
from xautolm.records import Task, canonical_json
from xautolm.space.feasibility import Limits
from xautolm.space.params import Space

DEVICE = "cpu"
_REPOSITORY = Path(__file__).resolve().parents[2]


def row_facts(space: Space, task: Task, limits: Limits, seed: int) -> Row:
    """The columns that all rows of a task share."""
    return {
        "task": task.dataset_id,
        "table_seed": seed,
        "device": DEVICE,
        "time_limit_s": limits.time_s,
        "memory_limit_mib": limits.memory_mib,
        "n_train": task.train.n_rows,
        "n_validation": task.validation.n_rows,
        "best_constant_f1": best_constant_f1(task.validation.labels, len(task.labels)),
        "fingerprint": task.fingerprint,
        "space_id": space_id(space),
        "space_version": space.version,
        "versions": canonical_json(library_versions()),
        "commit": commit(),
        "system": canonical_json(dict(system_features(DEVICE))),
        "machine": canonical_json(machine_facts()),
    }


def commit() -> str:
    """The commit of the code, with `-dirty` when `src` or `benchmarks` differ from it; `unknown` outside a checkout."""
    git = ["git", "-C", str(_REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        code = ["src", "benchmarks", ":!benchmarks/table"]
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")
