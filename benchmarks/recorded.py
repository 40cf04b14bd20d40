"""The recorded table: `load_table` gives one row per (task, pipeline), `to_experiences` what a store would hold.

Columns are described in `benchmarks/table/README.md`. The table holds numbers and names, no text of any data set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xautolm.errors import UsageError
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult, canonical_json

TABLE = Path(__file__).parent / "table"
#: Trials as runs of the product launch them (`benchmarks.everyday`), in the same columns; experience only.
EVERYDAY = TABLE / "everyday"
#: Version of the system features that the rows hold.
RECORDED_SYSTEM_SCHEMA = "system/1"

#: Name -> Arrow type of every column, in order. `params`, `curve`, `versions`, `system` and `machine` are JSON.
COLUMNS: Mapping[str, pa.DataType] = {
    "task": pa.string(),
    "table_seed": pa.int64(),
    "pipeline": pa.int64(),
    "pipeline_key": pa.string(),
    "model": pa.string(),
    "method": pa.string(),
    "params": pa.string(),
    "status": pa.string(),
    "error_kind": pa.string(),
    "error_message": pa.string(),
    "f1": pa.float64(),
    "accuracy": pa.float64(),
    "time_s": pa.float64(),
    "cached_s": pa.float64(),
    "train_s": pa.float64(),
    "predict_s": pa.float64(),
    "peak_mem_mib": pa.float64(),
    "energy_wh": pa.float64(),
    "curve": pa.string(),
    "seed": pa.int64(),
    "n_threads": pa.int64(),
    "n_parallel": pa.int64(),
    "load_1m": pa.float64(),
    "device": pa.string(),
    "time_limit_s": pa.float64(),
    "memory_limit_mib": pa.float64(),
    "n_train": pa.int64(),
    "n_validation": pa.int64(),
    "best_constant_f1": pa.float64(),
    "fingerprint": pa.string(),
    "space_id": pa.string(),
    "space_version": pa.string(),
    "model_revision": pa.string(),
    "versions": pa.string(),
    "commit": pa.string(),
    "system": pa.string(),
    "machine": pa.string(),
    "started_at": pa.string(),
    "finished_at": pa.string(),
}
SCHEMA = pa.schema(list(COLUMNS.items()))

Row = dict[str, Any]


def row_of(result: TrialResult, facts: Mapping[str, Any]) -> Row:
    """One row of the table.

    Args:
        result: a finished trial; its `trial_id` is the number of the pipeline.
        facts: the columns that the result does not know (task, subset, limits, versions, machine).
    """
    cost, error = result.cost, result.error
    return {
        **facts,
        "pipeline": result.trial_id,
        "pipeline_key": result.pipeline.key,
        "model": result.pipeline.model,
        "method": result.pipeline.method,
        "params": canonical_json(dict(result.pipeline.params)),
        "status": result.status,
        "error_kind": error.kind if error else None,
        "error_message": error.message if error else None,
        "f1": result.scores.get("f1"),
        "accuracy": result.scores.get("accuracy"),
        "time_s": cost.time_s,
        "cached_s": cost.cached_s,
        "train_s": cost.train_s,
        "predict_s": cost.predict_s,
        "peak_mem_mib": cost.peak_mem_mib,
        "energy_wh": cost.energy_wh,
        "curve": canonical_json(result.curve),
        "seed": result.seed,
        "n_threads": result.n_threads,
        "n_parallel": result.n_parallel,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
    }


def result_of(row: Mapping[str, Any]) -> TrialResult:
    """The trial that a row was made of; its `trial_id` is the number of the pipeline."""
    scores = {name: float(row[name]) for name in ("f1", "accuracy") if _is_given(row[name])}
    return TrialResult(
        trial_id=int(row["pipeline"]),
        status=row["status"],
        pipeline=Pipeline(row["model"], row["method"], json.loads(row["params"])),
        scores=scores,
        cost=Cost(
            time_s=float(row["time_s"]),
            cached_s=float(row["cached_s"]),
            train_s=float(row["train_s"]),
            predict_s=float(row["predict_s"]),
            peak_mem_mib=_number(row["peak_mem_mib"]),
            energy_wh=_number(row["energy_wh"]),
        ),
        seed=int(row["seed"]),
        curve=tuple((int(step), float(s), float(score)) for step, s, score in json.loads(row["curve"])),
        n_threads=int(row["n_threads"]),
        n_parallel=int(row["n_parallel"]),
        error=TrialError(row["error_kind"], row["error_message"]) if _is_given(row["error_kind"]) else None,
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def _number(value: Any) -> float | None:
    return float(value) if _is_given(value) else None


def write_shard(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as parquet, all or nothing."""
    temporary = path.with_name(f".partial-{path.name}.tmp")
    with temporary.open("wb") as file:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_shard(path: Path) -> list[Row]:
    """The rows of a shard, as `row_of` made them."""
    rows: list[Row] = pq.read_table(path, schema=SCHEMA).to_pylist()
    return rows


