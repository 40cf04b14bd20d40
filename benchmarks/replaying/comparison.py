"""Strategies compared over tasks and seeds: medians and quartiles, ranks, and paired tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.replaying.strategies import OURS

Array = npt.NDArray[np.float64]
#: The figures of one search: `task`, `strategy`, `seed` and those of `figures.figures_against`.
Record = Mapping[str, Any]

#: What is summarised; a search that never reached something has `None`, which counts as infinite for the first two.
TIMES = ("to_cold", "to_cold_own")
FIGURES = (
    *TIMES, "error_ratio", "useless_share", "mean_time_s", "best_f1", "volume", "area", "win_ratio", "upper_win_ratio",
)  # fmt: skip


def of(records: Sequence[Record], strategy: str, task: str | None = None) -> list[Record]:
    """The records of a strategy, on all tasks or one."""
    return [r for r in records if r["strategy"] == strategy and task in (None, r["task"])]


def values(records: Sequence[Record], figure: str) -> Array:
    """A figure of records, (n,); infinite where a time was never reached, left out where there is nothing to count."""
    found = [r[figure] for r in records]
    if figure in TIMES:
        return np.asarray([math.inf if value is None else value for value in found], dtype=float)
    return np.asarray([value for value in found if value is not None], dtype=float)


def middle(records: Sequence[Record], figure: str) -> float | None:
    """Median of a figure over records; None when it is infinite or there is nothing."""
    return quartiles(values(records, figure))[1]


def quartiles(found: Array) -> tuple[float | None, float | None, float | None]:
    """Lower quartile, median and upper quartile by nearest observation, so that infinite ones do no harm.

    >>> quartiles(np.array([1.0, 2.0, 3.0, 4.0, np.inf]))
    (2.0, 3.0, 4.0)
    >>> quartiles(np.array([1.0, 2.0]))
    (1.0, 1.5, 2.0)
    >>> quartiles(np.array([np.inf]))
    (None, None, None)
    """
    if len(found) == 0:
        return None, None, None
    low, high = (float(np.quantile(found, q, method="nearest")) for q in (0.25, 0.75))
    ordered = np.sort(found)
    pair = float(ordered[(len(found) - 1) // 2]), float(ordered[len(found) // 2])
    median = pair[0] if pair[0] == pair[1] else sum(pair) / 2
    told = (low, median, high)
    return tuple(value if math.isfinite(value) else None for value in told)  # type: ignore[return-value]


def summaries(records: Sequence[Record], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Strategy -> quartiles of every figure over tasks and seeds, mean error ratio, ranks in area.

    A rank is that of a task's mean area over seeds among `names`, 1 = largest; `rank` is its mean over tasks.
    """
    tasks = list(dict.fromkeys(r["task"] for r in records))
    area = {name: [float(np.mean(values(of(records, name, task), "area"))) for task in tasks] for name in names}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        own = of(records, name)
        ranks = [1 + sum(area[other][i] > area[name][i] for other in names) for i in range(len(tasks))]
        found[name] = {figure: list(quartiles(values(own, figure))) for figure in FIGURES}
        found[name] |= {
            "n_seeds": len({r["seed"] for r in own}),
            "mean_error_ratio": float(np.mean(values(own, "error_ratio"))),
            "area_by_task": dict(zip(tasks, area[name], strict=True)),
            "rank": float(np.mean(ranks)),
            "n_first": sum(rank == 1 for rank in ranks),
        }
    return found


def paired(records: Sequence[Record], names: Sequence[str], against: str = OURS) -> dict[str, dict[str, float]]:
    """How the area of `against` differs from that of the others, paired by task and seed.

    Returns:
        Strategy -> `n` pairs, `mean` difference (positive = `against` is ahead), `won` share of pairs, `n_tasks_ahead`
        tasks on which the mean is ahead, `p` of the two-sided Wilcoxon signed-rank test, Holm-corrected for the number
        of strategies. Seeds of one task are taken as independent; whether other tasks would agree is another matter.
    """
    from scipy.stats import wilcoxon

    found: dict[str, dict[str, float]] = {}
    mine = {(r["task"], r["seed"]): r["area"] for r in of(records, against)}
    for name in names:
        pairs = [(r["task"], mine[r["task"], r["seed"]] - r["area"]) for r in of(records, name) if name != against]
        if not pairs:
            continue
        gaps = np.asarray([gap for _, gap in pairs])
        by_task = {task: [gap for other, gap in pairs if other == task] for task, _ in pairs}
        found[name] = {
            "n": len(gaps),
            "mean": float(gaps.mean()),
            "won": float(np.mean(gaps > 0)),
            "n_tasks_ahead": sum(float(np.mean(own)) > 0 for own in by_task.values()),
            "p": float(wilcoxon(gaps).pvalue) if np.any(gaps != 0) else 1.0,
        }
    for name, p in zip(found, holm([value["p"] for value in found.values()]), strict=True):
        found[name]["p"] = p
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for i, index in enumerate(order.tolist()):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - i)))
        corrected[index] = largest
    return corrected
