"""What a store that lies costs: `python -m benchmarks.adversarial [--seeds 20] [--json FILE]`.

Each seed is a made-up task on the fake evaluators (`replaying.analytic`), searched cold, with the truth about four
other tasks, and with the same store in which scores and failures are reversed. Hypervolume: `design.md`, section 5,
after all trials and after the first third. Differences are paired by seed, with 90 % bootstrap intervals of their mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.replay import provenance
from benchmarks.replaying.analytic import made_up_task, past_of
from benchmarks.replaying.figures import volumes
from benchmarks.replaying.ours import (
    Direct,
    ours_cold,
    ours_misled,
    ours_misled_knn,
    ours_misled_reference,
    ours_warm,
)
from benchmarks.replaying.searcher import Strategy
from benchmarks.replaying.simulate import run_strategy
from benchmarks.replaying.tasks import N_TRIALS
from xautolm.records import FAILURES
from xautolm.search.ranking import Ranking

#: What the others are compared with.
COLD = "cold"
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        COLD: ours_cold,
        "learned, truthful": ours_warm,
        "learned, adversarial": ours_misled,
        "reference, adversarial": ours_misled_reference,
        "knn, adversarial": ours_misled_knn,
    }
)
_N_BOOTSTRAP, _INTERVAL = 10_000, (5.0, 95.0)
#: `early` is after this share of the trials.
_EARLY = 1 / 3

Array = npt.NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adversarial", description=description)
    parser.add_argument("--seeds", type=int, default=20, help="made-up tasks (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="number of the first one (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=N_TRIALS, help="of a search (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args(argv)
    started = time.monotonic()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    records = [record for seed in seeds for record in search_all(seed, options.trials)]
    result = {
        "strategies": summary(records),
        "records": records,
        "n_trials": options.trials,
        "seeds": [seeds.start, seeds.stop - 1],
        "wall_s": round(time.monotonic() - started, 1),
        **provenance(),
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _print(result)
    return 0


def search_all(seed: int, n_trials: int, names: Sequence[str] = tuple(STRATEGIES)) -> list[dict[str, Any]]:
    """One record per strategy on the task of a seed."""
    task, past = made_up_task(seed, n_trials), past_of(seed)
    records = []
    for name in names:
        searcher = STRATEGIES[name](task, past, seed)
        results = run_strategy(searcher.asker, task.surrogate, task.facts, seed, searcher.stopper)
        grown = volumes(results, task.facts)
        record = {
            "strategy": name,
            "seed": seed,
            "volume": float(grown[-1]),
            "early_volume": float(grown[round(n_trials * _EARLY) - 1]),
            "error_ratio": sum(result.status in FAILURES for result in results) / len(results),
        }
        if isinstance(searcher.asker, Direct) and isinstance(searcher.asker.proposing, Ranking):
            record |= searcher.asker.proposing.transfer(results)
        records.append(record)
    print(f"seed {seed} done", file=sys.stderr, flush=True)
    return records


def summary(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over seeds by strategy, and how far each is from cold, as a share of cold's mean."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(record["strategy"] for record in records):
        own = [record for record in records if record["strategy"] == name]
        cold = {record["seed"]: record for record in records if record["strategy"] == COLD}
        figures: dict[str, Any] = {"error_ratio": _mean(own, "error_ratio")}
        for key in ("volume", "early_volume"):
            values = np.asarray([record[key] for record in own], dtype=float)
            reference = np.asarray([cold[record["seed"]][key] for record in own], dtype=float)
            figures[key] = {"mean": float(values.mean()), "sd": float(values.std()), "worst": float(values.min())}
            figures[f"{key}_against_cold"] = against(values, reference)
        found[name] = figures | {key: _mean(own, key) for key in ("weight", "agreement")}
    return found


def against(values: Array, cold: Array) -> dict[str, float]:
    """Mean of the paired differences to cold over cold's mean, with its bootstrap interval, and seeds that are worse.

    >>> found = against(np.array([0.5, 0.7]), np.array([0.6, 0.6]))
    >>> [round(found[key], 3) + 0.0 for key in ("share", "low", "high")], found["n_worse"]
    ([0.0, -0.167, 0.167], 1)
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(_N_BOOTSTRAP, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1) / cold[drawn].mean(axis=1) - 1.0, _INTERVAL)
    share = float(values.mean() / cold.mean() - 1.0)
    return {"share": share, "low": float(low), "high": float(high), "n_worse": int((values < cold).sum())}


def _mean(records: Sequence[Mapping[str, Any]], key: str) -> float | None:
    known = [record[key] for record in records if record.get(key) is not None]
    return float(np.mean(known)) if known else None


def _print(result: Mapping[str, Any]) -> None:
    head = ["strategy", "errors", "hypervolume", "worst", "against cold", "worse", "early", "against cold"]
    lines = [[*head, "weight", "agreement"]]
    for name, found in result["strategies"].items():
        lines.append([name, f"{found['error_ratio']:.1%}"])
        for key in ("volume", "early_volume"):
            value, versus = found[key], found[f"{key}_against_cold"]
            lines[-1] += [f"{value['mean']:.4f} +- {value['sd']:.4f}"]
            lines[-1] += [f"{value['worst']:.4f}"] if key == "volume" else []
            lines[-1] += [f"{versus['share']:+.2%} [{versus['low']:+.2%}, {versus['high']:+.2%}]"]
            lines[-1] += [str(versus["n_worse"])] if key == "volume" else []
        lines[-1] += ["-" if found[key] is None else f"{found[key]:.2f}" for key in ("weight", "agreement")]
    first, last = result["seeds"]
    spent = f"{result['wall_s']:.0f} s, commit {result['commit']}"
    print(f"\nseeds {first} to {last}, {result['n_trials']} trials, {spent}\n")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
