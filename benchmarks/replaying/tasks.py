"""Recorded tasks as replays need them: space, limits, sizes, surrogate, and what the other tasks teach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.recorded import RECORDED_SYSTEM_SCHEMA, TABLE, all_experiences, load_table, read_tasks, result_of
from benchmarks.recording.limits import read_limits
from benchmarks.recording.space import recorded_space
from benchmarks.replaying.simulate import TaskFacts
from benchmarks.replaying.surrogate import Surrogate
from xautolm.errors import UsageError
from xautolm.evaluate.fake import Evaluate
from xautolm.records import Budget, Experience, Profile, TrialResult
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.build import adapt_default
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize
from xautolm.space.params import Space

#: A replayed search ends after so many trials, or after the recorded time, whichever comes first.
N_TRIALS = 60


@dataclass(frozen=True)
class RecordedTask:
    """One recorded task, or one that is made up (`replaying.analytic`).

    Attributes:
        facts: what the figures of merit need.
        profile: its meta-features.
        fingerprint: of its rows.
        sketch: of its rows.
        plan: space, sizes and limits as a run would have them; nothing is dropped from the space.
        surrogate: what becomes of any pipeline.
        results: the recorded trials.
    """

    facts: TaskFacts
    profile: Profile
    fingerprint: str
    sketch: tuple[int, ...]
    plan: Plan
    surrogate: Evaluate
    results: tuple[TrialResult, ...]

    @property
    def name(self) -> str:
        return self.facts.name


def load_facts(names: Sequence[str] | None = None, folder: Path = TABLE) -> list[TaskFacts]:
    """What the figures of merit need of every recorded task (or of those named); quick, nothing is fitted.

    Raises:
        UsageError: a named task is not recorded.
    """
    table, limits = load_table(folder=folder), read_limits(folder)
    return [_facts(name, _rows_of(table, name), limits[name]) for name in _chosen(table, names)]


def load_tasks(names: Sequence[str] | None = None, folder: Path = TABLE) -> tuple[list[RecordedTask], list[Experience]]:
    """Every recorded task (or those named), and the experiences of all tasks, everyday ones among them.

    Raises:
        UsageError: a named task is not recorded.
    """
    table, entries, limits = load_table(folder=folder), read_tasks(folder), read_limits(folder)
    space = recorded_space()
    tasks = [_task(name, _rows_of(table, name), entries[name], limits[name], space) for name in _chosen(table, names)]
    return tasks, all_experiences(folder)


def _chosen(table: pd.DataFrame, names: Sequence[str] | None) -> list[str]:
    recorded = list(dict.fromkeys(table["task"]))
    unknown = [name for name in names or () if name not in recorded]
    if unknown:
        raise UsageError(f"expected recorded tasks out of {', '.join(recorded)}, got {unknown[0]!r}")
    return list(names or recorded)


def _rows_of(table: pd.DataFrame, name: str) -> list[Any]:
    return list(table[table["task"] == name].to_dict("records"))


def _facts(name: str, rows: Sequence[Any], limits: dict[str, Any]) -> TaskFacts:
    """Facts of a task; the recorded time is what all its rows took together."""
    budget = Budget(wall_s=sum(float(row["time_s"]) for row in rows), n_trials=N_TRIALS)
    return TaskFacts(name, rows[0]["best_constant_f1"], limits["time_limit_s"], budget)


def _task(name: str, rows: Sequence[Any], entry: dict[str, Any], limits: dict[str, Any], space: Space) -> RecordedTask:
    results = tuple(result_of(row) for row in rows)
    time_s, memory_mib = limits["time_limit_s"], limits["memory_limit_mib"]
    size = TaskSize(
        limits["n_train"], limits["n_validation"], len(entry["class_counts"]), tuple(entry["token_quantiles"])
    )
    bare = Plan(space, size, Limits(time_s, memory_mib), DEFAULT_SPEED, ())
    check = FitCheck(bare, is_cautious=False)
    defaults = tuple(adapt_default(space, method, check) for method in space.methods)
    return RecordedTask(
        facts=_facts(name, rows, limits),
        profile=_profile(entry, rows[0]),
        fingerprint=entry["fingerprint"],
        sketch=tuple(entry["sketch"]),
        plan=Plan(space, size, Limits(time_s, memory_mib), DEFAULT_SPEED, defaults),
        surrogate=Surrogate(results, space.models, limits["n_train"], time_s, memory_mib),
        results=results,
    )


def _profile(entry: dict[str, Any], row: Any) -> Profile:
    semantic = entry.get("semantic")
    embedding = None if semantic is None else tuple(semantic)
    return Profile(entry["schema"], entry["features"], RECORDED_SYSTEM_SCHEMA, json.loads(row["system"]), embedding)
