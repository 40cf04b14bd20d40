"""All searches of a replay: those that are kept are read, the others run, in several processes if wanted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.replaying.cache import Cache, Search
from benchmarks.replaying.simulate import run_strategy
from benchmarks.replaying.strategies import ENTRIES
from benchmarks.replaying.tasks import RecordedTask, load_tasks
from benchmarks.replaying.versions import version_of
from xautolm.records import Experience

#: (task, strategy, seed) -> what came of it.
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Unit:
    """Searches of one strategy on one task that have to be run, with the files that keep them."""

    task: str
    strategy: str
    seeds: tuple[tuple[int, Path | None], ...]


def search_all(
    tasks: Sequence[str], names: Sequence[str], n_seeds: int, cache: Cache, n_jobs: int = 1
) -> Iterator[tuple[Key, Search]]:
    """Every search, those that are kept first.

    Args:
        tasks: names of recorded tasks.
        names: of strategies that are installed.
        n_seeds: searches per strategy and task; fewer for strategies that have a limit of their own.
        cache: of finished searches.
        n_jobs: processes that search at the same time.
    """
    units = []
    for task in tasks:
        for name in names:
            missing = []
            for seed, path in _places(task, name, n_seeds, cache):
                found = cache.read(path)
                if found is None:
                    missing.append((seed, path))
                else:
                    yield (task, name, seed), found
            if missing:
                units.append(Unit(task, name, tuple(missing)))
    for unit, found_of in _run(units, n_jobs):
        for (seed, _), search in zip(unit.seeds, found_of, strict=True):
            yield (unit.task, unit.strategy, seed), search


def _places(task: str, name: str, n_seeds: int, cache: Cache) -> Iterator[tuple[int, Path | None]]:
    entry = ENTRIES[name]
    version = version_of(entry, task)
    for seed in range(min(n_seeds, entry.max_seeds or n_seeds)):
        yield seed, cache.path(task, name, seed, version)


def _run(units: Sequence[Unit], n_jobs: int) -> Iterator[tuple[Unit, list[Search]]]:
    if n_jobs == 1 or len(units) < 2:
        for unit in units:
            yield unit, search_unit(unit)
            _tell(unit)
        return
    # One thread per process; new interpreters, because libraries that have run threads do not survive a fork.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn")) as pool:
        waiting: dict[Future[list[dict[str, Any]]], Unit] = {pool.submit(_told, unit): unit for unit in units}
        try:
            for done in as_completed(waiting):
                yield waiting[done], [Search.from_dict(told) for told in done.result()]
                _tell(waiting[done])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _told(unit: Unit) -> list[dict[str, Any]]:
    """The searches of a unit in a form that goes from process to process."""
    return [search.to_dict() for search in search_unit(unit)]


def _tell(unit: Unit) -> None:
    print(f"{unit.task}: {unit.strategy} done", flush=True)


def search_unit(unit: Unit) -> list[Search]:
    """Run the searches of a unit and keep each as soon as it is finished."""
    task, others = _task(unit.task)
    cache, found = Cache(), []
    for seed, path in unit.seeds:
        began = time.process_time()
        searcher = ENTRIES[unit.strategy].make(task, others, seed)
        results = run_strategy(searcher.asker, task.surrogate, task.facts, seed, searcher.stopper)
        found.append(Search.of(results, time.process_time() - began))
        cache.write(path, found[-1])
    return found


@lru_cache(maxsize=8)
def _task(name: str) -> tuple[RecordedTask, list[Experience]]:
    """A task with its surrogate, and the experiences of all others; made once per process."""
    (task,), experiences = load_tasks([name])
    return task, [experience for experience in experiences if experience.dataset_id != name]
