"""One search for every kind of task: `python -m benchmarks.kinds` runs `xautolm fit` and lists what came of each.

The six data sets of the paper (LIAR, SST-2, MELD, AG News, SQuAD, DROP), two of pairs, and a derived one for each kind
that the shared data do not have (`benchmarks.derived_tasks`). Searches are cold, one after the other, with the same
budget. SQuAD is searched twice: with models that find answers and with models that write them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.derived_tasks import DERIVED, derive
from benchmarks.recording.provenance import commit
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.config import make_settings
from xautolm.errors import XAutoLMError
from xautolm.metafeatures.machine import machine_facts
from xautolm.report.folder import read_run
from xautolm.report.wording import metric_name
from xautolm.run import fit
from xautolm.zoo import ZOO_MODELS


@dataclass(frozen=True, slots=True)
class Case:
    """A search.

    Attributes:
        name: of the line in the table.
        data: name of the data set, shared or derived.
        kind: task kind.
        models: names; empty = those that come with the package.
    """

    name: str
    data: str
    kind: str
    models: tuple[str, ...] = ()


_CLASSES, _QUESTIONS = "text-classification", "question-answering"
_ENCODERS = ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2@3", "all-MiniLM-L6-v2@1")
CASES = (
    *(Case(name, name, _CLASSES) for name in ("liar", "sst2", "meld", "ag_news", "mrpc", "rte")),
    *(Case(name, name, kind) for name, (_, _, kind) in DERIVED.items()),
    Case("squad, found", "squad", _QUESTIONS, _ENCODERS),
    Case("squad, written", "squad", _QUESTIONS, ZOO_MODELS),
    Case("drop, written", "drop", _QUESTIONS, ZOO_MODELS),
)

Search = Callable[[Case, str, Path, Path], dict[str, Any]]


def search(case: Case, budget: str, out: Path, data: Path) -> dict[str, Any]:
    """Run one cold search.

    Args:
        case: what to search.
        budget: of the search.
        out: a new run folder.
        data: folder of the shared data sets.

    Returns:
        `run.json` and the recommended pipeline.
    """
    if case.data in DERIVED:
        files = {"data": str(derive(case.data, data, out.parent))}
    else:
        names = {"data": "train", "valid": "validation", "test": "test"}
        paths = {role: data / case.data / f"{name}.jsonl.gz" for role, name in names.items()}
        files = {role: str(path) for role, path in paths.items() if path.is_file()}
    store = f"sqlite:///{out.parent / 'experiences.db'}"
    fields = {
        **files,
        "task": case.kind,
        "budget": budget,
        "prior": "none",
        "store": store,
        "models": case.models or None,
    }
    fit(make_settings(fields), out)
    report = read_run(out)
    best = next((trial for trial in report.trials if trial.trial_id == report.best), None)
    baselines = {trial.pipeline.method: dict(trial.scores) for trial in report.baselines}
    chosen = {"pipeline": best.pipeline.to_dict(), "scores": dict(best.scores)} if best else None
    return {"run": dict(report.run), "best": chosen, "baselines": baselines}


def report(found: Mapping[str, Mapping[str, Any]], cases: Sequence[Case] = CASES) -> str:
    """The table: what was recommended, its scores, and how the trials went."""
    lines = [
        "| task | kind | score | majority | validation | test | other test scores | recommended | trials | failed |",
        "|---|---|---|---:|---:|---:|---|---|---:|---:|",
    ]
    for case in cases:
        if case.name not in found:
            continue
        entry = found[case.name]
        run, best = entry["run"], entry["best"]
        key = run["objectives"][0]["name"]
        test = dict(run["test"] or {})
        others = ", ".join(f"{metric_name(name, case.kind)} {value:.3f}" for name, value in test.items() if name != key)
        chosen = f"{best['pipeline']['model']} {best['pipeline']['method']}" if best else "-"
        cells = (
            case.name,
            case.kind,
            metric_name(key, case.kind),
            _figure(entry["baselines"].get("majority", {}).get(key)),
            _figure(best["scores"].get(key) if best else None),
            _figure(test.get(key)),
            others or "-",
            chosen,
            str(run["n_trials"]),
            str(run["n_failed"]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(argv: Sequence[str] | None = None, *, run: Search = search) -> int:
    """Run the searches that the file does not have yet, and print the table; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__)
    parser.add_argument("--budget", default="10m", help="of each search (default 10m)")
    parser.add_argument("--only", help="names of cases, separated by semicolons")
    parser.add_argument("--json", type=Path, help="results; searches that stand there are not repeated")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    arguments = parser.parse_args(argv)
    wanted = arguments.only.split(";") if arguments.only else [case.name for case in CASES]
    found = _known(arguments.json, arguments.budget)
    is_complete = True
    for case in CASES:
        if case.name not in wanted or case.name in found:
            continue
        with tempfile.TemporaryDirectory(prefix="xautolm-kinds-") as scratch:
            try:
                found[case.name] = run(case, arguments.budget, Path(scratch) / "run", arguments.data)
            except XAutoLMError as error:
                print(f"error: {case.name}: {error}", file=sys.stderr)
                is_complete = False
                continue
        found[case.name] |= {"load": os.getloadavg(), "commit": commit()}
        print(f"{case.name}: done, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        if arguments.json is not None:
            facts = {"budget": arguments.budget, "machine": machine_facts()}
            arguments.json.write_text(json.dumps({**facts, "found": found}, indent=1))
    print(report(found))
    return 0 if is_complete else 1


def _known(path: Path | None, budget: str) -> dict[str, dict[str, Any]]:
    """Results of an earlier call with the same budget."""
    if path is None or not path.is_file():
        return {}
    saved = json.loads(path.read_text())
    return dict(saved["found"]) if saved["budget"] == budget else {}


if __name__ == "__main__":
    sys.exit(main())
