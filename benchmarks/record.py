"""Record real fine-tunes of uniformly drawn pipelines: `python -m benchmarks.record`.

First, once per task: `python -m benchmarks.record --pilot --tasks sst2` (limits). Then, as often as there is time:
`python -m benchmarks.record --n 80 --minutes 60`. At last `--alone 4` and `--again 12`, which say how far times and
scores can be trusted. All of them go on where an earlier call, stopped or killed, left off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recorded import TABLE
from benchmarks.recording.card import task_figures, write_card
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.limits import Choice
from benchmarks.recording.pilot import TIME_LIMIT_S, pilot_task, refresh_profile
from benchmarks.recording.repeats import AGAIN, ALONE, repeat_task
from benchmarks.recording.session import Draw, Session, accepted_limits, deadline, open_session, record_task
from benchmarks.recording.space import draw_pipeline
from benchmarks.recording.subsets import DEFAULT_DATA, N_TRAIN, N_VALIDATION, SOURCES, SubsetSize, has_data
from xautolm.errors import UsageError, XAutoLMError
from xautolm.interrupts import StopRequest
from xautolm.metafeatures.machine import usable_cores

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, *, draw: Draw = draw_pipeline) -> int:
    """Run the command line.

    Args:
        argv: arguments, None = those of the process.
        draw: makes pipeline i of the space; tests give a cheaper one.

    Returns:
        0 = what was asked for is done or the time is up, 130 = interrupted; everything finished is kept.
    """
    options = _parser().parse_args(argv)
    try:
        with StopRequest(lambda: print("stopping; everything finished is kept", flush=True)) as stop:
            _run(options, draw, stop)
            return EXIT_INTERRUPTED if stop.is_requested() else 0
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(SOURCES), help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--n", type=int, default=80, help="pipelines per task (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, help="number of the first one (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the pipelines; 0 = the table, others = other pipelines"
    )
    parser.add_argument("--pilot", action="store_true", help="choose the limits of the tasks from 30 draws")
    parser.add_argument("--pilot-limit", type=float, default=TIME_LIMIT_S, help="seconds per pilot draw")
    parser.add_argument("--train", type=int, default=N_TRAIN, help="training rows, decided by the pilot")
    parser.add_argument("--valid", type=int, default=N_VALIDATION, help="validation rows, decided by the pilot")
    parser.add_argument("--workers", type=int, help="trials side by side, one thread each (default: usable cores)")
    parser.add_argument("--minutes", type=float, help="launch nothing more after so long (default: no limit)")
    parser.add_argument(
        "--data-dir", type=Path, default=DEFAULT_DATA, help="one folder per task (default: %(default)s)"
    )
    parser.add_argument("--table", type=Path, default=TABLE, help="folder of the table (default: %(default)s)")
    parser.add_argument("--alone", type=int, metavar="N", help="repeat N recorded pipelines per task with one worker")
    parser.add_argument("--again", type=int, metavar="N", help="repeat N recorded pipelines per task with other seeds")
    parser.add_argument("--profiles", action="store_true", help="only compute the meta-features of the tasks anew")
    parser.add_argument("--card", action="store_true", help="only write the data card anew")
    parser.add_argument("--json", type=Path, help="also write the summary to this file")
    return parser


def _run(options: argparse.Namespace, draw: Draw, stop: StopRequest) -> None:
    names = _names(options)
    if not options.card and names:
        n_workers = 1 if options.alone else options.workers or usable_cores()
        is_out = deadline(options.minutes)
        with open_session(
            options.table,
            n_workers,
            data=options.data_dir,
            seed=options.seed,
            draw=draw,
            is_out=is_out,
            should_stop=stop.is_requested,
            log=lambda line: print(line, flush=True),
        ) as session:
            _record(session, options, names)
    options.table.mkdir(parents=True, exist_ok=True)
    write_card(options.table)
    _summarise(options, names)


def _names(options: argparse.Namespace) -> list[str]:
    """The tasks asked for whose data are here; says which are left out.

    Raises:
        UsageError: a name is unknown or a number is out of range.
    """
    names = [name for name in options.tasks.split(",") if name]
    unknown = [name for name in names if name not in SOURCES]
    if unknown:
        raise UsageError(f"expected tasks out of {', '.join(SOURCES)} for `--tasks`, got {unknown[0]!r}")
    if options.alone is not None and options.again is not None:
        raise UsageError("expected `--alone` or `--again`, got both; run them one after the other")
    smallest = {"n": 1, "start": 0, "seed": 0, "train": 1, "valid": 1, "alone": 1, "again": 1}
    for name, low in smallest.items():
        if (number := getattr(options, name)) is not None and number < low:
            raise UsageError(f"expected a number of at least {low} for `--{name}`, got {number}")
    present = [name for name in names if has_data(options.data_dir, name)]
    for name in names:
        if name not in present:
            print(f"{name}: skipped, no training and validation file in `{options.data_dir / name}`; see `--data-dir`")
    return present


def _record(session: Session, options: argparse.Namespace, names: Sequence[str]) -> None:
    if options.profiles:
        for name in names:
            print(f"{name}: {'profile written' if refresh_profile(session, name) else 'not recorded, left alone'}")
        return
    if not options.pilot:
        for name in names:  # before hours are spent on the first one
            accepted_limits(session, name)
    for name in names:
        if session.is_out() or session.should_stop():
            return
        if options.alone or options.again:
            kind, n = (ALONE, options.alone) if options.alone else (AGAIN, options.again)
            print(f"{name}: {repeat_task(session, name, n, kind)} repeats ({kind})")
        elif options.pilot:
            size = SubsetSize(options.train, options.valid)
            _print_choice(name, pilot_task(session, name, size, options.pilot_limit))
        else:
            record_task(session, name, range(options.start, options.start + options.n))
            write_card(session.table)


def _print_choice(name: str, choice: Choice | None) -> None:
    if choice is None:
        print(f"{name}: the pilot is not complete; the same command goes on with it")
        return
    limits = choice.limits
    useless = "none" if choice.useless_share is None else f"{choice.useless_share:.0%}"
    print(
        f"{name}: time limit {limits.time_s:.1f} s, memory limit {limits.memory_mib:.0f} MiB: "
        f"{choice.failed_share:.0%} of the draws fail, {useless} of the valid ones are useless"
    )
    for problem in choice.problems:
        print(f"{name}: not accepted: {problem}")


def _summarise(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Print one table of what is recorded; with `--json` also write it."""
    head = ["task", "pipelines", "failed", "how", "useless", "best F1", "median", "total", "above limit"]
    lines = [head]
    for name in names:
        rows = list(read_rows(options.table, name, options.seed).values())
        lines.append([name, *task_figures(rows)] if rows else [name, "0", *"-------"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if options.json is not None:
        options.json.write_text(json.dumps([dict(zip(head, line, strict=True)) for line in lines[1:]], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
