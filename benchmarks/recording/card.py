"""The data card of the recorded table, `README.md`: prose written here, figures taken from the files beside it."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.recorded import Row
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.limits import read_limits
from benchmarks.recording.subsets import SOURCES, SUBSET_SEED
from xautolm.experience.journal import write_atomic
from xautolm.records import FAILURES

_COLUMNS: Mapping[str, str] = {
    "`task`, `table_seed`, `pipeline`, `pipeline_key`": "which pipeline on which task: pipeline i of seed s is the same "
    "everywhere; the key is the hash of its settings",
    "`model`, `method`, `params`": "the pipeline; `params` is JSON",
    "`status`, `error_kind`, `error_message`": "how the trial ended (`ok`, `timeout`, `oom`, `diverged`, `crashed`, ...) "
    "and why; messages are scrubbed of anything but technical words",
    "`f1`, `accuracy`": "macro F1 and accuracy on the whole validation subset, best checkpoint; empty unless `ok`",
    "`time_s`, `cached_s`, `train_s`, `predict_s`": "seconds; `time_s` is what the pipeline costs alone, so it includes "
    "`cached_s`, the work (tokens, features) that an earlier trial had left in the task's cache; for a trial that was "
    "killed it is the time until then",
    "`peak_mem_mib`, `energy_wh`": "largest private memory of the process above the idle worker, polled every 0.2 s; "
    "energy where a counter can be read, else empty",
    "`curve`": "JSON list of [step, seconds since training began, macro F1 on a fixed part of the validation subset]",
    "`seed`": "seed of everything random in the trial, a function of (table seed, pipeline)",
    "`n_threads`, `n_parallel`, `load_1m`, `device`": "threads of the trial, trials running when it started (itself "
    "included), load average of the machine when it ended, device",
    "`time_limit_s`, `memory_limit_mib`": "limits of the trial, the task's own (below)",
    "`n_train`, `n_validation`, `best_constant_f1`, `fingerprint`": "the subset: rows, macro F1 of the best constant "
    "prediction on the validation rows, hash of the rows",
    "`space_id`, `space_version`, `model_revision`": "what was drawn from, and the hash of the model's weights",
    "`versions`, `commit`, `system`, `machine`": "libraries (JSON), commit of the code, system meta-features and machine",
    "`started_at`, `finished_at`": "UTC",
}


def write_card(folder: Path) -> None:
    """Replace `README.md` of a table by what is true now."""
    write_atomic(folder / "README.md", card(folder))


def card(folder: Path) -> str:
    """The text of the data card."""
    limits, rows = read_limits(folder), {name: list(read_rows(folder, name, 0).values()) for name in SOURCES}
    return "\n".join(
        [
            *_HEAD,
            "",
            "## Tasks",
            "",
            *_tasks(limits),
            "",
            "## Limits and pilots",
            "",
            *_PILOT,
            "",
            *_limits(limits),
            "",
            "## What is recorded",
            "",
            *_recorded(rows),
            "",
            "## Machines",
            "",
            *_machines([row for part in rows.values() for row in part]),
            "",
            "## Columns",
            "",
            "| column | meaning |",
            "|---|---|",
            *(f"| {names} | {meaning} |" for names, meaning in _COLUMNS.items()),
            "",
            *_TAIL,
            "",
        ]
    )


_HEAD = (
    "# Recorded fine-tunes",
    "",
    "<!-- Written by `python -m benchmarks.record`; edit `benchmarks/recording/card.py` instead. -->",
    "",
    "Each row is one real fine-tune: pipeline *i* (pretrained model, fine-tuning method, hyperparameters), drawn uniformly,",
    "trained and scored on a task by the product's own isolated worker, with its score, its cost and the way it failed if it",
    "did. The same pipelines are run on every task. The table is for replaying search strategies and as experience; it",
    "holds numbers and names only, no text of any data set.",
    "",
    "```python",
    "from benchmarks.recorded import load_table, to_experiences",
    'frame = load_table("trec")          # pandas, one row per pipeline',
    "experiences = to_experiences(frame) # what an experience store would hold",
    "```",
    "",
    "**Space.** The embedded encoder (all-MiniLM-L6-v2) with 6, 3 and 1 layers; head, partial, LoRA and full fine-tuning;",
    "the published choices of batch size (2 to 256), maximum length (64 to 512, the encoder's limit) and epochs (1 to 10); each",
    "method's own range of learning rates and everything else as the method declares it. Nothing is removed: no feasibility",
    "filter, no rescue, no early stopping. Every decision of pipeline *i* is a hash of (seed, *i*, its name), see",
    "`benchmarks/recording/space.py`.",
    "",
    "**Failure.** A launched trial without a score; one that reaches its time or memory limit is a failure even if an epoch",
    "was scored. *Useless*: valid, but macro F1 not above the best constant prediction.",
)
_PILOT = (
    "Before anything is recorded on a task, 30 draws of another seed run under generous limits. The memory limit is set so",
    "that about a tenth of them are above it, the time limit so that in all 30-40 % fail; both stay. A pilot with more than a",
    "third of its valid results useless is refused. Slow draws stand with the time at which they were stopped: the cheapest",
    "70 % by estimate run first, the others get 1.25 times the slowest of those.",
)
_TAIL = (
    "`limits.json` holds the limits with the pilots' figures, `tasks.json` the meta-features, class counts and salted row",
    "hashes of each subset (what `to_experiences` needs).",
    "",
    "## Licence and caveats",
    "",
    "- Numbers only: the texts stay in `../shared/data` and are not part of this repository. The last column of the first",
    "  table says what each data set's source states about its own licence; nothing of the data can be rebuilt from here.",
    "- Times hold for one thread per trial and as many trials as workers on this machine; `load_1m` well above the number of",
    "  workers marks trials that other programs slowed down.",
    "- MELD's validation file shares rows with its training file (99 of 1,000, `shared/data/README.md`); they are kept.",
    "- A trial that reads a filled cache is killed by the wall clock, not by `time_s`, so a frozen-encoder row may be `ok`",
    "  with a `time_s` above the limit where the same pipeline alone would have timed out; it is counted above.",
)


def _tasks(limits: Mapping[str, Any]) -> list[str]:
    lines = [
        "| task | what | train | validation | best constant F1 | licence of the data |",
        "|---|---|---|---|---|---|",
    ]
    for name, source in SOURCES.items():
        entry = limits.get(name)
        sizes = (
            f"{entry['n_train']:,} | {entry['n_validation']:,} | {entry['pilot']['best_constant_f1']:.3f}"
            if entry
            else "- | - | -"
        )
        lines.append(f"| {name} | {source.title} | {sizes} | {source.licence} |")
    return [
        *lines,
        "",
        f"Stratified samples of the training and validation files, seed {SUBSET_SEED}; test files are not read.",
    ]


def _limits(limits: Mapping[str, Any]) -> list[str]:
    if not limits:
        return ["No pilot has been run yet: `python -m benchmarks.record --pilot --tasks ...`."]
    lines = [
        "| task | time limit | memory limit | pilot fails | useless of valid | pilot's workers | load | accepted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in limits.items():
        pilot = entry["pilot"]
        time_s = "-" if entry["time_limit_s"] is None else f"{entry['time_limit_s']:.1f} s"
        useless = "-" if pilot["useless_share"] is None else f"{pilot['useless_share']:.0%}"
        verdict = "yes" if entry["accepted"] else "no: " + " ".join(entry["problems"])
        lines.append(
            f"| {name} | {time_s} | {entry['memory_limit_mib']:.0f} MiB | {pilot['failed_share']:.0%} | {useless} | "
            f"{pilot['n_workers']} | {pilot['load_1m']:.1f} | {verdict} |"
        )
    return lines


def _recorded(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    if not any(rows.values()):
        return ["Nothing yet: `python -m benchmarks.record`."]
    lines = [
        "| task | pipelines | failed | how | useless of valid | best F1 | median time | total time | ok above the limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, part in rows.items():
        if part:
            lines.append(f"| {name} | " + " | ".join(task_figures(part)) + " |")
    return lines


def task_figures(rows: Sequence[Row]) -> list[str]:
    """Cells about the recorded rows of one task: count, failures, kinds, useless, best, median and total time."""
    failures = Counter(row["status"] for row in rows if row["status"] in FAILURES)
    valid = [row for row in rows if row["status"] == "ok"]
    n_useless = sum(row["f1"] <= row["best_constant_f1"] for row in valid)
    kinds = ", ".join(f"{status} {n}" for status, n in failures.most_common()) or "-"
    return [
        str(len(rows)),
        f"{failures.total() / len(rows):.0%}",
        kinds,
        f"{n_useless / len(valid):.0%}" if valid else "-",
        f"{max(row['f1'] for row in valid):.3f}" if valid else "-",
        f"{statistics.median(row['time_s'] for row in rows):.1f} s",
        f"{sum(row['time_s'] for row in rows) / 60:.0f} min",
        str(sum(row["time_s"] > row["time_limit_s"] for row in valid)),
    ]


def _machines(rows: Sequence[Row]) -> list[str]:
    found: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        machine, versions = json.loads(row["machine"]), json.loads(row["versions"])
        where = f"{machine['cpu']}, {machine['usable_cores']} cores usable, {machine['ram_gib']:.0f} GiB"
        libraries = ", ".join(
            f"{name} {versions[name]}" for name in ("torch", "transformers", "peft") if name in versions
        )
        found[(where, f"{row['device']}, {row['n_threads']} thread per trial", libraries)] += 1
    return [f"- {n} rows: {where}; {how}; {libraries}." for (where, how, libraries), n in found.items()] or [
        "None yet."
    ]
