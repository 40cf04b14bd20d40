"""Real fine-tuning against the Trainer with Optuna and random search: `python -m benchmarks.live --json FILE`.

Each strategy gets the same wall time on the same rows, in processes of its own, one strategy after the other on an
otherwise idle machine. One call adds one seed: all strategies on all tasks, in an order that rotates from task to task
and from seed to seed. Counted is everything from before the start of a strategy's process (imports and loading too);
when the time is over it is killed. A trial counts when it has ended within the time.

1. *ours warm*: `xautolm fit` as it runs when it is not told otherwise (as many workers as cores, one thread each), with
   an empty store beside the starter store. The task's own data are left out of that, by name and by their rows, and the
   report says how many rows that were. `fit` pays for baselines, exports and its report out of its time, too.
2. *ours cold*: the same with `--cold`.
3. *Trainer + Optuna TPE*: `Trainer.hyperparameter_search` as its documentation shows it (`benchmarks.living.trainer`).
   `--trainer-settings ours`, the default, is the stronger one: our threads and precision (one thread, bf16, fused
   optimizer) in as many processes as ours has workers, which share one Optuna study. `defaults` is one process with
   everything at its default, with all threads that the library takes.
4. *random*: uniform draws of the space of 1 in our workers, without the filter that drops what cannot fit.

All of them see the processor only, and all of its cores. F1 is macro F1 on the validation rows; the model that a
strategy ends with is scored on the test rows once, off the clock. Hypervolume is that of `design.md` section 5 with the
whole time of a strategy as the limit of a trial.

`--json FILE` holds all seeds so far. It is written anew after every strategy, so that the same command goes on where an
earlier call was stopped or killed. Its keys: `minutes`, `trainer_settings`, `commit`, `versions`, `machine` (of the
last call); `grid_s` (times of all curves); `tasks` {name: rows, classes, constant_f1, fingerprint}; `units`, one per
task, strategy and seed, each with `trials` (status, pipeline, scores, cost, error, `ended_s` since the start), `curves`
{best_f1, hypervolume} on `grid_s`, `figures` (`benchmarks.living.figures.Figures`), `test` (scores), `left_out`,
`prior`, `place` in the order, `load_1m`, `commit`, `problem`; `summary` {task: {strategy: {seeds, figures, curves}}},
each figure and curve as {median, low, high} over the seeds that all strategies have had.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.living.child import Orders
from benchmarks.living.handover import hand_over
from benchmarks.living.ledger import Ledger, Unit, open_ledger, provenance
from benchmarks.living.subjects import LeftOut, Subject, left_out, load_subject, parse_data, shared_files, write_subject
from benchmarks.living.tables import report
from benchmarks.living.units import STRATEGIES, Strategy, prior_of, run_strategy, warm_up
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.backends.slots import choose_slots
from xautolm.errors import UsageError, XAutoLMError
from xautolm.experience.starter import Starter
from xautolm.metafeatures.machine import usable_cores
from xautolm.space.catalogue import resolve_models

DEFAULT_TASKS = ("trec", "sst2", "ag_news")
#: A strategy needs some of its time for imports alone.
LEAST_MINUTES = 0.1
_INTERRUPTED = 130

#: Runs a strategy on a task with a seed in a new folder.
Measure = Callable[[Strategy, Subject, int, Path], Unit]


def main(argv: Sequence[str] | None = None, *, measure: Callable[[argparse.Namespace], Measure] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        argv: arguments; None = those of the process.
        measure: makes what runs a unit; tests give a fake.
    """
    options = _parser().parse_args(argv)
    try:
        subjects = _subjects(options)
        ledger = open_ledger(options.json, options.minutes, options.trainer_settings)
        ledger.add_subjects(subjects)
        names = [subject.name for subject in subjects]
        seed = ledger.next_seed(names) if options.seed is None else options.seed
        add_seed(ledger, subjects, seed, (measure or _measure)(options))
    except KeyboardInterrupt:
        kept = (
            f"what is finished stands in `{options.json}`; the same command goes on"
            if options.json
            else "nothing is kept"
        )
        print(f"stopped: {kept}", file=sys.stderr)
        return _INTERRUPTED
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}; what was written before is kept", file=sys.stderr)
        return 1
    print(report(ledger, list(ledger.tasks)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--tasks", help=f"names, separated by commas (default: {','.join(DEFAULT_TASKS)}, or all of `--data`)")
    add("--data", action="append", default=[], metavar="NAME=TRAIN,VALID[,TEST]", help="any files; repeatable")
    add("--data-folder", type=Path, default=DEFAULT_DATA, help="folder of the shared data sets")
    add("--minutes", type=float, default=3.0, help="of each strategy on each task (default: %(default)s)")
    add("--seed", type=int, help="default: the first that is not complete")
    add("--json", type=Path, help="all seeds so far; one is added")
    add("--trainer-settings", choices=("ours", "defaults"), default="ours", help="default: %(default)s")
    return parser


def _subjects(options: argparse.Namespace) -> list[Subject]:
    """Check the options and load the tasks.

    Raises:
        XAutoLMError: an option or a file cannot be used.
    """
    if not (math.isfinite(options.minutes) and options.minutes >= LEAST_MINUTES):
        raise UsageError(f"expected `--minutes` of at least {LEAST_MINUTES}, got {options.minutes!r}")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"expected a `--seed` of at least 0, got {options.seed}")
    given = [parse_data(text) for text in options.data]
    names = [name for name, _ in given]
    wanted = options.tasks.split(",") if options.tasks is not None else names or list(DEFAULT_TASKS)
    repeated = [name for listed in (names, wanted) for name in listed if listed.count(name) > 1]
    if repeated or not all(wanted):
        raise UsageError(f"expected every task once, got {repeated[0]!r} again" if repeated else "a task has no name")
    unknown = [name for name in wanted if given and name not in names]
    if unknown:
        raise UsageError(f"expected `--tasks` out of those of `--data` ({', '.join(names)}), got {unknown[0]!r}")
    files = dict(given)
    return [load_subject(name, files.get(name) or shared_files(options.data_folder, name)) for name in wanted]


def add_seed(ledger: Ledger, subjects: Sequence[Subject], seed: int, measure: Measure) -> None:
    """Run what a seed lacks, strategy by strategy, and keep each at once.

    Args:
        ledger: takes the units.
        subjects: the tasks.
        seed: which.
        measure: runs a unit.

    Raises:
        RunError: a strategy broke down before it had done anything.
    """
    with tempfile.TemporaryDirectory(prefix="xautolm-live-") as scratch:
        for number, subject in enumerate(subjects):
            for place, strategy in enumerate(order(seed, number)):
                if ledger.has(subject.name, strategy.name, seed):
                    continue
                folder = Path(scratch) / f"{subject.name}-{place}"
                unit = replace(measure(strategy, subject, seed, folder), place=place)
                ledger.add(unit)
                _tell(ledger, unit)


def order(seed: int, number: int) -> tuple[Strategy, ...]:
    """The strategies in the order in which they run on task `number` with a seed."""
    first = (seed + number) % len(STRATEGIES)
    return (*STRATEGIES[first:], *STRATEGIES[:first])


def _tell(ledger: Ledger, unit: Unit) -> None:
    found = ledger.figures(unit)
    best = "no model" if found.f1_end is None else f"best F1 {found.f1_end:.3f}"
    test = "" if not unit.test else f", test F1 {unit.test['f1']:.3f}"
    print(
        f"seed {unit.seed}, {unit.task}, {unit.strategy}: {found.n_trials} trials ({found.n_failed} failed) in "
        f"{unit.wall_s:.0f} s, {best}{test}, load {unit.load_1m:.1f} before",
        file=sys.stderr,
        flush=True,
    )


def _measure(options: argparse.Namespace) -> Measure:
    """What really runs a unit."""
    groups = Starter().groups()
    largest = max(model.n_params for model in resolve_models(None, offline=True)[0])
    slots = choose_slots(usable_cores(), ["cpu"], largest, workers=None, threads=None)
    has_our_settings = options.trainer_settings == "ours"
    warm_up()
    written: set[Path] = set()

    def measure(strategy: Strategy, subject: Subject, seed: int, folder: Path) -> Unit:
        rows = folder.parent / f"{subject.name}-rows"
        if rows not in written:
            write_subject(rows, subject)
            written.add(rows)
        left = left_out(subject, groups)
        orders = Orders(
            rows=str(rows),
            folder=str(folder),
            started=0.0,
            seconds=60 * options.minutes,
            seed=seed,
            has_pairs=subject.task.is_pair,
            is_warm=strategy.is_warm,
            exclude=left.data_sets if strategy.is_warm else (),
            has_our_settings=has_our_settings,
            n_workers=len(slots.devices) if strategy.is_trainer and has_our_settings else 1,
        )
        try:
            return run_unit(strategy, subject, orders, left)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return measure


def run_unit(strategy: Strategy, subject: Subject, orders: Orders, left: LeftOut) -> Unit:
    """Run one strategy on one task, then score what it ends with."""
    load_1m = round(os.getloadavg()[0], 2)
    outcome = run_strategy(strategy, orders)
    handed = hand_over(strategy, orders, subject, outcome.trials)
    return Unit(
        task=subject.name,
        strategy=strategy.name,
        seed=orders.seed,
        place=0,
        trials=outcome.trials,
        wall_s=round(outcome.wall_s, 2),
        test=handed.test,
        handed_over=handed.trial_id,
        prior=prior_of(orders),
        left_out=asdict(left) if strategy.is_warm else None,
        problem="\n".join(filter(None, (outcome.problem, handed.problem))),
        load_1m=load_1m,
        commit=provenance()["commit"],
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is ended, scratch removed
    sys.exit(main())
