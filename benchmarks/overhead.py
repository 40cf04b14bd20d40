"""What the machinery costs beside training: `python -m benchmarks.overhead [--quick] [--only NAME,...] [--json FILE]`.

Store: how fast experiences are written, loaded and made into a prior, how much memory that takes, and whether processes
that write at the same time lose or double any. Each figure stands beside what it must be, and time beside processor
seconds, which depend less on what else the machine does. Another measurement is one more function in `MEASUREMENTS`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.postgres import postgres_server
from benchmarks.proposing import propose_all
from benchmarks.recording.provenance import commit
from benchmarks.recording.space import recorded_space
from benchmarks.synthetic import make_experiences
from xautolm.config import make_settings
from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.store import ExperienceStore
from xautolm.metafeatures.machine import machine_facts
from xautolm.preparation import library_versions
from xautolm.prior.similarity import distances
from xautolm.records import Split, Task
from xautolm.warmstart import make_prior, past_trials

KIND = "text-classification"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        small: experiences of a store that is loaded whole.
        large: experiences of a store of which a prior reads the nearest.
        n_profiles: tasks whose distances are measured.
        n_processes: writers at the same time.
        n_trials: trials that each of them writes, one at a time.
        n_proposals: trials of a run whose proposals are timed.
        n_flat: proposals over which memory must not grow.
    """

    small: int = 10_000
    large: int = 100_000
    n_profiles: int = 5_000
    n_processes: int = 8
    n_trials: int = 500
    n_proposals: int = 1_000
    n_flat: int = 5_000


QUICK = Sizes(small=1_000, large=5_000, n_profiles=500, n_processes=4, n_trials=25, n_proposals=30, n_flat=40)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        what: in words.
        value: as measured.
        unit: of the value.
        bound: what the value must be at least or at most; None = no requirement.
        at: which side of the bound is good.
    """

    what: str
    value: float
    unit: str
    bound: float | None = None
    at: Literal["most", "least"] = "most"

    @property
    def is_met(self) -> bool:
        """Whether the value is on the good side of its bound."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.at == "most" else self.value >= self.bound


Measurement = Callable[[Sizes, Path], list[Figure]]


def ingest(sizes: Sizes, folder: Path) -> list[Figure]:
    """Experiences per second that one `add` writes to a new SQLite store."""
    new = list(make_experiences(sizes.small, recorded_space()))
    with ExperienceStore(f"sqlite:///{folder / 'ingest.db'}") as store, _timed() as spent:
        n_added = store.add(new)
    assert n_added == sizes.small
    what = f"ingest, SQLite, {sizes.small:,} at once"
    return [
        Figure(what, n_added / spent.wall_s, "per s", 5_000, "least"),
        Figure(f"{what}: per second of processor", n_added / spent.processor_s, "per s"),
    ]


def load(sizes: Sizes, folder: Path) -> list[Figure]:
    """Opening a store and loading all of it, in a process of its own."""
    url = _filled_store(folder / "small.db", sizes.small)
    found = in_new_process(_load_all, url)
    assert found["n"] == sizes.small
    what = f"store of {sizes.small:,}"
    return [
        Figure(f"{what}: opened and loaded", found["wall_s"], "s", 1.0),
        Figure(f"{what}: opened and loaded, processor", found["processor_s"], "s"),
        Figure(f"{what}: peak memory of the process", found["peak_mib"], "MiB"),
    ]


def prior(sizes: Sizes, folder: Path) -> list[Figure]:
    """Building the priors of a run from a large store, nearest tasks first, each in a process of its own."""
    url = _filled_store(folder / "large.db", sizes.large)
    figures = list[Figure]()
    for kind in ("learned", "reference"):
        found = in_new_process(_build_prior, url, kind)
        what = f"store of {sizes.large:,}: {kind} prior"
        figures += [
            Figure(f"{what} of {found['n']:,.0f} experiences, opening included", found["wall_s"], "s", 10.0),
            Figure(f"{what}: processor", found["processor_s"], "s"),
            Figure(f"{what}: peak memory of the process", found["peak_mib"], "MiB", 1024.0),
        ]
    return figures


