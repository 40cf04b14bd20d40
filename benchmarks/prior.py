"""How well priors foresee an unseen task: `python -m benchmarks.prior [--rows DIR | --recorded] [--json FILE]`.

Each task of a folder of published evaluations is left out in turn; the other tasks of its kind are the experience. For
the rows of the task: area under the curve (AUC) of predicted success, and Spearman's correlation of predicted with real
F1 and time among the rows that worked. `reference` and `knn` rank by the log-probability of a pipeline's decisions
under the warm model; names with `-gain` take off that under the cold model, which counts how many choices a method has.
They do not speak about time. `forest` is a plain random forest on sizes, costs and settings, `forest-all-inputs` one on
all inputs of `learned`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.left_out import PRIORS, LeftOut, Opinion, left_out
from benchmarks.recorded import load_table, to_experiences
from benchmarks.recording.space import recorded_space
from xautolm.errors import XAutoLMError
from xautolm.experience.importers.paper_rows import read_published_rows
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.audit import area_under_curve, rank_correlation
from xautolm.records import Experience

Array = npt.NDArray[np.float64]

ROWS = Path(__file__).resolve().parents[2] / "shared" / "paper-store"
N_RESAMPLES = 1_000
#: Share of the resamples that an interval holds.
COVERAGE = 0.9
FIGURES = ("auc", "spearman_f1", "spearman_time")
#: Who is compared with `learned`, row by row.
OPPONENTS = ("reference", "reference-gain", "forest", "forest-all-inputs")
#: Edges of the predicted probabilities whose outcomes are counted.
_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Judged:
    """What a prior said about a task, with the rows that the figures are resampled over."""

    case: LeftOut
    opinion: Opinion

    def figure(self, name: str, rows: npt.NDArray[np.int64] | None = None) -> float | None:
        """One of `FIGURES`, on some of the rows (a resample); None when it cannot be told."""
        places = np.arange(len(self.case.judged)) if rows is None else rows
        worked = self.case.worked[places]
        if name == "auc":
            return area_under_curve(self.opinion.success[places], worked)
        said = self.opinion.quality if name == "spearman_f1" else self.opinion.time
        real = self.case.scores if name == "spearman_f1" else self.case.times
        if said is None:
            return None
        ok = places[worked & np.isfinite(real[places])]
        return rank_correlation(said[ok], real[ok])


Table = Mapping[str, Mapping[str, Judged]]


def judge(experiences: Sequence[Experience], book: ModelBook) -> Table:
    """Ask every prior about every task: task -> prior -> what it said."""
    return {
        case.name: {name: Judged(case, ask(case)) for name, ask in PRIORS.items()}
        for case in left_out(experiences, book)
        if case.others
    }


def document(table: Table) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """The figures as JSON: task -> prior -> figure."""
    return {
        task: {
            name: {
                **{figure: judged.figure(figure) for figure in FIGURES},
                "n": len(judged.case.judged),
                "n_ok": int(judged.case.worked.sum()),
            }
            for name, judged in priors.items()
        }
        for task, priors in table.items()
    }


def resamples(table: Table, figure: str, rng: np.random.Generator) -> dict[str, dict[str, Array]]:
    """Bootstrap over rows, the same for all priors: task -> prior -> (N_RESAMPLES,) values, NaN where undefined."""
    drawn: dict[str, dict[str, Array]] = {}
    for task, priors in table.items():
        n = len(next(iter(priors.values())).case.judged)
        rows = rng.integers(0, n, (N_RESAMPLES, n))
        drawn[task] = {
            name: np.asarray([_number(judged.figure(figure, picked)) for picked in rows])
            for name, judged in priors.items()
        }
    return drawn


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def report(table: Table, seed: int = 0) -> str:
    """The figures with their intervals, means over tasks, and paired differences, as Markdown."""
    counted = [task for task, priors in table.items() if not next(iter(priors.values())).case.is_of_other_kind]
    lines = [_head(table, counted)]
    rng = np.random.default_rng(seed)
    for figure in FIGURES:
        drawn = resamples(table, figure, rng)
        lines += ["", f"{figure}, {COVERAGE:.0%} intervals over rows:", "", _row("prior", [*table, "mean"])]
        lines.append(_row("---", ["---:"] * (len(table) + 1)))
        for name in PRIORS:
            cells = [_cell(table[task][name].figure(figure), drawn[task][name]) for task in table]
            point = [_number(table[task][name].figure(figure)) for task in counted]
            together = np.mean([drawn[task][name] for task in counted], axis=0) if counted else np.asarray([np.nan])
            lines.append(_row(name, [*cells, _cell(float(np.mean(point)) if point else None, together)]))
        lines += ["", *(_difference(table, drawn, figure, opponent, counted) for opponent in OPPONENTS if counted)]
    return "\n".join([*lines, "", *_calibration(table, counted)])


def _head(table: Table, counted: Sequence[str]) -> str:
    sizes = [
        f"{task} {len(p['learned'].case.judged)} rows, {p['learned'].case.worked.sum()} ok" for task, p in table.items()
    ]
    others = [task for task in table if task not in counted]
    note = f" Not in the means: {', '.join(others)} (all experience is of another kind of task)." if others else ""
    return f"{'; '.join(sizes)}.{note}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _cell(value: float | None, drawn: Array) -> str:
    if value is None or np.isnan(value):
        return "-"
    low, high = _interval(drawn)
    return f"{value:.3f} [{low:.2f}, {high:.2f}]"


def _interval(drawn: Array) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    low, high = (
        np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist() if len(known) else (np.nan, np.nan)
    )
    return low, high


def _difference(
    table: Table, drawn: Mapping[str, Mapping[str, Array]], figure: str, opponent: str, counted: Sequence[str]
) -> str:
    """The mean difference `learned` - opponent, with the interval of the paired differences."""
    pairs = [(table[task]["learned"].figure(figure), table[task][opponent].figure(figure)) for task in counted]
    known = [mine - other for mine, other in pairs if mine is not None and other is not None]
    if len(known) < len(counted):
        return f"learned - {opponent}: {opponent} does not tell"
    differences = np.mean([drawn[task]["learned"] - drawn[task][opponent] for task in counted], axis=0)
    return f"learned - {opponent}, mean: {_cell(float(np.mean(known)), differences)}"


def _calibration(table: Table, counted: Sequence[str]) -> list[str]:
    """Brier scores of the probabilities, and how often what was said came true."""
    lines = ["Brier score of predicted success (a constant at the task's own share would get the last column):", ""]
    names = [name for name in PRIORS if all(p[name].opinion.is_probability for p in table.values())]
    lines += [_row("task", [*names, "constant"]), _row("---", ["---:"] * (len(names) + 1))]
    for task, priors in table.items():
        worked = priors["learned"].case.worked
        scores = [float(np.mean((priors[name].opinion.success - worked) ** 2)) for name in names]
        lines.append(_row(task, [f"{score:.3f}" for score in (*scores, worked.mean() * (1 - worked.mean()))]))
    if not counted:
        return lines
    said = np.concatenate([table[task]["learned"].opinion.success for task in counted])
    came = np.concatenate([table[task]["learned"].case.worked for task in counted])
    lines += ["", "`learned`, all tasks of the means together: what was said and what came true", ""]
    lines += [_row("said", ["rows", "mean said", "worked"]), _row("---", ["---:"] * 3)]
    for low, high in pairwise(_BINS):
        inside = (said >= low) & ((said < high) | (high == 1.0))
        if inside.any():
            lines.append(
                _row(
                    f"{low:.1f}-{high:.1f}",
                    [str(inside.sum()), f"{said[inside].mean():.2f}", f"{came[inside].mean():.2f}"],
                )
            )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 when there is nothing to read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prior", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rows", type=Path, default=ROWS, help="folder of *.jsonl with features.json (default: %(default)s)"
    )
    parser.add_argument(
        "--recorded", action="store_true", help="judge on the recorded table of this repository instead"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file: {task: {prior: {...}}}")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        experiences, book = _experiences(options)
    except XAutoLMError as error:
        print(error)
        return 2
    table = judge(experiences, book)
    if not table:
        print(f"Expected rows of at least two tasks; found those of {len({e.dataset_id for e in experiences})}.")
        return 2
    if options.json:
        options.json.write_text(json.dumps(document(table), indent=1) + "\n", encoding="utf-8")
    print(report(table, options.seed))
    return 0


def _experiences(options: argparse.Namespace) -> tuple[list[Experience], ModelBook]:
    if options.recorded:
        return to_experiences(load_table()), ModelBook(recorded_space().models.values())
    found = read_published_rows(str(options.rows))
    for rejected in found.rejected:
        print(f"left out: {rejected.where}: {rejected.reason}")
    return list(found.experiences), ModelBook()


if __name__ == "__main__":
    raise SystemExit(main())
