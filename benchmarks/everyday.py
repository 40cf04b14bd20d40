"""Record fine-tunes as runs of the product launch them: `python -m benchmarks.everyday`.

The defaults of all methods and models, then draws that are expected to fit, on up to 4,000 rows under the limits of a
run of six minutes. They are experience only: nothing is replayed on them. A call goes on where an earlier one, stopped
or killed, left off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recorded import EVERYDAY
from benchmarks.recording.card import task_figures, write_everyday_card
from benchmarks.recording.everyday import everyday_session
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.session import deadline, open_session, record_task
from benchmarks.recording.subsets import DEFAULT_DATA, MORE_SOURCES, SOURCES, SubsetSize, has_data
from xautolm.errors import UsageError, XAutoLMError
from xautolm.interrupts import StopRequest
from xautolm.metafeatures.machine import usable_cores
from xautolm.space.feasibility import Limits

EXIT_INTERRUPTED = 130
TASKS = (*SOURCES, *MORE_SOURCES)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 130 when it was interrupted, everything finished is kept."""
    options = _parser().parse_args(argv)
    try:
        with StopRequest(lambda: print("stopping; everything finished is kept", flush=True)) as stop:
            _record(options, stop)
            return EXIT_INTERRUPTED if stop.is_requested() else 0
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.everyday", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--n", type=int, default=40, help="pipelines per task (default: %(default)s)")
    parser.add_argument("--train", type=int, default=4000, help="training rows at most (default: %(default)s)")
    parser.add_argument("--valid", type=int, default=500, help="validation rows at most (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=45.0, help="seconds per trial (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=4096.0, help="MiB per trial (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="trials side by side, one thread each (default: usable cores)")
    parser.add_argument("--minutes", type=float, help="launch nothing more after so long (default: no limit)")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA, help="one folder per task")
    parser.add_argument("--table", type=Path, default=EVERYDAY, help="folder of the table (default: %(default)s)")
    return parser


def _record(options: argparse.Namespace, stop: StopRequest) -> None:
    names = [name for name in options.tasks.split(",") if name]
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise UsageError(f"expected tasks out of {', '.join(TASKS)} for `--tasks`, got {unknown[0]!r}")
    with open_session(
        options.table,
        options.workers or usable_cores(),
        data=options.data_dir,
        is_out=deadline(options.minutes),
        should_stop=stop.is_requested,
        log=lambda line: print(line, flush=True),
    ) as session:
        for name in names:
            if not has_data(options.data_dir, name):
                print(f"{name}: skipped, no training and validation file in `{options.data_dir / name}`")
            elif not (session.is_out() or session.should_stop()):
                size, limits = SubsetSize(options.train, options.valid), Limits(options.limit, options.memory)
                record_task(everyday_session(session, name, size, limits), name, range(options.n))
                write_everyday_card(options.table)
    for name in names:
        rows = list(read_rows(options.table, name, 0).values())
        print("  ".join([name, *task_figures(rows)]) if rows else f"{name}  0")


if __name__ == "__main__":
    sys.exit(main())
