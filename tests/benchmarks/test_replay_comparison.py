"""Strategies compared: ranks, paired tests, the numbers to reach, and the history of results."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replaying import history
from benchmarks.replaying.comparison import paired, quartiles, summaries
from benchmarks.replaying.numbers import NEEDED, numbers
from benchmarks.replaying.strategies import MISLED, OURS, OURS_COLD, RIVAL, WARM_PUBLISHED

#: Figures of one search each, from poor to good.
_POOR = {"area": 0.4, "volume": 0.5, "error_ratio": 0.5, "mean_time_s": 9.0, "best_f1": 0.70, "first_f1": 0.3}
_GOOD = {"area": 0.6, "volume": 0.6, "error_ratio": 0.01, "mean_time_s": 2.0, "best_f1": 0.75, "first_f1": 0.72}


def record(task: str, strategy: str, seed: int, figures: dict[str, float], **more: Any) -> dict[str, Any]:
    base = {
        "to_cold": 0.05, "to_cold_own": 0.08, "win_ratio": 0.7, "upper_win_ratio": 0.5, "useless_share": 0.0,
        "later_f1": 0.65, "n_trials": 60, "n_stopped": 0,
    }  # fmt: skip
    moved = {**figures, "area": figures["area"] + 0.001 * seed}
    return {"task": task, "strategy": strategy, "seed": seed, **base, **moved, **more}


def all_records(ours: dict[str, float] | None = None) -> list[dict[str, Any]]:
    by_name = {RIVAL: _POOR, WARM_PUBLISHED: _GOOD | {"area": 0.5}, OURS_COLD: _GOOD | {"area": 0.58}}
    by_name |= {OURS: ours or _GOOD, MISLED: _GOOD | {"area": 0.57}}
    return [record(t, name, s, f) for t in ("a", "b") for name, f in by_name.items() for s in range(6)]


def test_ranks_are_of_mean_areas_within_a_task() -> None:
    found = summaries(all_records(), NEEDED)

    assert {name: s["rank"] for name, s in found.items()} == {
        RIVAL: 5.0, WARM_PUBLISHED: 4.0, OURS_COLD: 2.0, OURS: 1.0, MISLED: 3.0
    }  # fmt: skip
    assert found[OURS]["n_first"] == 2
    assert found[OURS]["best_f1"] == [0.75] * 3


def test_a_strategy_that_mostly_never_arrives_has_no_median_time() -> None:
    records = [record("a", "x", s, _GOOD, to_cold=value) for s, value in enumerate([0.1, None, None])]

    assert summaries(records, ["x"])["x"]["to_cold"] == [0.1, None, None]


def test_pairs_are_of_the_same_task_and_seed() -> None:
    records = [record("a", OURS, s, _GOOD) for s in range(8)] + [record("a", "x", s, _POOR) for s in range(5)]

    found = paired(records, [OURS, "x"])

    assert set(found) == {"x"}
    assert found["x"]["n"] == 5
    assert found["x"]["mean"] == pytest.approx(0.2)
    assert (found["x"]["won"], found["x"]["n_tasks_ahead"]) == (1.0, 1)
    assert found["x"]["p"] == pytest.approx(2 / 2**5)


def test_every_number_is_reached_by_a_search_that_is_good_enough_and_missed_by_one_that_is_not() -> None:
    reached = numbers(all_records(), NEEDED)
    missed = numbers(all_records(_POOR | {"area": 0.3}), NEEDED)

    assert all(number.is_reached for number in reached)
    fails = [number.name for number in missed if not number.is_reached]
    assert len(reached) == 12
    assert len(fails) == 7  # errors twice, time, rank twice, first trials twice


def test_an_adversarial_store_may_cost_a_twentieth_on_the_worst_task() -> None:
    records = [r | {"volume": 0.55} if r["strategy"] == MISLED and r["task"] == "b" else r for r in all_records()]

    (found,) = [number for number in numbers(records, NEEDED) if number.name.startswith("adversarial")]

    assert not found.is_reached
    assert "b -8.3%" in found.found


@pytest.mark.parametrize("name", ["comparison", "tables", "smac_search"])
def test_examples_of_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"benchmarks.replaying.{name}"))

    assert result.attempted > 0
    assert result.failed == 0


def test_history_grows_by_a_line_per_strategy(tmp_path: Path) -> None:
    compared = summaries([record("a", n, 0, _GOOD, to_cold=None) for n in ("x", "y")], ["x", "y"])
    result = {"date": "2026-01-01", "commit": "abc", "strategies": compared, "ablations": {}, "tasks": {"a": {}}}

    history.append(result, tmp_path / "h.csv")
    history.append(result | {"commit": "def"}, tmp_path / "h.csv")

    lines = history.read(tmp_path / "h.csv")
    assert [(line["commit"], line["strategy"]) for line in lines] == [
        ("abc", "x"), ("abc", "y"), ("def", "x"), ("def", "y")
    ]  # fmt: skip
    assert (lines[0]["area"], lines[0]["to_cold"], lines[0]["error_ratio"]) == ("0.6000", "", "0.0100")


def test_quartiles_of_nothing_are_nothing() -> None:
    import numpy as np

    assert quartiles(np.zeros(0)) == (None, None, None)
