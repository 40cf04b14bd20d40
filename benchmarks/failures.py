"""How many trials of a cold search fail, and how? `python -m benchmarks.failures` runs three real searches and counts.

Each search has 40 trials over the whole offline space with 60 s and 2 GiB for a trial, without experience. A failure is
a launched trial without a score (`design.md` section 5); a rescued trial is none.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.recording.provenance import commit
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.config import make_settings
from xautolm.errors import XAutoLMError
from xautolm.experience.journal import read_journal
from xautolm.metafeatures.machine import machine_facts
from xautolm.preparation import library_versions
from xautolm.records import FAILURES, TrialResult
from xautolm.run import fit

TASKS = ("sst2", "mrpc", "trec")
N_TRIALS, N_QUICK = 40, 3
TRIAL_TIMEOUT, MEMORY = "60s", "2GiB"
#: Failures of 120 launched trials at most (issue 5).
BOUND = 4

Search = Callable[[str, int, Path], list[TrialResult]]


def search(name: str, n_trials: int, out: Path, *, data: Path = DEFAULT_DATA) -> list[TrialResult]:
    """Run one cold search.

    Args:
        name: of the data set.
        n_trials: budget.
        out: a new run folder.
        data: folder of the data sets.

    Returns:
        The trials that the search launched, without the baselines.
    """
    fields = {
        "data": str(data / name / "train.jsonl.gz"),
        "valid": str(data / name / "validation.jsonl.gz"),
        "budget": f"{n_trials}trials",
        "trial_timeout": TRIAL_TIMEOUT,
        "memory": MEMORY,
        "prior": "none",
        "store": f"sqlite:///{out.parent / 'experiences.db'}",
    }
    fit(make_settings(fields), out)
    return [result for result in read_journal(out / "trials.jsonl") if result.trial_id >= 0]


def kinds(results: Sequence[TrialResult]) -> Counter[str]:
    """Failures by status and kind, e.g. `oom (oom_host)`."""
    return Counter(
        f"{result.status} ({result.error.kind})" if result.error else result.status
        for result in results
        if result.status in FAILURES
    )


def report(found: Mapping[str, Sequence[TrialResult]]) -> str:
    """The table, and the sum against its bound."""
    lines = ["| task | launched | stopped | rescued | failed | kinds |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for name, results in found.items():
        failed = kinds(results)
        listed = ", ".join(f"{kind} {n}" for kind, n in sorted(failed.items())) or "-"
        n_stopped = sum(result.status == "stopped" for result in results)
        n_rescued = sum(result.is_ok and result.requested is not None for result in results)
        lines.append(f"| {name} | {len(results)} | {n_stopped} | {n_rescued} | {failed.total()} | {listed} |")
    everything = [result for results in found.values() for result in results]
    n_crashed = sum(result.status == "crashed" for result in everything)
    total = (
        f"{kinds(everything).total()} of {len(everything)} failed (at most {BOUND} of 120), {n_crashed} crashed (none)"
    )
    return "\n".join([*lines, "", total])


def main(argv: Sequence[str] | None = None, *, run: Search = search) -> int:
    """Run the searches and print the table; 1 when one cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failures", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write trials and provenance to this file")
    parser.add_argument("--quick", action="store_true", help=f"{N_QUICK} trials each, to see that it works")
    arguments = parser.parse_args(argv)
    found: dict[str, list[TrialResult]] = {}
    with tempfile.TemporaryDirectory(prefix="xautolm-failures-") as scratch:
        for name in TASKS:
            try:
                found[name] = run(name, N_QUICK if arguments.quick else N_TRIALS, Path(scratch) / name)
            except XAutoLMError as error:
                print(f"error: {name}: {error}", file=sys.stderr)
                return 1
            print(f"{name}: {len(found[name])} trials, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    if arguments.json is not None:
        trials = {name: [_row(result) for result in results] for name, results in found.items()}
        provenance = {"commit": commit(), "versions": library_versions(), "machine": machine_facts()}
        arguments.json.write_text(
            json.dumps({"trials": trials, "load_average": os.getloadavg(), **provenance}, indent=1)
        )
    print(report(found))
    return 0


def _row(result: TrialResult) -> dict[str, object]:
    error = {"kind": result.error.kind, "message": result.error.message} if result.error else None
    costs = {"time_s": result.cost.time_s, "peak_mem_mib": result.cost.peak_mem_mib}
    return {"pipeline": result.pipeline.to_dict(), "status": result.status, "error": error, **costs}


if __name__ == "__main__":
    sys.exit(main())
