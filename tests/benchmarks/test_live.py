"""The live benchmark: seeds that are added and taken up again, results, tables, the real command."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from live_fixtures import data_option, subject_of, unit

from benchmarks import live
from benchmarks.living.child import Orders
from benchmarks.living.figures import N_GRID
from benchmarks.living.ledger import Ledger, open_ledger
from benchmarks.living.subjects import load_subject, write_subject
from benchmarks.living.tables import first_trials, ranks, report
from benchmarks.living.units import COLD, RANDOM, STRATEGIES, WARM
from xautolm.errors import UsageError
from xautolm.experience.journal import read_journal

ROOT = Path(__file__).parents[2]
NAMES = [strategy.name for strategy in STRATEGIES]


class Fake:
    """Stands in for the processes; may be stopped before unit `stop_at`."""

    def __init__(self, stop_at=None):
        self.asked, self.stop_at = [], stop_at

    def __call__(self, options):
        def measure(strategy, subject, seed, folder):
            if len(self.asked) == self.stop_at:
                raise KeyboardInterrupt
            self.asked.append((subject.name, strategy.name, seed))
            return unit(subject.name, strategy.name, seed)

        return measure


# ------------------------------------------------------------------------------------------------- seeds and results


def test_one_call_adds_one_seed_in_an_order_that_rotates(tmp_path, capsys):
    fake = Fake()
    arguments = ["--json", str(tmp_path / "live.json")]
    for name in ("one", "two"):
        arguments += ["--data", data_option(tmp_path, name)]
    for _ in range(4):
        assert live.main(arguments, measure=fake) == 0
    assert [seed for _, _, seed in fake.asked] == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 8
    for task in ("one", "two"):
        mine = [strategy for name, strategy, _ in fake.asked if name == task]
        assert {mine[i] for i in (0, 4, 8, 12)} == set(NAMES), "each is first once"
    saved = json.loads((tmp_path / "live.json").read_text())
    assert len(saved["units"]) == 32
    assert {
        "minutes",
        "trainer_settings",
        "commit",
        "versions",
        "machine",
        "grid_s",
        "tasks",
        "summary",
    } <= saved.keys()
    first = saved["units"][0]
    assert {"status", "pipeline", "scores", "cost", "ended_s", "error"} <= first["trials"][0].keys()
    assert len(first["curves"]["best_f1"]) == len(saved["grid_s"]) == N_GRID
    over = saved["summary"]["one"][WARM]
    assert over["seeds"] == [0, 1, 2, 3]
    assert over["figures"]["f1_end"] == {"median": 0.8, "low": 0.8, "high": 0.8}
    assert len(over["curves"]["hypervolume"]["median"]) == N_GRID
    places = [entry["place"] for entry in saved["units"]]
    assert places == [0, 1, 2, 3] * 8


def test_a_call_that_was_stopped_goes_on_where_it_was(tmp_path, capsys):
    arguments = ["--json", str(tmp_path / "live.json"), "--data", data_option(tmp_path, "one")]
    assert live.main(arguments, measure=Fake(stop_at=2)) == 130
    assert "the same command goes on" in capsys.readouterr().err
    rest = Fake()
    assert live.main(arguments, measure=rest) == 0
    assert [asked[1:] for asked in rest.asked] == [(name, 0) for name in NAMES[2:]]
    again = Fake()
    assert live.main([*arguments, "--seed", "0"], measure=again) == 0
    assert again.asked == []


def test_what_is_read_again_is_what_was_written(tmp_path):
    path = tmp_path / "live.json"
    ledger = open_ledger(path, 1.0, "ours")
    ledger.add_subjects([subject_of(tmp_path)])
    one = unit("reviews", WARM, 0, (None, 0.7), left_out={"n_rows": 3, "n_all": 9, "data_sets": ["x"]}, problem="slow")
    ledger.add(one)
    read = open_ledger(path, 1.0, "ours")
    assert read.units == [one]
    assert read.to_dict()["units"] == ledger.to_dict()["units"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minutes", "0"], "expected `--minutes` of at least 0.1, got 0.0"),
        (["--minutes", "nan"], "expected `--minutes` of at least 0.1, got nan"),
        (["--seed", "-1"], "expected a `--seed` of at least 0, got -1"),
        (["--data", "x=only.csv"], "expected `--data NAME=TRAIN,VALID`"),
        (["--data", "a/b=x.csv,y.csv"], "expected `--data NAME=TRAIN,VALID`"),
        (["--data", "x=missing.csv,also.csv"], "'missing.csv' is not there"),
        (["--tasks", "trec,trec"], "expected every task once, got 'trec' again"),
        (["--tasks", ""], "a task has no name"),
        (["--tasks", "trec", "--data-folder", "nowhere"], "expected the data set 'trec' in `nowhere`"),
        (["--json", "nowhere/live.json"], "cannot write `--json nowhere/live.json`"),
    ],
)
def test_bad_input_is_one_clear_error_and_nothing_is_run(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if not any(option in arguments for option in ("--data", "--tasks")):
        arguments = [*arguments, "--data", data_option(tmp_path, "one")]
    fake = Fake()
    assert live.main(arguments, measure=fake) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert fake.asked == []


def test_tasks_are_those_of_the_files_where_files_are_given(tmp_path, capsys):
    data = ["--data", data_option(tmp_path, "one"), "--data", data_option(tmp_path, "two")]
    assert live.main([*data, "--tasks", "three"], measure=Fake()) == 2
    assert "expected `--tasks` out of those of `--data` (one, two), got 'three'" in capsys.readouterr().err
    fake = Fake()
    assert live.main([*data, "--tasks", "two"], measure=fake) == 0
    assert {name for name, _, _ in fake.asked} == {"two"}


def test_data_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("text,score\n" + "".join(f"text {i},{i / 7:.3f}\n" for i in range(40)))
    with pytest.raises(UsageError, match="expected data of `text-classification` for 'marks'"):
        load_subject("marks", [str(path), str(path)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes": 2.0}, "were run with `--minutes 2.0`, not 3.0"),
        ({"trainer_settings": "defaults"}, "were run with `--trainer-settings defaults`, not ours"),
        ({"machine": {"cpu": "abacus"}}, "were run on another machine (cpu 'abacus'"),
        ({"units": [{"task": "x"}]}, "expected a file that `--json` wrote"),
        ({"units": None}, "expected a file that `--json` wrote"),
    ],
)
def test_seeds_under_other_conditions_are_not_mixed(change, said, tmp_path, capsys):
    path = tmp_path / "live.json"
    arguments = ["--json", str(path), "--data", data_option(tmp_path, "one")]
    assert live.main(arguments, measure=Fake()) == 0
    changed = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(changed))
    capsys.readouterr()
    assert live.main(arguments, measure=Fake()) == 2
    assert said in capsys.readouterr().err
    assert json.loads(path.read_text()) == changed


def test_a_task_with_other_rows_needs_another_name(tmp_path, capsys):
    arguments = ["--json", str(tmp_path / "live.json"), "--data", data_option(tmp_path, "one")]
    assert live.main(arguments, measure=Fake()) == 0
    (tmp_path / "one-train.csv").write_text(
        "text,label\n" + "".join(f"new {i},{'good' if i % 2 else 'bad'}\n" for i in range(60))
    )
    assert live.main(arguments, measure=Fake()) == 2
    assert "expected the rows of 'one' that the earlier seeds" in capsys.readouterr().err


def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path, capsys):
    path = tmp_path / "live.json"
    path.write_text('{"strategies": {}}')
    assert live.main(["--json", str(path), "--data", data_option(tmp_path, "one")], measure=Fake()) == 2
    assert "expected a file that `--json` wrote" in capsys.readouterr().err
    assert path.read_text() == '{"strategies": {}}'


# ----------------------------------------------------------------------------------------------------------- tables


def ledger_of(scores, n_seeds=1):
    """One task; strategy -> F1 of its trials, one tuple per seed."""
    ledger = Ledger(1.0, "ours")
    ledger.tasks["trec"] = {"constant_f1": 0.1, "fingerprint": "f"}
    for seed in range(n_seeds):
        for name in NAMES:
            mine = scores.get(name, ((0.5,),) * n_seeds)[seed]
            left = {"n_rows": 155, "n_all": 700, "data_sets": ["trec"]} if name == WARM else None
            prior = {"n_experiences": 545} if name == WARM else None
            ledger.units.append(unit("trec", name, seed, mine, left_out=left, prior=prior))
    return ledger


def test_the_table_comes_last_and_says_what_must_be_known():
    text = report(ledger_of({WARM: ((0.6, 0.8),)}), ["trec"])
    lines = text.splitlines()
    assert lines[-6].startswith("| task | strategy |")
    assert [line.split(" | ")[1] for line in lines[-4:]] == NAMES
    assert "FEWER THAN 3 SEEDS of trec" in text
    assert "155 of the 700 rows of the starter store are of the same data (trec) and were left out" in text
    assert "the warm prior rests on 545" in text


def test_three_seeds_show_their_spread_and_no_warning():
    scores = {WARM: ((0.6,), (0.7,), (0.9,)), RANDOM: ((None,), (0.5,), (0.4,))}
    text = report(ledger_of(scores, 3), ["trec"])
    assert "FEWER" not in text
    assert "| 0.700 (0.600 to 0.900) |" in text
    assert "| 0.450 (0.400 to 0.500), none in 1 |" in text


def test_seeds_that_not_all_strategies_have_had_are_not_compared():
    ledger = ledger_of({}, 1)
    ledger.units.append(unit("trec", WARM, 1, (0.99,)))
    assert "0.99" not in report(ledger, ["trec"])
    assert ledger.next_seed(["trec"]) == 1
    assert report(Ledger(1.0, "ours"), []) == "no seed is complete yet; the same command goes on"


def test_the_first_warm_trials_are_held_against_the_median_of_ten_cold_ones():
    cold = tuple(tuple(0.5 + 0.01 * i for i in range(n)) + (0.99,) * (n > 10) for n in (12, 11, 8))
    warm = ((0.58, None, 0.59, 0.9), (0.6, 0.5, 0.5), (None, None, None, 0.99))
    found = first_trials(ledger_of({WARM: warm, COLD: cold}, 3), "trec")
    assert found.cold == pytest.approx(0.59)
    assert found.warm == (0.59, 0.6, None)
    assert (found.n_reached, found.n_cold) == (2, 8)
    text = report(ledger_of({WARM: warm, COLD: cold}, 3), ["trec"])
    assert (
        "trec: best F1 of the first 3 warm trials 0.590, 0.600, -; median best of the first 8 cold trials 0.590" in text
    )
    assert "reached in 2 of 3 seeds" in text


def test_a_busy_machine_and_a_search_without_a_prior_are_said():
    ledger = ledger_of({})
    assert "BUSY" not in report(ledger, ["trec"])
    ledger.units[0] = replace(ledger.units[0], load_1m=1e4, prior=None)
    text = report(ledger, ["trec"])
    assert "THE MACHINE WAS BUSY with other work before 1 of 4 searches" in text
    assert "left out; the search was ended before it had a prior" in text


def test_strategies_that_are_level_share_their_rank():
    ledger = ledger_of({WARM: ((0.9,),)})
    assert [ranks(ledger, "trec", name) for name in NAMES] == [[1.0], [3.0], [3.0], [3.0]]


# ------------------------------------------------------------------------------------------------------- end to end


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_of_the_trainer_that_fails_is_written_down_and_the_search_goes_on(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    from benchmarks.living import trainer

    saved = []

    def train(self, trial=None, **options):
        self._hp_search_setup(trial)
        if trial.number == 0:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if trial.number == 2:
            raise ValueError("odd rows\nwith more to say")

    def evaluate(self, **options):
        return {"eval_f1": 0.5 + 0.1 * (self.running.number == 3)}

    monkeypatch.setattr(transformers.Trainer, "train", train)
    monkeypatch.setattr(transformers.Trainer, "evaluate", evaluate)
    monkeypatch.setattr(trainer.JournallingTrainer, "save_model", lambda self, path: saved.append(Path(path).name))
    write_subject(tmp_path / "rows", subject_of(tmp_path))
    orders = Orders(str(tmp_path / "rows"), str(tmp_path / "unit"), time.monotonic(), 60.0, 0)
    orders.run.mkdir(parents=True)
    trainer.main(orders, n_trials=5)
    results = read_journal(orders.journal)
    assert [result.status for result in results] == ["oom", "ok", "crashed", "ok", "ok"]
    assert results[2].error.message == "odd rows"
    assert results[1].pipeline.params.keys() >= {"learning_rate", "num_train_epochs", "per_device_train_batch_size"}
    assert saved == ["1", "3"], "weights are kept when they are the best so far"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_command_compares_all_four(tmp_path, capsys):
    with (ROOT / "examples" / "data" / "pros_cons.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    parts = {"train": rows[1:241], "valid": rows[241:341], "test": rows[341:441]}
    for name, part in parts.items():
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([rows[0], *part])
    data = f"opinions={','.join(str(tmp_path / f'{name}.csv') for name in parts)}"
    path = tmp_path / "live.json"
    assert live.main(["--data", data, "--minutes", "0.8", "--json", str(path)]) == 0
    saved = json.loads(path.read_text())
    found = {unit["strategy"]: unit for unit in saved["units"]}
    assert list(found) == NAMES
    assert found[WARM]["prior"]["n_experiences"] > 0
    assert found[COLD]["prior"]["n_experiences"] == 0
    assert any(trial["status"] == "ok" for entry in found.values() for trial in entry["trials"])
    for entry in found.values():
        assert entry["problem"] == "" or "no trial finished within the budget" in entry["problem"], "on a busy machine"
        assert all(trial["ended_s"] <= 48 for trial in entry["trials"])
        has_model = any(trial["status"] == "ok" for trial in entry["trials"])
        assert has_model == (entry["test"] is not None)
    assert "| opinions | Trainer + Optuna TPE |" in capsys.readouterr().out
