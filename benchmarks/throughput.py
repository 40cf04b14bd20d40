"""Trials per hour against transformers: `python -m benchmarks.throughput [--quick] [--rounds N] [--json FILE]`.

Twenty full fine-tunes (`benchmarks.tuning.drawn`: all-MiniLM-L6-v2 at 6, 3 and 1 layers, 1,000 rows of SST-2 and MRPC,
400 to validate on) are done in four ways, each in processes of its own, side by side in an order that rotates from task
to task and round to round:

1. `Trainer.hyperparameter_search` with Optuna, everything at its defaults (`benchmarks.tuning.hugging_face`);
2. the same with one thread, bf16 where the processor has it, and the fused optimizer;
3. this project with one worker (`benchmarks.tuning.ours`);
4. this project as it runs when it is not told otherwise: as many workers as cores.

Counted is everything from the start of a process to its end, imports and tokenising included. All score on the same
rows with the same model; ours keeps the best of eight validations, the Trainer its last step. Needs the data sets of
`../shared/data`. `--quick` does one configuration of each task and only shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.recording.provenance import commit
from benchmarks.recording.subsets import DEFAULT_DATA, SubsetSize, has_data, load_subset
from benchmarks.tuning.drawn import CONFIGURATIONS, N_TRAIN, N_VALIDATION, TASKS, Configuration
from benchmarks.tuning.figures import as_document, rate_table, score_table, stage_table, verdict
from benchmarks.tuning.units import ROWS, Unit, run_unit
from xautolm.finish import write_rows
from xautolm.metafeatures.machine import machine_facts
from xautolm.preparation import library_versions

#: Of each task the cheapest: one layer.
QUICK = (CONFIGURATIONS[5], CONFIGURATIONS[14])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 = everything is what it must be (with `--quick` always), else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="one configuration of each task, one round")
    parser.add_argument("--rounds", type=int, default=2, help="how often everything is done (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    parser.add_argument("--json", type=Path, help="also write figures and provenance to this file")
    options = parser.parse_args(argv)
    if options.rounds < 1:
        parser.error(f"expected at least 1 round, got {options.rounds}")
    missing = [task for task in TASKS if not has_data(options.data, task)]
    if missing:
        print(f"skipped: no rows of {', '.join(missing)} in `{options.data}`; name their folder with `--data`")
        return 0
    chosen = QUICK if options.quick else CONFIGURATIONS
    units = measure(chosen, options.data, 1 if options.quick else options.rounds)
    if options.json:
        options.json.write_text(json.dumps(_document(units, chosen), indent=1) + "\n", encoding="utf-8")
    is_met, words = verdict(units)
    print(score_table(units, chosen), words, stage_table(units), rate_table(units), sep="\n\n")
    return 0 if is_met or options.quick else 1


def measure(chosen: Sequence[Configuration], data: Path, n_rounds: int) -> list[Unit]:
    """Run every row on every task in every round.

    Args:
        chosen: the fine-tunes.
        data: folder of the data sets.
        n_rounds: how often.
    """
    units = list[Unit]()
    with tempfile.TemporaryDirectory(prefix="xautolm-throughput-rows-") as name:
        for task in TASKS:
            write_rows(Path(name) / task, load_subset(data, task, SubsetSize(N_TRAIN, N_VALIDATION)))
        for round_ in range(n_rounds):
            for place, task in enumerate(TASKS):
                mine = [item for item in chosen if item.task == task]
                first = (round_ * len(TASKS) + place) % len(ROWS)
                for row in (*ROWS[first:], *ROWS[:first]):
                    units.append(run_unit(row, mine, Path(name) / task, round_))
                    print(_line(units[-1]), flush=True)
    return units


def _line(unit: Unit) -> str:
    return (
        f"round {unit.round + 1}, {unit.task}, {unit.row}: {len(unit.fits)} trials in {unit.wall_s:.0f} s, "
        f"{unit.processor_s:.0f} processor s, load {unit.load_1m:.1f}"
    )


def _document(units: Sequence[Unit], chosen: Sequence[Configuration]) -> dict[str, object]:
    where = {"commit": commit(), "versions": library_versions(), "machine": machine_facts(), "cores": os.cpu_count()}
    raw = {"configurations": [asdict(item) for item in chosen], "units": [asdict(unit) for unit in units]}
    return {**where, **as_document(units), **raw}


if __name__ == "__main__":
    raise SystemExit(main())
