"""Search strategies on recorded tasks, in simulated time: `python -m benchmarks.replay [--quick] [--json FILE]`.

Each recorded task is searched in turn through a surrogate of its recorded fine-tunes, knowing the experiences of the
other tasks only. A search ends after 60 trials or the recorded time. Definitions: `design.md`, section 5; surrogates
are validated first (`--no-validation` leaves that out). `area` is the mean hypervolume over the time in which the cold
published search used up its budget, `to cold` the time to its final hypervolume over its own time.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.replaying.simulate import Figures, figures, finish_times, run_strategy, time_to_reach, win_ratio
from benchmarks.replaying.strategies import STRATEGIES
from benchmarks.replaying.surrogate import validate
from benchmarks.replaying.tasks import RecordedTask, load_tasks
from xautolm.errors import UsageError, XAutoLMError
from xautolm.records import Experience, TrialResult

#: The strategy that the others' times and wins are measured against.
RIVAL = "published cold"
_LIBRARIES = ("xautolm", "optuna", "scikit-learn", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help="names, separated by commas (default: all recorded tasks)")
    parser.add_argument("--strategies", help="names, separated by commas (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="searches per strategy and task (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="3 seeds, no validation of the surrogates")
    parser.add_argument("--no-validation", action="store_true", help="do not validate the surrogates")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args(argv)
    try:
        return _run(options)
    except XAutoLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    names = options.strategies.split(",") if options.strategies else list(STRATEGIES)
    unknown = [name for name in names if name not in STRATEGIES]
    if unknown:
        raise UsageError(f"expected strategies out of {', '.join(STRATEGIES)}, got {unknown[0]!r}")
    names = [RIVAL, *(name for name in names if name != RIVAL)]
    n_seeds = 3 if options.quick else options.seeds
    started = time.monotonic()
    tasks, experiences = load_tasks(options.tasks.split(",") if options.tasks else None)
    validation = {} if options.quick or options.no_validation else _validated(tasks)
    records = [
        record
        for task in tasks
        for record in _replay_task(task, [e for e in experiences if e.dataset_id != task.name], names, n_seeds)
    ]
    result = {
        "strategies": _summary(records, names),
        "records": records,
        "surrogates": validation,
        "n_seeds": n_seeds,
        "wall_s": round(time.monotonic() - started, 1),
        **provenance(),
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _print(result, [task.name for task in tasks])
    return 0


def _validated(tasks: Sequence[RecordedTask]) -> dict[str, dict[str, float]]:
    found = {}
    for task in tasks:
        limits, size = task.plan.limits, task.plan.size
        models = task.plan.space.models
        found[task.name] = validate(task.results, models, size.n_train, limits.time_s, limits.memory_mib)
        told = ", ".join(f"{name} {value:.2f}" for name, value in found[task.name].items())
        print(f"surrogate of {task.name}: {told}", flush=True)
    return found


def _replay_task(
    task: RecordedTask, others: Sequence[Experience], names: Sequence[str], n_seeds: int
) -> list[dict[str, Any]]:
    """One record per strategy and seed, the rival first; the others' figures refer to the rival of the same seed."""
    records: list[dict[str, Any]] = []
    rivals: list[list[TrialResult]] = []
    for name in names:
        for seed in range(n_seeds):
            searcher = STRATEGIES[name](task, others, seed)
            began = time.process_time()
            results = run_strategy(searcher.asker, task.surrogate, task.facts, seed, searcher.stopper)
            spent_s = time.process_time() - began
            if name == RIVAL:
                rivals.append(results)
            records.append(_record(task, name, seed, results, rivals[seed]) | {"process_s": round(spent_s, 3)})
        print(f"{task.name}: {name} done", flush=True)
    return records


def _record(
    task: RecordedTask, name: str, seed: int, results: Sequence[TrialResult], rival: Sequence[TrialResult]
) -> dict[str, Any]:
    horizon_s = float(finish_times(rival)[-1])
    target = figures(rival, task.facts, horizon_s).volume
    found: Figures = figures(results, task.facts, horizon_s)
    reached_s = time_to_reach(results, task.facts, target)
    return {
        "task": task.name,
        "strategy": name,
        "seed": seed,
        **asdict(found),
        "n_stopped": sum(result.status == "stopped" for result in results),
        "to_cold": min(reached_s / horizon_s, 1e3) if np.isfinite(reached_s) else None,
        "win_ratio": win_ratio(results, rival) if any(result.is_ok for result in results) else None,
    }


_FIGURES = ("error_ratio", "useless_share", "mean_time_s", "best_f1", "volume", "area", "win_ratio")


def _summary(records: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Medians over tasks and seeds, and the average rank in area over tasks (of the mean over seeds)."""
    tasks = list(dict.fromkeys(record["task"] for record in records))
    area = {
        (name, task): np.mean([r["area"] for r in records if (r["strategy"], r["task"]) == (name, task)])
        for name in names
        for task in tasks
    }
    summary: dict[str, dict[str, Any]] = {}
    for name in names:
        own = [record for record in records if record["strategy"] == name]
        figures_ = {key: float(np.median([r[key] for r in own if r[key] is not None])) for key in _FIGURES}
        reached = [r["to_cold"] if r["to_cold"] is not None else np.inf for r in own]
        to_cold = float(np.median(reached))
        ranks = [1 + sum(bool(area[other, task] > area[name, task]) for other in names) for task in tasks]
        summary[name] = {
            **figures_,
            "mean_error_ratio": float(np.mean([r["error_ratio"] for r in own])),
            "to_cold": to_cold if np.isfinite(to_cold) else None,
            "rank": float(np.mean(ranks)),
            "n_first": sum(rank == 1 for rank in ranks),
        }
    return summary


def provenance() -> dict[str, Any]:
    """Commit, library versions and machine of figures."""
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": done.stdout.strip() or "unknown",
        "versions": {name: version(name) for name in _LIBRARIES},
        "machine": platform.platform(),
    }


def _print(result: dict[str, Any], tasks: Sequence[str]) -> None:
    head = ["strategy", "errors", "useless", "mean time", "peak F1", "hypervolume", "area", "to cold", "wins", "rank"]
    lines = [head]
    for name, s in result["strategies"].items():
        to_cold = "never" if s["to_cold"] is None else f"{s['to_cold']:.2f}"
        lines.append(
            [
                name, f"{s['mean_error_ratio']:.1%}", f"{s['useless_share']:.0%}", f"{s['mean_time_s']:.1f} s",
                f"{s['best_f1']:.3f}", f"{s['volume']:.3f}", f"{s['area']:.3f}", to_cold, f"{s['win_ratio']:.2f}",
                f"{s['rank']:.1f}",
            ]
        )  # fmt: skip
    per_task = [["area by task", *tasks]]
    for name in result["strategies"]:
        own = [r for r in result["records"] if r["strategy"] == name]
        spread = [[r["area"] for r in own if r["task"] == task] for task in tasks]
        per_task.append([name, *(f"{np.mean(v):.3f} +- {np.std(v):.3f}" for v in spread)])
    print(f"\n{result['n_seeds']} seeds, {result['wall_s']:.0f} s, commit {result['commit']}\n")
    for table in (per_task, lines):
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        print()


if __name__ == "__main__":
    sys.exit(main())
