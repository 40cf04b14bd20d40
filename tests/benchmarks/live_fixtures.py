"""Trials, units and data of the live benchmark made up by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchmarks.living.figures import Ended
from benchmarks.living.ledger import Unit
from benchmarks.living.subjects import Subject, load_subject
from xautolm.cost import Cost


def ended(trial_id: int, f1: float | None, ended_s: float, time_s: float = 10.0, status: str = "") -> Ended:
    """A trial; without F1 it crashed unless a status is given."""
    return Ended.from_dict(
        {
            "trial_id": trial_id,
            "status": status or ("crashed" if f1 is None else "ok"),
            "pipeline": {"model": "m", "method": "full"},
            "scores": {} if f1 is None else {"f1": f1},
            "seed": 0,
            "error": None,
            "cost": asdict(Cost(time_s)),
            "ended_s": ended_s,
        }
    )


def unit(task: str, strategy: str, seed: int, scores: tuple[float | None, ...] = (0.6, 0.8), **fields: object) -> Unit:
    """One trial every ten seconds."""
    trials = tuple(ended(i, score, 10.0 * (i + 1)) for i, score in enumerate(scores))
    return Unit(task, strategy, seed, 0, trials, 60.0, **{"test": {"f1": 0.75}, **fields})


def write_csv(folder: Path, name: str, n_rows: int = 60) -> dict[str, Path]:
    """Training, validation and test files of two classes that differ in every row."""
    files = {}
    for split in ("train", "valid", "test"):
        rows = [f"{split} of {name} number {i},{'good' if i % 3 else 'bad'}" for i in range(n_rows)]
        files[split] = folder / f"{name}-{split}.csv"
        files[split].write_text("\n".join(["text,label", *rows]) + "\n")
    return files


def data_option(folder: Path, name: str) -> str:
    """`--data` for such files."""
    return f"{name}={','.join(str(path) for path in write_csv(folder, name).values())}"


def subject_of(folder: Path, name: str = "reviews") -> Subject:
    """Such files as a task."""
    return load_subject(name, [str(path) for path in write_csv(folder, name).values()])
