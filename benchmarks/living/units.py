"""One strategy on one task with one seed: processes of its own, started, watched and ended from outside.

The clock starts before the first process does and its end is hard: whoever still runs is killed with everything below
it. A trial counts when its line stands in the strategy's journal, which is looked at ten times a second, so that all
strategies are timed by the same clock.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.living.child import Orders
from benchmarks.living.figures import Ended
from benchmarks.tuning.units import Row, environment
from xautolm.errors import RunError
from xautolm.evaluate import process_tree
from xautolm.experience.journal import read_journal
from xautolm.records import TrialResult

_TICK_S = 0.1
#: Lines of a log that are shown when a strategy breaks down.
_N_LINES = 12


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way of searching.

    Attributes:
        name: as the tables call it.
        module: of `benchmarks.living`, which is run.
        is_warm: whether it knows the starter store.
    """

    name: str
    module: str
    is_warm: bool = False

    @property
    def is_trainer(self) -> bool:
        """Whether the Trainer does it."""
        return self.module == "trainer"


WARM, COLD, TRAINER, RANDOM = "ours warm", "ours cold", "Trainer + Optuna TPE", "random"
STRATEGIES = (
    Strategy(WARM, "ours", is_warm=True),
    Strategy(COLD, "ours"),
    Strategy(TRAINER, "trainer"),
    Strategy(RANDOM, "uniform"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy did within its time.

    Attributes:
        trials: in the order in which they ended.
        wall_s: until the last process had ended or was ended.
        exit_codes: of the processes; None = its time was over.
        problem: the last that a process printed which ended with an error; empty when none did.
    """

    trials: tuple[Ended, ...]
    wall_s: float
    exit_codes: tuple[int | None, ...]
    problem: str = ""


def run_strategy(strategy: Strategy, orders: Orders) -> Outcome:
    """Run a strategy to its end.

    Args:
        strategy: which.
        orders: what it is told; its time begins now.

    Raises:
        RunError: it broke down in the first half of its time without any trial, so that there is nothing to compare.
    """
    folder = Path(orders.folder)
    orders.run.parent.mkdir(parents=True)
    if strategy.is_trainer:
        orders.run.mkdir()
    orders = replace(orders, started=time.monotonic())
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for worker in range(orders.n_workers):
            processes.append(_start(strategy, replace(orders, worker=worker), folder))
        seen = watch([process.poll for process in processes], orders)
        codes = tuple(process.poll() for process in processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process_tree.kill(process.pid, {})
            process.wait()
    wall_s = time.monotonic() - orders.started
    trials = ended_trials(orders, seen)
    problem = "\n".join(f"exit code {code}: {_last_lines(folder / f'log-{i}')}" for i, code in enumerate(codes) if code)
    if problem and not trials and wall_s < orders.seconds / 2:
        raise RunError(f"`{strategy.name}` broke down after {wall_s:.0f} s without a trial:\n{problem}")
    return Outcome(trials, wall_s, codes, problem)


def _start(strategy: Strategy, orders: Orders, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / f"orders-{orders.worker}.json"
    orders.write(path)
    threads = 1 if strategy.is_trainer and orders.has_our_settings else None
    with (folder / f"log-{orders.worker}").open("wb") as log:
        return subprocess.Popen(
            command_of(strategy, path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(Row(strategy.name, strategy.module, {}, threads)),
            start_new_session=True,  # Ctrl-C goes to the benchmark only
        )


def command_of(strategy: Strategy, orders: Path) -> list[str]:
    """What starts a process of a strategy."""
    return [sys.executable, "-m", f"benchmarks.living.{strategy.module}", str(orders)]


def watch(polls: Sequence[Callable[[], int | None]], orders: Orders) -> dict[int, float]:
    """Wait until the time is over or all processes have ended.

    Args:
        polls: give the exit code of a process, None while it runs.
        orders: of the strategy.

    Returns:
        Trial id -> seconds since the start at which its line was seen.
    """
    seen: dict[int, float] = {}
    length = 0
    while True:
        is_over = orders.remaining_s <= 0 or all(poll() is not None for poll in polls)
        now = orders.seconds - orders.remaining_s
        size = orders.journal.stat().st_size if orders.journal.exists() else 0
        if size != length:
            length = size
            for result in _journal(orders):
                seen.setdefault(result.trial_id, min(now, orders.seconds))
        if is_over:
            return seen
        time.sleep(min(_TICK_S, max(orders.remaining_s, 0.0)))


def ended_trials(orders: Orders, seen: dict[int, float]) -> tuple[Ended, ...]:
    """The trials of a journal that were seen in time, in the order in which they ended."""
    found = [Ended(result, seen[result.trial_id]) for result in _journal(orders) if result.trial_id in seen]
    return tuple(sorted(found, key=lambda trial: trial.ended_s))


def _journal(orders: Orders) -> list[TrialResult]:
    return read_journal(orders.journal, repair=False)


def prior_of(orders: Orders) -> dict[str, object] | None:
    """What a run of ours says about its prior; None for other strategies."""
    with contextlib.suppress(OSError, ValueError):
        prior = json.loads((orders.run / "run.json").read_text(encoding="utf-8")).get("prior")
        return dict(prior) if prior else None
    return None


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-_N_LINES:])


def warm_up() -> None:
    """Read everything that strategies import once, or the first of them would pay for a cold disk."""
    libraries = "torch, transformers, datasets, peft, optuna, sklearn, xautolm.run"
    command = [sys.executable, "-c", f"import {libraries}"]
    done = subprocess.run(command, env=environment(Row("", "", {})), capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise RunError(f"expected {libraries} to be installed, which the strategies need: {' '.join(last)}")
