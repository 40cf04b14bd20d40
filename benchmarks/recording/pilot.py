"""The pilot of a task: thirty draws of their own seed under generous limits, from which its limits are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.recorded import Row, result_of
from benchmarks.recording.ledger import Ledger, read_rows
from benchmarks.recording.limits import Choice, choose_limits, read_limits, save_entry
from benchmarks.recording.provenance import row_facts
from benchmarks.recording.session import Session, evaluate, keeper, make_trials, scratch_folder
from benchmarks.recording.subsets import SUBSET_SEED, SubsetSize, load_subset
from xautolm import registry
from xautolm.data.summary import token_lengths
from xautolm.errors import UsageError
from xautolm.metafeatures import build_profile
from xautolm.metafeatures.machine import available_memory_mib, system_features
from xautolm.planning import task_size
from xautolm.records import Pipeline, Task, TrialResult
from xautolm.space.catalogue import embedded_folder
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize, estimate

N_DRAWS = 30
#: Far from the seeds of tables, so that no pilot draw is a recorded pipeline.
PILOT_SEED = 1_000_003
TIME_LIMIT_S = 120.0
#: Limits let at most 70 % of the draws succeed, so the limit lies below the slowest of any 70 % of them.
_FIRST_SHARE = 0.70
_SECOND_MARGIN = 1.25
_MEMORY_SHARE = 0.8
_QUANTILES = (0, 10, 25, 50, 65, 75, 90, 100)


@dataclass(frozen=True, slots=True)
class _Pilot:
    """A pilot under way."""

    session: Session
    task: Task
    ledger: Ledger
    time_limit_s: float

    @property
    def memory_mib(self) -> float:
        """As much as the machine can give to each of the trials."""
        return _MEMORY_SHARE * available_memory_mib() / self.session.n_workers


def pilot_task(session: Session, name: str, size: SubsetSize, time_limit_s: float = TIME_LIMIT_S) -> Choice | None:
    """Run the pilot of a task, choose its limits and write `limits.json` and `tasks.json`.

    The draws expected to be cheapest run first, 70 % of them; the others then only have to show that they are slower
    than those, which saves about half of the time. A pilot that was stopped goes on where it was, unless its conditions
    changed.

    Args:
        session: the machinery; its seed is not used.
        name: of the task.
        size: rows of the subset.
        time_limit_s: of a draw; slower ones count as that.

    Returns:
        What was chosen; None when the session ended before the pilot.

    Raises:
        UsageError: the task is recorded already: its limits stay.
    """
    if read_rows(session.table, name, session.seed):
        raise UsageError(
            f"{name!r} is recorded under its limits already; they are set once. Remove its shards and its "
            f"`.partial-{name}.jsonl` from `{session.table}` to start again"
        )
    session = replace(session, seed=PILOT_SEED)
    task = load_subset(session.data, name, size)
    with Ledger(session.table, name, PILOT_SEED, kind="pilot") as ledger:
        pilot = _Pilot(session, task, ledger, time_limit_s)
        _forget_other_conditions(pilot)
        order = _cheapest_first(session, task)
        n_first = math.ceil(_FIRST_SHARE * N_DRAWS)
        with scratch_folder(session, task) as scratch:
            for indices in (order[:n_first], order[n_first:]):
                missing = [index for index in indices if index not in ledger.rows]
                limits = Limits(_time_limit(pilot, order[:n_first]), pilot.memory_mib)
                facts = row_facts(session.space, task, limits, PILOT_SEED)
                keep = keeper(session, ledger, facts, N_DRAWS)
                evaluate(session, scratch, limits, make_trials(session, missing), keep)
                if any(index not in ledger.rows for index in indices):
                    return None
        return _decide(pilot)


def _time_limit(pilot: _Pilot, first: Sequence[int]) -> float:
    """The generous limit while the first draws run; after them, a little more than the slowest of them took."""
    rows = pilot.ledger.rows
    if any(index not in rows for index in first):
        return pilot.time_limit_s
    slowest_s: float = max(rows[index]["time_s"] for index in first)
    return min(pilot.time_limit_s, _SECOND_MARGIN * slowest_s)


def _decide(pilot: _Pilot) -> Choice:
    """Choose the limits and write them down with the figures they rest on."""
    session, task, rows = pilot.session, pilot.task, pilot.ledger.rows
    ordered = [rows[index] for index in sorted(rows)]
    draws = [result_of(row) for row in ordered]
    constant_f1 = ordered[0]["best_constant_f1"]
    choice = choose_limits(draws, constant_f1)
    entry = {
        "accepted": not choice.problems,
        "problems": list(choice.problems),
        "time_limit_s": choice.limits.time_s if math.isfinite(choice.limits.time_s) else None,
        "memory_limit_mib": choice.limits.memory_mib,
        "n_train": task.train.n_rows,
        "n_validation": task.validation.n_rows,
        "subset_seed": SUBSET_SEED,
        "fingerprint": task.fingerprint,
        "space_id": ordered[0]["space_id"],
        "pilot": _figures(pilot, ordered, draws, choice),
    }
    save_entry(session.table, "limits.json", task.dataset_id, entry)
    save_entry(session.table, "tasks.json", task.dataset_id, task_entry(task))
    return choice


def _figures(pilot: _Pilot, rows: Sequence[Row], draws: Sequence[TrialResult], choice: Choice) -> dict[str, Any]:
    statuses: dict[str, int] = {}
    for draw in draws:
        statuses[draw.status] = statuses.get(draw.status, 0) + 1
    return {
        "seed": PILOT_SEED,
        "n_draws": len(draws),
        "time_limit_s": pilot.time_limit_s,
        "statuses": dict(sorted(statuses.items())),
        "failed_share": round(choice.failed_share, 4),
        "useless_share": None if choice.useless_share is None else round(choice.useless_share, 4),
        "best_constant_f1": round(rows[0]["best_constant_f1"], 6),
        "f1": _quantiles([draw.scores["f1"] for draw in draws if draw.is_ok]),
        "time_s": _quantiles([draw.cost.time_s for draw in draws]),
        "peak_mem_mib": _quantiles([draw.cost.peak_mem_mib or 0.0 for draw in draws]),
        "n_workers": pilot.session.n_workers,
        "load_1m": float(np.median([row["load_1m"] for row in rows])),
        "commit": rows[-1]["commit"],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Per cent -> quantile; the slowest draws stand with the time at which they were stopped."""
    if not values:
        return {}
    return {str(q): round(float(np.percentile(values, q)), 4) for q in _QUANTILES}


