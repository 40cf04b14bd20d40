"""Runs pipelines of the recorded space on one task: in isolated workers exactly as a run of the product does.

No proposals, no feasibility filter, no rescue, no early stopping: what was drawn is launched, and what becomes of it is
a row of the table.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.recorded import Row, row_of
from benchmarks.recording.ledger import Ledger
from benchmarks.recording.limits import read_limits
from benchmarks.recording.provenance import DEVICE, row_facts
from benchmarks.recording.space import draw_pipeline, recorded_space, space_id
from benchmarks.recording.subsets import DEFAULT_DATA, SUBSET_SEED, SubsetSize, load_subset
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import Slots
from xautolm.errors import RunError, UsageError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.finish import write_rows
from xautolm.records import Pipeline, Task, Trial, TrialResult
from xautolm.search.loop import MAX_INTERRUPTIONS, Backend, trial_seed
from xautolm.space.feasibility import Limits
from xautolm.space.params import Space

N_THREADS = 1
_POLL_S = 1.0
#: Statuses whose full output is kept beside the journal: a person may want to know why.
_PUZZLING = frozenset({"crashed", "unavailable", "invalid"})

Draw = Callable[[Space, int, int], Pipeline]


@dataclass(frozen=True)
class Session:
    """What all tasks of one call have in common.

    Attributes:
        table: folder of the recorded table.
        n_workers: trials side by side, one thread each.
        make_backend: evaluates trials in a scratch folder under some limits; tests give a simulated one.
        space: where pipelines come from.
        data: folder of the data sets.
        seed: of the table.
        is_out: True = launch nothing more, let the running trials end.
        should_stop: True = stop the running trials too; they are run again another time.
        log: takes a line for the user.
        draw: makes pipeline i; tests give a cheaper one.
    """

    table: Path
    n_workers: int
    make_backend: Callable[[Path, Limits], Backend]
    space: Space
    data: Path = DEFAULT_DATA
    seed: int = 0
    is_out: Callable[[], bool] = lambda: False
    should_stop: Callable[[], bool] = lambda: False
    log: Callable[[str], None] = lambda line: None
    draw: Draw = draw_pipeline


@contextmanager
def open_session(table: Path, n_workers: int, **fields: Any) -> Iterator[Session]:
    """Start the worker server for a session and end it with all its jobs."""
    table.mkdir(parents=True, exist_ok=True)
    space = recorded_space()
    server = WorkerServer(table / ".partial-server.log")

    def local_backend(scratch: Path, limits: Limits) -> LocalBackend:
        context = TrialContext(scratch, space.models, limits.time_s, limits.memory_mib, SUBSET_SEED, with_rescue=False)
        return LocalBackend(server, Slots((DEVICE,) * n_workers, N_THREADS), context)

    try:
        server.start()
        yield Session(table, n_workers, local_backend, space, **fields)
    finally:
        server.close()


def record_task(session: Session, name: str, indices: Sequence[int]) -> int:
    """Record the pipelines of a task that are missing.

    Args:
        session: the machinery.
        name: of the task.
        indices: numbers of the pipelines wanted.

    Returns:
        How many of them stand in the table now.

    Raises:
        UsageError: the task has no accepted limits, or the table was recorded under other conditions.
        RunError: the machine, not the pipelines, is at fault (disk full, workers killed).
    """
    task, limits = under_limits(session, name)
    facts = row_facts(session.space, task, limits, session.seed)
    with Ledger(session.table, name, session.seed) as ledger:
        _check_same_table(session, ledger, facts)
        missing = [index for index in indices if index not in ledger.rows]
        session.log(f"{name}: {len(indices) - len(missing)} of {len(indices)} recorded, {len(missing)} to go")
        keep = keeper(session, ledger, facts, len(indices))
        if missing:
            with scratch_folder(session, task) as scratch:
                evaluate(session, scratch, limits, make_trials(session, missing), keep)
        return sum(index in ledger.rows for index in indices)


def make_trials(session: Session, indices: Sequence[int]) -> list[Trial]:
    """The trials of some pipelines; everything random in them depends on (seed, index) only."""
    seed = session.seed
    return [Trial(i, session.draw(session.space, seed, i), trial_seed(seed, i)) for i in indices]


@contextmanager
def scratch_folder(session: Session, task: Task) -> Iterator[Path]:
    """A folder for rows, caches and trials of one task, deleted at the end.

    Its name depends on table and task only, so that the next call removes what a killed one left; the ledger's lock
    keeps others away.
    """
    table = hashlib.sha256(str(session.table.resolve()).encode()).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()) / f"xautolm-record-{table}-{session.seed}-{task.dataset_id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        write_rows(folder / "work" / "data", task)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def evaluate(
    session: Session, scratch: Path, limits: Limits, trials: Sequence[Trial], keep: Callable[[TrialResult, Path], None]
) -> None:
    """Evaluate trials side by side; `keep` gets each result and the log of its process.

    Raises:
        RunError: trials are interrupted again and again.
    """
    backend = session.make_backend(scratch, limits)
    waiting, n_running, n_interrupted = deque(trials), 0, 0
    try:
        while not session.should_stop():
            while waiting and n_running < backend.n_slots and not session.is_out():
                backend.submit(waiting.popleft())
                n_running += 1
            if not n_running:
                return
            for result in backend.poll(_POLL_S):
                n_running -= 1
                shutil.rmtree(scratch / "checkpoints" / str(result.trial_id), ignore_errors=True)
                if result.status != "interrupted":
                    keep(result, scratch / "trials" / f"{result.trial_id}.log")
                    n_interrupted = 0
                elif (n_interrupted := n_interrupted + 1) >= MAX_INTERRUPTIONS:
                    message = result.error.message if result.error else ""
                    raise RunError(
                        f"{n_interrupted} trials in a row were interrupted ({message}); free the machine first"
                    )
    finally:
        backend.stop_all()


def keeper(
    session: Session, ledger: Ledger, facts: Mapping[str, Any], n_wanted: int
) -> Callable[[TrialResult, Path], None]:
    """What is done with each result: a row, a line for the user, and the log of a puzzling failure."""

    def keep(result: TrialResult, log: Path) -> None:
        revision = session.space.models[result.pipeline.model].revision
        measured = {"model_revision": revision, "load_1m": round(os.getloadavg()[0], 2)}
        ledger.add(row_of(result, {**facts, **measured}))
        if result.status in _PUZZLING and log.exists():
            kept = session.table / f".partial-logs-{facts['task']}"
            kept.mkdir(exist_ok=True)
            shutil.copy(log, kept / log.name)
        session.log(f"{facts['task']} {len(ledger.rows)}/{n_wanted}: {describe(result)}")

    return keep


def describe(result: TrialResult) -> str:
    """One line about a finished trial."""
    score = f"f1 {result.scores['f1']:.3f}" if result.is_ok else result.error.kind if result.error else ""
    peak_mib = result.cost.peak_mem_mib or 0.0
    pipeline = result.pipeline
    return (
        f"#{result.trial_id} {result.status} {score}, {result.cost.time_s:.1f} s, {peak_mib:.0f} MiB, "
        f"{pipeline.method} {pipeline.model}"
    )


def under_limits(session: Session, name: str) -> tuple[Task, Limits]:
    """The rows of a task and the limits that its pilot chose for them.

    Raises:
        UsageError: see `accepted_limits`; or the data are not those that the pilot saw.
    """
    entry = accepted_limits(session, name)
    task = load_subset(session.data, name, SubsetSize(entry["n_train"], entry["n_validation"]))
    if task.fingerprint != entry["fingerprint"]:
        raise UsageError(f"expected the rows of {name!r} that its pilot saw; the data have changed. Restore them")
    return task, Limits(entry["time_limit_s"], entry["memory_limit_mib"])


def accepted_limits(session: Session, name: str) -> dict[str, Any]:
    """What the pilot of a task decided.

    Raises:
        UsageError: there was no pilot, it was not accepted, or the space has changed since.
    """
    entry = read_limits(session.table).get(name)
    pilot = f"`python -m benchmarks.record --pilot --tasks {name}`"
    if entry is None:
        raise UsageError(
            f"expected limits of {name!r} in `{session.table / 'limits.json'}`, found none; run {pilot} first"
        )
    if not entry["accepted"]:
        raise UsageError(
            f"the pilot of {name!r} was not accepted: {' '.join(entry['problems'])} Then run {pilot} again"
        )
    if entry["space_id"] != space_id(session.space):
        raise UsageError(
            f"the recorded space has changed since the pilot of {name!r} ({entry['space_id']!r}, now "
            f"{space_id(session.space)!r}): a method, a range or a model is another one. Undo that, or remove the "
            f"recorded shards and run {pilot} again"
        )
    return dict(entry)


def _check_same_table(session: Session, ledger: Ledger, facts: Row) -> None:
    """Refuse to add to a table that was recorded under other conditions."""
    same = ("fingerprint", "space_id", "time_limit_s", "memory_limit_mib", "table_seed")
    for index, row in ledger.rows.items():
        other = [name for name in same if row[name] != facts[name]]
        if row["pipeline_key"] != session.draw(session.space, session.seed, index).key:
            other.append("pipeline_key")
        if other:
            raise UsageError(
                f"pipeline {index} of {facts['task']!r} was recorded under another {' and '.join(map(repr, other))}; "
                f"one table has one of each. Remove its shards from `{session.table}`, or use another `--table`"
            )


def deadline(minutes: float | None) -> Callable[[], bool]:
    """Tells whether that many minutes from now are over; never for None."""
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    return lambda: time.monotonic() >= end
