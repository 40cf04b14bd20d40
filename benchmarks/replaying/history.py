"""`benchmarks/history.csv`: a line per strategy of every recorded replay, with its commit, oldest first."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).parents[1] / "history.csv"
COLUMNS = (
    "date", "commit", "strategy", "seeds", "tasks", "strategies", "rank", "area", "volume", "error_ratio", "to_cold",
    "mean_time_s", "best_f1", "win_ratio",
)  # fmt: skip
#: Columns of medians over tasks and seeds; the error ratio is a mean.
_MEDIANS = ("area", "volume", "to_cold", "mean_time_s", "best_f1", "win_ratio")


def lines_of(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """The lines of a replay's result, ablations included; an empty cell = never."""
    compared = {**result["strategies"], **result["ablations"]}
    return [
        {
            "date": result["date"],
            "commit": result["commit"],
            "strategy": name,
            "seeds": str(summary["n_seeds"]),
            "tasks": str(len(result["tasks"])),
            "strategies": str(len(result["strategies"])),
            "rank": f"{summary['rank']:.2f}",
            "error_ratio": f"{summary['mean_error_ratio']:.4f}",
        }
        | {key: "" if summary[key][1] is None else f"{summary[key][1]:.4f}" for key in _MEDIANS}
        for name, summary in compared.items()
    ]


def append(result: Mapping[str, Any], path: Path = HISTORY) -> None:
    """Add the lines of a result at the end."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(lines_of(result))


def read(path: Path = HISTORY) -> list[dict[str, str]]:
    """All lines, oldest first."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
