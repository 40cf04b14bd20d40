"""Search strategies on recorded tasks, in simulated time: `python -m benchmarks.replay [--quick] [--ablations]`.

Each recorded task is searched in turn through a surrogate of its recorded fine-tunes, knowing the experiences of the
other tasks only. A search ends after 60 trials or the recorded time. Definitions: `design.md`, section 5; surrogates
are validated first (`--no-validation` leaves that out). `area` is the mean hypervolume over the time in which the cold
published search used up its budget, `to cold` the time to its final hypervolume over its own whole time, `of its own`
the same over the time at which it got there itself.

Searches are kept in `runs/replay-cache` by the version of their strategy's code, so that a rerun searches only what
changed. `--record` writes the result to `benchmarks/results/replay.json` and adds it to `benchmarks/history.csv`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.replaying import history, tables
from benchmarks.replaying.cache import CACHE, Cache, Search
from benchmarks.replaying.comparison import paired, quartiles, summaries
from benchmarks.replaying.figures import curve, figures_against, front, time_grid
from benchmarks.replaying.numbers import NEEDED, numbers
from benchmarks.replaying.searches import Key, search_all
from benchmarks.replaying.simulate import TaskFacts, finish_times
from benchmarks.replaying.strategies import ABLATIONS, ENTRIES, OURS, OURS_COLD, RIVAL, STRATEGIES
from benchmarks.replaying.surrogate import validate
from benchmarks.replaying.tasks import load_facts, load_tasks
from benchmarks.replaying.versions import surrogate_version
from xautolm.errors import UsageError, XAutoLMError

RESULT = Path(__file__).parent / "results" / "replay.json"
_LIBRARIES = ("xautolm", "optuna", "smac", "syne-tune", "scikit-learn", "scipy", "numpy")
_QUICK_SEEDS = 3
_DIGITS = 5

Found = Mapping[Key, Search]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help="names, separated by commas (default: all recorded tasks)")
    parser.add_argument("--strategies", help="names, separated by commas (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="searches per strategy and task (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="3 seeds, no slow strategies, no validation")
    parser.add_argument("--ablations", action="store_true", help="also our search without each of its parts")
    parser.add_argument("--no-validation", action="store_true", help="do not validate the surrogates")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of kept searches (default: %(default)s)")
    parser.add_argument("--no-cache", action="store_true", help="search everything again and keep nothing")
    parser.add_argument("--jobs", type=int, default=1, help="processes that search at the same time")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--record", action="store_true", help="write the committed result and a line of its history")
    options = parser.parse_args(argv)
    try:
        return _run(options)
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    if options.seeds < 1 or options.jobs < 1:
        raise UsageError(f"`--seeds` and `--jobs` must be at least 1, got {options.seeds!r} and {options.jobs!r}")
    names = chosen(options.strategies, is_quick=options.quick, with_ablations=options.ablations)
    started = time.monotonic()
    facts = load_facts(options.tasks.split(",") if options.tasks else None)
    cache = Cache(None if options.no_cache else options.cache)
    is_validated = not (options.quick or options.no_validation)
    validation = validated([task.name for task in facts], cache) if is_validated else {}
    n_seeds = _QUICK_SEEDS if options.quick else options.seeds
    found = dict(search_all([task.name for task in facts], names, n_seeds, cache, options.jobs))
    result = result_of(found, facts, names) | {
        "surrogates": validation,
        "wall_s": round(time.monotonic() - started, 1),
        "searched_s": round(sum(search.process_s for search in found.values()), 1),
        **provenance(),
    }
    text = serialised(result)
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    if options.record:
        RESULT.write_text(text, encoding="utf-8")
        history.append(json.loads(text))  # as rounded there, so that both tell the same
    _print(result)
    return 0


def chosen(wanted: str | None, *, is_quick: bool, with_ablations: bool) -> list[str]:
    """The strategies to run, the rival among them; those that are not installed are named and left out.

    Args:
        wanted: names separated by commas; None = all of the table.
        is_quick: whether those that are slow are left out.
        with_ablations: whether our search without its parts is run too.

    Raises:
        UsageError: a name is unknown.
    """
    names = wanted.split(",") if wanted else list(STRATEGIES)
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        raise UsageError(f"expected strategies out of {', '.join(ENTRIES)}, got {unknown[0]!r}")
    all_names = {*names, RIVAL, *((OURS, OURS_COLD, *ABLATIONS) if with_ablations else ())}
    if is_quick:
        all_names -= {name for name in all_names if ENTRIES[name].max_seeds is not None}
    missing = [name for name in ENTRIES if name in all_names and not ENTRIES[name].is_installed]
    for name in missing:
        print(f"left out: {name}, package `{ENTRIES[name].package}` is not installed (`pip install .[benchmarks]`)")
    return [name for name in ENTRIES if name in all_names and name not in missing]


def validated(names: Sequence[str], cache: Cache) -> dict[str, dict[str, float]]:
    """How well the surrogates of tasks know what they have not seen; kept like searches are."""
    found = {}
    for name in names:
        path = cache.path(name, "surrogate", 0, surrogate_version(name))
        told = cache.read_json(path)
        if told is None:
            (task,), _ = load_tasks([name])
            limits = task.plan.limits
            told = validate(
                task.results, task.plan.space.models, task.plan.size.n_train, limits.time_s, limits.memory_mib
            )
            cache.write_json(path, told)
        found[name] = told
        print(f"surrogate of {name}: {', '.join(f'{key} {value:.2f}' for key, value in told.items())}", flush=True)
    return found


def result_of(found: Found, facts: Sequence[TaskFacts], names: Sequence[str]) -> dict[str, Any]:
    """Everything that is told of searches: records, summaries, tests, numbers, and what plots need of each task."""
    records = [
        {"task": task.name, "strategy": name, "seed": seed}
        | figures_against(search.results, found[task.name, RIVAL, seed].results, task)
        | {"process_s": search.process_s}
        for task in facts
        for name in names
        for (where, strategy, seed), search in sorted(found.items())
        if (where, strategy) == (task.name, name)
    ]
    compared = [name for name in names if name in STRATEGIES]
    ablated = [name for name in names if name in ABLATIONS]
    whole = [name for name in (OURS_COLD, OURS) if name in names]
    has_ours, has_all = OURS in names, set(NEEDED) <= set(names)
    return {
        "strategies": summaries(records, compared),
        "ablations": summaries(records, [*whole, *ablated]) if ablated else {},
        "paired": paired(records, compared) if has_ours else {},
        "paired_ablations": paired(records, [*whole, *ablated]) if has_ours and ablated else {},
        "numbers": [asdict(number) for number in numbers(records, compared)] if has_all else [],
        "tasks": {task.name: _plotted(found, task, names) for task in facts},
        "records": records,
    }


def _plotted(found: Found, task: TaskFacts, names: Sequence[str]) -> dict[str, Any]:
    """Anytime curves of a task, quartiles over seeds on one time grid, and the front of a median search."""
    own = {
        name: [
            search.results
            for (where, strategy, _), search in sorted(found.items())
            if (where, strategy) == (task.name, name)
        ]
        for name in names
    }
    horizon_s = float(np.median([finish_times(results)[-1] for results in own[RIVAL]]))
    grid = time_grid(horizon_s)
    curves, fronts = {}, {}
    for name, searches in own.items():
        grown = np.stack([curve(results, task, grid) for results in searches])
        spread = [quartiles(column) for column in grown.T]
        curves[name] = {key: [q[i] for q in spread] for i, key in enumerate(("low", "middle", "high"))}
        by_final = np.argsort(grown[:, -1], kind="stable")
        fronts[name] = front(searches[int(by_final[len(by_final) // 2])])
    limits = {"constant_f1": task.constant_f1, "time_limit_s": task.time_limit_s}
    return {**limits, "horizon_s": horizon_s, "grid_s": grid.tolist(), "curves": curves, "fronts": fronts}


def provenance() -> dict[str, Any]:
    """Date, commit, library versions and machine of figures."""
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": done.stdout.strip() or "unknown",
        "versions": {name: found for name in _LIBRARIES if (found := _installed(name)) is not None},
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def serialised(result: Mapping[str, Any]) -> str:
    """JSON with a line per record, curve and front, numbers rounded: small, and readable in a diff."""

    def told(value: Any) -> str:
        return json.dumps(_rounded(value), separators=(", ", ": "))

    parts = []
    for key, value in result.items():
        if isinstance(value, list):
            parts.append(f'"{key}": [\n' + ",\n".join(told(item) for item in value) + "\n]")
        elif isinstance(value, dict) and value and all(isinstance(item, dict) for item in value.values()):
            lines = (f"{told(name)}: {told(item)}" for name, item in value.items())
            parts.append(f'"{key}": {{\n' + ",\n".join(lines) + "\n}")
        else:
            parts.append(f'"{key}": {told(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _print(result: Mapping[str, Any]) -> None:
    told = ", ".join(f"{name} {found}" for name, found in result["versions"].items())
    print(f"\n{result['wall_s']:.0f} s, {result['searched_s']:.0f} s of searches in all, commit {result['commit']}")
    print(f"{told}\n")
    compared = result["strategies"]
    parts = [tables.areas({**compared, **result["ablations"]}, result["records"])]
    if result["paired"]:
        parts.append(tables.tests(result["paired"], OURS))
    if result["ablations"]:
        parts.append(tables.ablations(result["ablations"], result["paired_ablations"]))
    if result["numbers"]:
        parts.append(tables.numbers(result["numbers"]))
    parts.append(tables.figures(compared))
    print("\n\n".join(tables.laid_out(part) for part in parts))


if __name__ == "__main__":
    sys.exit(main())