def distance(sizes: Sizes, folder: Path) -> list[Figure]:
    """Measuring how far the profiles of a store are from one of them."""
    figures = []
    made = make_experiences(sizes.n_profiles, recorded_space(), n_tasks=sizes.n_profiles, n_trials=1)
    profiles = [experience.profile for experience in made]
    for n in sorted({min(100, sizes.n_profiles), sizes.n_profiles}):
        distances(profiles[0], profiles[:2])  # what is imported at the first call
        with _timed() as spent:
            distances(profiles[0], profiles[:n])
        figures.append(Figure(f"distances to {n:,} profiles", 1000 * spent.wall_s, "ms"))
    return figures


def writers_sqlite(sizes: Sizes, folder: Path) -> list[Figure]:
    """Processes that write to one SQLite file at the same time."""
    return _write_together("SQLite", f"sqlite:///{folder / 'shared.db'}", sizes)


def writers_postgresql(sizes: Sizes, folder: Path) -> list[Figure]:
    """Processes that write to one PostgreSQL database at the same time."""
    with postgres_server() as server, server.database() as url:
        return _write_together("PostgreSQL", url, sizes)


def proposals(sizes: Sizes, folder: Path) -> list[Figure]:
    """Processor time of the default search's proposals, refits included, and whether memory stays flat."""
    found = in_new_process(propose_all, sizes.n_proposals, sizes.small, sizes.n_flat)
    run = f"{sizes.n_proposals:,} trials, prior of {sizes.small:,} experiences"
    return [
        Figure(f"proposal, mean over {run}", found["mean_ms"], "ms", 50),
        Figure("proposal, last tenth of that run", found["last_ms"], "ms"),
        Figure(f"memory growth over {sizes.n_flat:,} proposals", found["growth_mib"], "MiB", 20),
        Figure(f"learning the prior from {sizes.small:,} experiences", found["prior_s"], "s"),
    ]


#: Name -> measurement, in the order of the table.
MEASUREMENTS: dict[str, Measurement] = {
    "ingest": ingest,
    "load": load,
    "prior": prior,
    "distance": distance,
    "writers-sqlite": writers_sqlite,
    "writers-postgresql": writers_postgresql,
    "proposals": proposals,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 = every figure is what it must be, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="names (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write figures and provenance to this file")
    options = parser.parse_args(argv)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        parser.error(f"expected names out of {', '.join(MEASUREMENTS)}, got {', '.join(unknown)}")
    sizes = QUICK if options.quick else Sizes()
    figures = list[Figure]()
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            print(f"measuring {name} ...", flush=True)
            figures += MEASUREMENTS[name](sizes, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(_document(figures, sizes), indent=1) + "\n", encoding="utf-8")
    print(table(figures))
    return 0 if all(figure.is_met for figure in figures) else 1


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | measured | must be | |", "|---|---:|---:|---|"]
    for figure in figures:
        bound = "" if figure.bound is None else f"at {figure.at} {figure.bound:,.6g} {figure.unit}"
        digits = 2 if abs(figure.value) < 100 and figure.unit == "s" else 0
        met = "" if figure.bound is None else ("ok" if figure.is_met else "NOT MET")
        lines.append(f"| {figure.what} | {figure.value:,.{digits}f} {figure.unit} | {bound} | {met} |")
    return "\n".join(lines)


def _document(figures: Sequence[Figure], sizes: Sizes) -> dict[str, object]:
    provenance = {"commit": commit(), "versions": library_versions(), "machine": machine_facts()}
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows = [{**asdict(figure), "is_met": figure.is_met} for figure in figures]
    return {"figures": rows, "sizes": asdict(sizes), "load_average": load_average, **provenance}


