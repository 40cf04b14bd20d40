"""Uniform draws of our whole space in our own workers: `python -m benchmarks.living.uniform ORDERS`.

Nothing is proposed, profiled or left out, however dear; limits, workers and the rescue of trials that run out of
memory are those that `fit` would have. Draws go on until the process is ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from benchmarks.living.child import Orders, receive
from benchmarks.living.ours import fields_of
from benchmarks.recording.space import draw_pipeline
from xautolm import planning, preparation
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.config import make_settings
from xautolm.evaluate.isolate import WorkerServer
from xautolm.experience.journal import Journal
from xautolm.finish import write_rows
from xautolm.pareto import recommend
from xautolm.recording import Silent
from xautolm.records import Objective, Trial, TrialResult
from xautolm.search.loop import Backend, trial_seed
from xautolm.space.params import Space

_POLL_S = 0.2


def main(orders: Orders) -> None:
    """Evaluate draw after draw."""
    folder = orders.run
    (folder / "work").mkdir(parents=True)
    server = WorkerServer(folder / "work" / "server.log")
    try:
        server.start()
        settings = make_settings(fields_of(orders))
        subject = preparation.describe(settings, Silent())
        space = planning.whole_space(settings, subject)
        slots = planning.choose_machine(settings, subject.models)
        limits = planning.trial_limits(settings, slots)
        write_rows(folder / "work" / "data", subject.task)
        context = TrialContext(folder, space.models, limits.time_s, limits.memory_mib, settings.seed)
        with Journal(orders.journal) as journal:
            backend, trials = LocalBackend(server, slots, context), draws(space, orders.seed)
            evaluate(backend, trials, journal, folder / "checkpoints", settings.parsed_objectives)
    finally:
        server.close()


def draws(space: Space, seed: int) -> Iterator[Trial]:
    """Trials without end."""
    for i in count():
        yield Trial(i, draw_pipeline(space, seed, i), trial_seed(seed, i))


def evaluate(
    backend: Backend, trials: Iterator[Trial], journal: Journal, checkpoints: Path, objectives: Sequence[Objective]
) -> None:
    """Keep all slots busy; journal what ends, and keep the checkpoint of the best alone.

    Ends when the trials do.
    """
    n_running, results, waiting = 0, list[TrialResult](), next(trials, None)
    while waiting is not None or n_running:
        while waiting is not None and n_running < backend.n_slots:
            backend.submit(waiting)
            n_running += 1
            waiting = next(trials, None)
        for result in backend.poll(_POLL_S):
            n_running -= 1
            if result.status != "interrupted":
                journal.append(result)
                results.append(result)
                _prune(checkpoints, results, objectives)


def _prune(checkpoints: Path, results: Sequence[TrialResult], objectives: Sequence[Objective]) -> None:
    """Remove the checkpoints of recorded trials but the one that would be handed over."""
    best = recommend(results, objectives)
    for result in results:
        if result.trial_id != best:
            shutil.rmtree(checkpoints / str(result.trial_id), ignore_errors=True)


if __name__ == "__main__":
    main(receive())