def task_entry(task: Task) -> dict[str, Any]:
    """What `tasks.json` says about a task: numbers only."""
    profile = build_profile(task, system_features())
    counts = np.bincount(np.asarray(task.train.labels), minlength=len(task.labels))
    return {
        "fingerprint": task.fingerprint,
        "schema": profile.schema,
        "features": dict(profile.task),
        "class_counts": counts.tolist(),
        "token_quantiles": list(task_size(task, token_lengths(embedded_folder(), task.train).tolist()).token_quantiles),
        "sketch": list(task.sketch),
    }


def refresh_profile(session: Session, name: str) -> bool:
    """Write the meta-features of a recorded task anew, as this version computes them; the subset must be the same.

    Returns:
        Whether it was done: False for a task without an accepted pilot.

    Raises:
        UsageError: the data are not those of the recording any more.
    """
    entry = read_limits(session.table).get(name)
    if entry is None or not entry["accepted"]:
        return False
    task = load_subset(session.data, name, SubsetSize(entry["n_train"], entry["n_validation"]))
    if task.fingerprint != entry["fingerprint"]:
        raise UsageError(
            f"expected the recorded rows of {name!r} in `{session.data / name}`, found others; give the folder that "
            "the task was recorded from with `--data-dir`"
        )
    save_entry(session.table, "tasks.json", name, task_entry(task))
    return True


def _forget_other_conditions(pilot: _Pilot) -> None:
    """Drop the rows of an earlier pilot on other rows, of another space or under another time limit."""
    session, ledger = pilot.session, pilot.ledger
    now = row_facts(session.space, pilot.task, Limits(pilot.time_limit_s, 0.0), PILOT_SEED)

    def is_same(index: int, row: Mapping[str, Any]) -> bool:
        drawn = session.draw(session.space, PILOT_SEED, index).key
        return all(row[name] == now[name] for name in ("fingerprint", "space_id")) and row["pipeline_key"] == drawn

    allowed_s = max((row["time_limit_s"] for row in ledger.rows.values()), default=pilot.time_limit_s)
    if allowed_s != pilot.time_limit_s or not all(is_same(index, row) for index, row in ledger.rows.items()):
        ledger.clear()


def _cheapest_first(session: Session, task: Task) -> list[int]:
    """The draws in the order of their estimated time."""
    tokenizer = next(iter(session.space.models.values())).path
    size = task_size(task, token_lengths(tokenizer, task.train).tolist())
    drawn = {index: session.draw(session.space, PILOT_SEED, index) for index in range(N_DRAWS)}
    return sorted(drawn, key=lambda index: expected_s(session, drawn[index], size))


def expected_s(session: Session, pipeline: Pipeline, size: TaskSize) -> float:
    """Seconds that a pipeline takes by the product's own estimate, on an average core."""
    model = session.space.models[pipeline.model]
    workload = registry.resolve("methods", pipeline.method).workload(model, pipeline.params)
    return estimate(workload, model, size, DEFAULT_SPEED).time_s