def _filled_store(path: Path, n: int) -> str:
    url = f"sqlite:///{path}"
    with ExperienceStore(url) as store:
        store.add(make_experiences(n, recorded_space()))
    return url


def in_new_process(job: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run a job where nothing was allocated before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def _load_all(url: str) -> dict[str, float]:
    with _timed() as spent, ExperienceStore(url) as store:
        loaded = store.load()
    return {"n": len(loaded), **asdict(spent), "peak_mib": peak_mib()}


def _build_prior(url: str, kind: str) -> dict[str, float]:
    """As a run does it, for one of the tasks in the store, whose own experiences are left out by name."""
    space = recorded_space()
    with ExperienceStore(url) as store:
        current = store.groups(KIND)[0]
    settings = make_settings({"data": "made-up.csv", "prior": kind, "exclude_dataset": [current.dataset_id]})
    with _timed() as spent, ExperienceStore(url) as store:
        rated = past_trials(settings, store, _task_of(current), current.profile)
        warm = make_prior(settings, space, rated, current.profile)
    return {"n": warm.n_experiences, **asdict(spent), "peak_mib": peak_mib()}


def _task_of(group: ExperienceGroup) -> Task:
    """The task of some experiences, as far as a prior asks for it: without rows."""
    nothing = Split((), None, ())
    identity = {"fingerprint": group.fingerprint, "sketch": group.sketch}
    return Task(group.dataset_id, group.kind, (), nothing, nothing, None, {}, {}, **identity)  # type: ignore[arg-type]


@dataclass(slots=True)
class Spent:
    """Seconds of the clock and of the processor (this process)."""

    wall_s: float = 0.0
    processor_s: float = 0.0


@contextmanager
def _timed() -> Iterator[Spent]:
    """Filled in when the block is over."""
    spent = Spent()
    wall_s, processor_s = time.perf_counter(), time.process_time()
    yield spent
    spent.wall_s, spent.processor_s = time.perf_counter() - wall_s, time.process_time() - processor_s


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB (Linux; what `ru_maxrss` says is inherited)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _write_together(name: str, url: str, sizes: Sizes) -> list[Figure]:
    """Let processes write trials of their own, one at a time as runs do, and count what arrived."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(sizes.n_processes + 1)
    arguments = [(url, number, sizes.n_trials, barrier) for number in range(sizes.n_processes)]
    writers = [context.Process(target=_write, args=given) for given in arguments]
    for writer in writers:
        writer.start()
    barrier.wait()
    with _timed() as spent:
        for writer in writers:
            writer.join()
    assert [writer.exitcode for writer in writers] == [0] * len(writers)
    with ExperienceStore(url) as store:
        arrived = [(e.run_id, e.result.trial_id) for e in store.iterate()]
    expected = {(f"run-{n}", trial_id) for n in range(sizes.n_processes) for trial_id in range(sizes.n_trials)}
    what = f"{sizes.n_processes} processes x {sizes.n_trials} trials, {name}"
    return [
        Figure(f"{what}: rows", len(arrived), "", len(expected), "least"),
        Figure(f"{what}: lost", len(expected - set(arrived)), "", 0),
        Figure(f"{what}: twice", len(arrived) - len(set(arrived)), "", 0),
        Figure(f"{what}: time", spent.wall_s, "s"),
    ]


def _write(url: str, number: int, n_trials: int, barrier: object) -> None:
    """One process: opens the store (creating it, if it is first) when all are ready, and adds trial by trial."""
    trials = make_experiences(n_trials, recorded_space(), n_trials=n_trials, seed=number)
    new = [replace(trial, run_id=f"run-{number}") for trial in trials]
    barrier.wait()  # type: ignore[attr-defined]
    with ExperienceStore(url, busy_timeout_s=60.0) as store:
        for trial in new:
            assert store.add([trial]) == 1


if __name__ == "__main__":
    raise SystemExit(main())
