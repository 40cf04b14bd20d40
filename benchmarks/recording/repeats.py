"""Recorded pipelines once more, which says how far times and scores of the table can be trusted.

*Alone*: with the same seed and nothing beside; a time that is longer in the table was made longer by its neighbours.
*Again*: with other seeds, under the conditions of the table; what differs is noise.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.recorded import Row, read_shard, write_shard
from benchmarks.recording.ledger import Ledger, read_rows
from benchmarks.recording.provenance import row_facts
from benchmarks.recording.session import Session, evaluate, keeper, scratch_folder, under_limits
from xautolm.errors import UsageError
from xautolm.records import Trial
from xautolm.search.loop import trial_seed

ALONE, AGAIN = "alone", "again"
#: Other seeds per pipeline; with the one of the table there are three.
N_AGAIN = 2
#: Far from the seeds of tables and pilots.
_AGAIN_SEED = 2_000_003
#: Largest median deviation between a time alone and in the table at which times count as comparable.
TOLERANCE = 0.10


def repeat_task(session: Session, name: str, n: int, kind: str) -> int:
    """Run the first pipelines of a task that worked once more, and keep what came out in `repeats/`.

    Args:
        session: the machinery; with one worker for `ALONE`.
        name: of the task.
        n: pipelines.
        kind: `ALONE` or `AGAIN`.

    Returns:
        Repeats that there are now; with fewer than all of them the next call goes on.

    Raises:
        UsageError: too few pipelines of the task are recorded, or its data have changed.
        RunError: the machine is at fault.
    """
    task, limits = under_limits(session, name)
    recorded = read_rows(session.table, name, session.seed)
    chosen = [index for index in sorted(recorded) if recorded[index]["status"] == "ok"][:n]
    if len(chosen) < n:
        raise UsageError(
            f"expected {n} recorded pipelines of {name!r} that worked, found {len(chosen)}; run "
            f"`python -m benchmarks.record --tasks {name}` first, or ask for fewer"
        )
    facts = row_facts(session.space, task, limits, session.seed)
    n_done = 0
    for stem, seed in _rounds(session, kind):
        with Ledger(session.table, name, session.seed, kind=stem) as ledger:
            keep = keeper(session, ledger, facts, n)
            trials = [
                Trial(index, session.draw(session.space, session.seed, index), trial_seed(seed, index))
                for index in chosen
                if index not in ledger.rows
            ]
            with scratch_folder(session, task) as scratch:
                evaluate(session, scratch, limits, trials, keep)
            rows = [ledger.rows[index] for index in chosen if index in ledger.rows]
        n_done += len(rows)
        if len(rows) == n:
            folder = session.table / "repeats"
            folder.mkdir(exist_ok=True)
            write_shard(folder / f"{name}-{stem}.parquet", rows)
    return n_done


def _rounds(session: Session, kind: str) -> Iterator[tuple[str, int]]:
    """Name and seed of each round over the pipelines."""
    if kind == ALONE:
        yield ALONE, session.seed
    else:
        yield from ((f"{AGAIN}{k}", _AGAIN_SEED + k) for k in range(1, N_AGAIN + 1))


@dataclass(frozen=True, slots=True)
class Alone:
    """Times alone over times in the table.

    Attributes:
        n: trials that worked both times.
        ratio: median over them.
        deviation: median of how far a ratio is from 1.
        quartiles: of the ratio.
    """

    n: int
    ratio: float
    deviation: float
    quartiles: tuple[float, float]


def compare_alone(pairs: Sequence[tuple[Row, Row]]) -> Alone:
    """Compare trials alone with the same ones in the table.

    Args:
        pairs: (alone, in the table), at least one, both `ok`.
    """
    ratios = [alone["time_s"] / beside["time_s"] for alone, beside in pairs]
    low, high = (float(q) for q in np.quantile(ratios, [0.25, 0.75]))
    deviation = statistics.median(abs(ratio - 1.0) for ratio in ratios)
    return Alone(len(ratios), statistics.median(ratios), deviation, (low, high))


@dataclass(frozen=True, slots=True)
class Noise:
    """What differs between seeds.

    Attributes:
        n: pipelines.
        f1_sd: standard deviation of macro F1 within a pipeline, pooled; of those that worked each time.
        time_spread: median over pipelines of longest over shortest time.
        n_other_ends: pipelines that did not end the same way each time.
    """

    n: int
    f1_sd: float
    time_spread: float
    n_other_ends: int


def compare_again(groups: Sequence[Sequence[Row]]) -> Noise:
    """Compare the trials of each pipeline with each other.

    Args:
        groups: rows of one pipeline each, at least two rows; at least one group.
    """
    steady = [rows for rows in groups if len({row["status"] for row in rows}) == 1]
    variances = [statistics.variance(row["f1"] for row in rows) for rows in steady]
    spreads = [max(r["time_s"] for r in rows) / min(r["time_s"] for r in rows) for rows in steady]
    f1_sd = statistics.fmean(variances) ** 0.5 if variances else float("nan")
    spread = statistics.median(spreads) if spreads else float("nan")
    return Noise(len(groups), f1_sd, spread, len(groups) - len(steady))


def read_repeats(table: Path, name: str, kind: str, recorded: Mapping[int, Row]) -> list[list[Row]]:
    """The rows of each repeated pipeline of a task: repeats first, that of the table last.

    Args:
        table: folder.
        name: of the task.
        kind: `ALONE` or `AGAIN`.
        recorded: number of the pipeline -> row of the table.
    """
    groups: dict[int, list[Row]] = {}
    for path in sorted((table / "repeats").glob(f"{name}-{kind}*.parquet")):
        for row in read_shard(path):
            groups.setdefault(row["pipeline"], []).append(row)
    return [[*rows, recorded[index]] for index, rows in sorted(groups.items()) if index in recorded]
