"""The data card of the recorded table, `README.md`: prose written here, figures taken from the files beside it."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.recorded import Row
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.limits import read_limits
from benchmarks.recording.repeats import AGAIN, ALONE, TOLERANCE, compare_again, compare_alone, read_repeats
from benchmarks.recording.subsets import MORE_SOURCES, SOURCES, SUBSET_SEED
from xautolm.experience.journal import write_atomic
from xautolm.records import FAILURES

_TEMPLATE = Path(__file__).with_name("card_template.md")
_EVERYDAY_TEMPLATE = Path(__file__).with_name("everyday_template.md")
_COLUMNS: Mapping[str, str] = {
    "`task`, `table_seed`, `pipeline`, `pipeline_key`": (
        "which pipeline on which task; pipeline i of a seed is the same on every task, its key a hash of its settings"
    ),
    "`model`, `method`, `params`": "the pipeline; `params` is JSON",
    "`status`, `error_kind`, `error_message`": (
        "how the trial ended (`ok`, `timeout`, `oom`, `diverged`, `crashed`, ...) and why, technical words only"
    ),
    "`f1`, `accuracy`": "macro F1 and accuracy on the whole validation subset, best checkpoint; empty unless `ok`",
    "`time_s`, `cached_s`, `train_s`, `predict_s`": (
        "seconds; `time_s` is what the pipeline costs alone, so it includes `cached_s`, the work (tokens, features) "
        "that an earlier trial had left in the task's cache; for a trial that was killed it is the time until then"
    ),
    "`peak_mem_mib`, `energy_wh`": (
        "largest private memory of the process above the idle worker, polled every 0.2 s; energy where a counter can "
        "be read, else empty"
    ),
    "`curve`": "JSON list of [step, seconds since training began, macro F1 on a fixed part of the validation subset]",
    "`seed`": "seed of everything random in the trial, a function of (table seed, pipeline)",
    "`n_threads`, `n_parallel`, `load_1m`, `device`": (
        "threads of the trial, trials running when it started (itself included), load average when it ended, device"
    ),
    "`time_limit_s`, `memory_limit_mib`": "limits of the trial, the task's own",
    "`n_train`, `n_validation`, `best_constant_f1`, `fingerprint`": (
        "the subset: rows, macro F1 of the best constant prediction on its validation rows, hash of its rows"
    ),
    "`space_id`, `space_version`, `model_revision`": "what was drawn from, and the hash of the model's weights",
    "`versions`, `commit`, `system`, `machine`": "libraries, code, system meta-features and machine (JSON)",
    "`started_at`, `finished_at`": "UTC",
}


def write_card(folder: Path) -> None:
    """Replace `README.md` of a table by what is true now."""
    write_atomic(folder / "README.md", card(folder))


def card(folder: Path) -> str:
    """The text of the data card."""
    limits = read_limits(folder)
    rows = {name: list(read_rows(folder, name, 0).values()) for name in SOURCES}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        tasks="\n".join(_tasks(limits)),
        subset_seed=SUBSET_SEED,
        limits="\n".join(_limits(limits)),
        recorded="\n".join(_recorded(rows)),
        alone="\n".join(_alone(folder)),
        noise="\n".join(_noise(folder)),
        machines="\n".join(_machines([row for part in rows.values() for row in part])),
        columns="\n".join(
            ("| column | meaning |", "|---|---|", *(f"| {n} | {what} |" for n, what in _COLUMNS.items()))
        ),
    )


def write_everyday_card(folder: Path) -> None:
    """Replace `README.md` of the everyday table by what is true now."""
    limits = read_limits(folder)
    sources = {**SOURCES, **MORE_SOURCES}
    rows = {name: list(read_rows(folder, name, 0).values()) for name in limits}
    tasks = [
        "| task | what | train | validation | best constant F1 | time limit | memory limit | licence of the data |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {sources[name].title} | {entry['n_train']:,} | {entry['n_validation']:,} | "
            f"{entry['best_constant_f1']:.3f} | {entry['time_limit_s']:.0f} s | {entry['memory_limit_mib']:.0f} MiB | "
            f"{sources[name].licence} |"
            for name, entry in limits.items()
        ),
    ]
    text = Template(_EVERYDAY_TEMPLATE.read_text(encoding="utf-8")).substitute(
        tasks="\n".join(tasks),
        subset_seed=SUBSET_SEED,
        recorded="\n".join(_recorded(rows)),
        machines="\n".join(_machines([row for part in rows.values() for row in part])),
    )
    write_atomic(folder / "README.md", text)


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
    return lines


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
        "| task | pipelines | failed | how | useless of valid | best F1 | median time | total time | above the limit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, part in rows.items():
        if part:
            lines.append(f"| {name} | " + " | ".join(task_figures(part)) + " |")
    return lines


def _alone(folder: Path) -> list[str]:
    """Whether times hold although a neighbour was at work."""
    pairs = [
        (group[0], group[-1])
        for name in SOURCES
        for group in read_repeats(folder, name, ALONE, read_rows(folder, name, 0))
        if all(row["status"] == "ok" for row in group)
    ]
    if not pairs:
        return ["No trial was repeated alone yet: `python -m benchmarks.record --alone 4`."]
    found = compare_alone(pairs)
    verdict = "are comparable" if found.deviation <= TOLERANCE else "are **not** comparable"
    low, high = found.quartiles
    told = (
        f"{found.n} trials were repeated alone on the machine with the same seeds: they took {found.ratio:.2f} of "
        f"their time in the table in the median (quartiles {low:.2f} and {high:.2f}); the median deviation is "
        f"{found.deviation:.0%}, so times {verdict} (at most {TOLERANCE:.0%} is asked for)."
    )
    return textwrap.wrap(told, 120)


def _noise(folder: Path) -> list[str]:
    """What differs between seeds, per task."""
    lines = [
        "| task | pipelines | deviation of F1 | range of F1 in the table | longest / shortest time | other outcome |",
        "|---|---|---|---|---|---|",
    ]
    for name in SOURCES:
        recorded = read_rows(folder, name, 0)
        groups = read_repeats(folder, name, AGAIN, recorded)
        if groups:
            found = compare_again(groups)
            scores = [row["f1"] for row in recorded.values() if row["status"] == "ok"]
            lines.append(
                f"| {name} | {found.n} | {found.f1_sd:.3f} | {min(scores):.3f} to {max(scores):.3f} | "
                f"{found.time_spread:.2f} | {found.n_other_ends} |"
            )
    return lines if len(lines) > 2 else ["Nothing was repeated yet: `python -m benchmarks.record --again 12`."]


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