def load_table(task: str | None = None, folder: Path = TABLE) -> pd.DataFrame:
    """Read the recorded rows of one task or of all.

    Args:
        task: name of the task, None = all.
        folder: of the shards.

    Returns:
        The columns of `COLUMNS`, sorted by task, seed of the table and pipeline; without rows when nothing is recorded.
    """
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in read_shard(path)]
    chosen = [row for row in rows if task is None or row["task"] == task]
    frame = pd.DataFrame(chosen, columns=list(COLUMNS))
    return frame.sort_values(["task", "table_seed", "pipeline"], ignore_index=True)


def to_experiences(frame: pd.DataFrame, folder: Path = TABLE, *, run: str = "recorded") -> list[Experience]:
    """What a store would hold had it seen these rows.

    Args:
        frame: from `load_table`.
        folder: holds `tasks.json`, the profiles of the tasks.
        run: what the ids of the runs begin with.

    Raises:
        UsageError: a task has no profile, or its profile is that of another subset.
    """
    tasks = read_tasks(folder)
    experiences = []
    for row in frame.to_dict("records"):
        task = tasks.get(row["task"])
        if task is None or task["fingerprint"] != row["fingerprint"]:
            raise UsageError(
                f"expected the profile of the recorded subset of {row['task']!r} in `{folder / 'tasks.json'}`; "
                "found none with its fingerprint. Take the file that was committed with the shards"
            )
        experiences.append(_experience({str(name): value for name, value in row.items()}, task, run))
    return experiences


def all_experiences(table: Path = TABLE) -> list[Experience]:
    """What all recorded rows teach, those of the table and the everyday ones beside it.

    Args:
        table: folder of the table.
    """
    everyday = table / EVERYDAY.name
    return [
        *to_experiences(load_table(folder=table), table),
        *to_experiences(load_table(folder=everyday), everyday, run="everyday"),
    ]


def _experience(row: Mapping[str, Any], task: Mapping[str, Any], run: str) -> Experience:
    system = json.loads(row["system"])
    return Experience(
        run_id=f"{run}-{row['task']}-{row['table_seed']}",
        dataset_id=row["task"],
        fingerprint=row["fingerprint"],
        sketch=tuple(task["sketch"]),
        profile=Profile(
            task["schema"],
            task["features"],
            RECORDED_SYSTEM_SCHEMA,
            system,
            tuple(task["semantic"]) if task.get("semantic") else None,
        ),
        result=result_of(row),
        space_version=row["space_version"],
        versions=json.loads(row["versions"]),
        model_revision=row["model_revision"],
        source="starter",
        created_at=row["finished_at"],
        time_limit_s=float(row["time_limit_s"]),
        memory_limit_mib=float(row["memory_limit_mib"]),
    )


def read_tasks(folder: Path) -> dict[str, Any]:
    """Task name -> its profile (`tasks.json`); empty before the first pilot."""
    path = folder / "tasks.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _is_given(value: object) -> bool:
    """Whether a cell holds something; pandas turns None into NaN in columns of numbers."""
    return value is not None and value == value  # noqa: PLR0124 - NaN is the value that differs from itself
