"""The throughput benchmark: its fine-tunes are fixed, its tables follow from the figures, and the real thing runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import throughput
from benchmarks.recording.subsets import DEFAULT_DATA, has_data
from benchmarks.throughput import QUICK, main
from benchmarks.tuning.drawn import CONFIGURATIONS, N_PER_TASK, TASKS, Configuration, draw
from benchmarks.tuning.figures import breakdown, difference, rate_table, ratios, score_table, stage_table, verdict
from benchmarks.tuning.units import ROWS, Fit, Unit, environment

#: Seconds of a process per row.
WALL_S = (200.0, 130.0, 100.0, 80.0)
PAIR = tuple(next(item for item in CONFIGURATIONS if item.task == task) for task in TASKS)


def units(wall_s: tuple[float, ...] = WALL_S, f1: tuple[float, ...] = (0.7, 0.7, 0.7, 0.7)) -> list[Unit]:
    """Two rounds of both tasks with one fine-tune each; the second round takes a tenth longer."""
    found = []
    for round_ in range(2):
        for task in TASKS:
            for row, seconds, score in zip(ROWS, wall_s, f1, strict=True):
                fit = Fit(score, 50.0, {"train": 30.0, "save": 5.0})
                once = {"start": 8.0, "tokenise": 2.0}
                wall = seconds * (1 + 0.1 * round_)
                found.append(Unit(row.name, task, round_, wall, seconds / 2, (fit,), once, load_1m=0.5))
    return found


def test_the_fine_tunes_are_those_that_the_seed_draws():
    assert draw(0) == CONFIGURATIONS
    assert [sum(item.task == task for item in CONFIGURATIONS) for task in TASKS] == [N_PER_TASK] * 2
    assert {item.n_layers for item in CONFIGURATIONS} == {6, 3, 1}


def test_the_quick_ones_are_the_cheapest_kind_of_each_task():
    assert [(item.task, item.n_layers) for item in QUICK] == [("sst2", 1), ("mrpc", 1)]


def test_ratios_are_those_of_trials_per_hour_in_each_round():
    defaults, one_worker = ratios(units())
    assert defaults.values == pytest.approx((2.5, 2.5))
    assert one_worker.values == pytest.approx((1.3, 1.3))
    assert defaults.is_met
    assert one_worker.is_met


@pytest.mark.parametrize("wall_s", [(150.0, 130.0, 100.0, 80.0), (200.0, 120.0, 100.0, 80.0)])
def test_a_ratio_below_its_bound_is_said(wall_s):
    is_met, words = verdict(units(wall_s))
    assert not is_met
    assert words.count("NOT MET") == 1


def test_scores_that_fall_are_not_noise_and_scores_that_scatter_are():
    assert verdict(units())[0]
    is_met, words = verdict(units(f1=(0.7, 0.7, 0.65, 0.7)))
    assert not is_met
    assert f"{ROWS[2].name}: -0.0500" in words
    scattered = [
        replace(unit, fits=(replace(unit.fits[0], f1=0.5 if unit.task == "sst2" else 0.85),))
        if unit.row == ROWS[3].name
        else unit
        for unit in units()
    ]
    found = difference(scattered, ROWS[3].name)
    assert (found.mean, found.n) == (pytest.approx(-0.025), 2)
    assert found.is_noise


def test_a_breakdown_adds_up_to_what_a_trial_takes():
    spent = breakdown(units(), ROWS[0].name)
    assert spent["start"] == 8.0
    assert spent["tokenise"] == 2.0
    assert spent["other"] == 15.0
    assert sum(spent.values()) == 60.0


def test_tables_have_a_line_per_row_or_configuration():
    found = units()
    assert f"| {ROWS[0].name} | 17 (16 to 18) | 100.0 | 0.700 |  |" in rate_table(found)
    assert f"| {ROWS[3].name} | 43 (41 to 45) | 40.0 | 0.700 | +0.000 +- 0.000 |" in rate_table(found)
    assert stage_table(found).count("\n") == 1 + len(ROWS)
    assert "| sst2, 1 layers, batch 16, 2 epochs, 2.2e-05 | 0.700 |" in score_table(found, PAIR)


def test_every_row_is_measured_on_every_task_in_an_order_that_rotates(tmp_path, monkeypatch, capsys):
    asked: list[tuple[str, str]] = []

    def run(row, configurations, rows, round_):
        asked.append((row.name, configurations[0].task))
        fits = tuple(Fit(0.7, 50.0, {"train": 30.0}) for _ in configurations)
        return Unit(row.name, configurations[0].task, round_, 100.0, 50.0, fits, {"start": 8.0}, load_1m=0.5)

    monkeypatch.setattr(throughput, "run_unit", run)
    monkeypatch.setattr(throughput, "has_data", lambda data, task: True)
    monkeypatch.setattr(throughput, "load_subset", lambda data, task, size: None)
    monkeypatch.setattr(throughput, "write_rows", lambda folder, task: None)
    assert main(["--rounds", "2", "--json", str(tmp_path / "out.json")]) == 1  # all rows equally fast
    firsts = [asked[i] for i in range(0, len(asked), len(ROWS))]
    assert firsts == [(ROWS[0].name, "sst2"), (ROWS[1].name, "mrpc"), (ROWS[2].name, "sst2"), (ROWS[3].name, "mrpc")]
    assert len(set(asked)) == len(ROWS) * len(TASKS)
    written = json.loads((tmp_path / "out.json").read_text())
    assert Configuration(**written["configurations"][0]) == CONFIGURATIONS[0]
    assert len(written["units"]) == 16
    assert {"commit", "machine", "versions", "ratios", "seconds_per_trial"} <= written.keys()
    assert capsys.readouterr().out.splitlines()[-6].startswith("| | trials per hour |")


def test_without_the_data_it_says_so(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 0
    assert (
        capsys.readouterr().out == f"skipped: no rows of sst2, mrpc in `{tmp_path}`; name their folder with `--data`\n"
    )


def test_only_the_second_row_is_told_how_many_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert [environment(row).get("OMP_NUM_THREADS") for row in ROWS] == [None, "1", None, None]


@pytest.mark.slow
@pytest.mark.skipif(not all(has_data(DEFAULT_DATA, task) for task in TASKS), reason="needs ../shared/data")
def test_the_four_rows_really_train(tmp_path, capsys):
    assert main(["--quick", "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())["units"]
    assert [unit["row"] for unit in found[:4]] == [row.name for row in ROWS]
    for unit in found:
        (fit,) = unit["fits"]
        assert fit["f1"] > 0.3
        assert fit["stages"]["train"] > 0.5 * sum(fit["stages"].values())
        assert sum(fit["stages"].values()) <= fit["wall_s"] * 1.01
        assert 0 < unit["once"]["start"] < unit["wall_s"]
