"""Whole runs on a tiny model: the run folder, repeating, replaying, predicting, interrupting and resuming."""

import csv
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from command_line import start, xautolm
from sentences import opinion

from xautolm import AutoLM, pareto, registry
from xautolm.config import make_settings
from xautolm.errors import RunError, RunFolderError
from xautolm.experience.from_run import experiences_of_run
from xautolm.experience.journal import read_journal
from xautolm.experience.store import ExperienceStore
from xautolm.records import Objective
from xautolm.replaying import replay_run
from xautolm.search.plan import Plan

# A run starts a worker (4-7 s, more on a busy machine); trials take a fraction of a second.
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
pytestmark = pytest.mark.timeout(240)


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the runs of this module that say so."""
    return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'store.db'}"


@pytest.fixture(scope="module")
def first(tmp_path_factory, tiny_bert, opinions, store):
    """A finished run with string labels, started with relative paths."""
    cwd = tmp_path_factory.mktemp("first")
    shutil.copytree(tiny_bert, cwd / "tiny-bert")
    shutil.copy(opinions, cwd)
    options = ("--models", "./tiny-bert", "--budget", "7trials", "--workers", "1", "--threads", "1", "--json")
    options += ("--no-starter",)
    ended = xautolm("fit", "opinions.csv", *options, "--out", "run", cwd=cwd, store=store)
    return cwd / "run", ended


def test_json_prints_one_document_and_nothing_else(first):
    folder, ended = first
    assert ended.stdout.count("\n") == 1
    printed = json.loads(ended.stdout)
    assert printed == {**read_json(folder / "run.json"), "folder": "run"}
    assert "trial 0" in ended.stderr


def test_run_json_has_the_fields_of_the_contract(first):
    run = read_json(first[0] / "run.json")
    assert run["status"] == "complete"
    assert run["task"] == "text-classification"
    assert run["objectives"] == [
        {"name": "f1", "direction": "maximize"},
        {"name": "time", "direction": "minimize"},
    ]
    assert run["n_trials"] == 7
    assert run["n_ok"] + run["n_stopped"] + run["n_failed"] == 7
    assert run["baselines"] == {"majority": -1, "tfidf_logreg": -2, "embedding_logreg": -3}
    assert run["n_baselines"] == 3
    results = read_journal(first[0] / "trials.jsonl", repair=False)
    assert run["best"] in pareto.front(results, OBJECTIVES)
    assert set(run["test"]) == {"f1", "accuracy"}
    assert set(run["prior"]) == {"kind", "n_experiences", "weight"}
    assert run["prior"]["n_experiences"] == 0
    assert run["seed"] == 0
    assert 0 < run["wall_s"] < 100
    assert run["versions"]["torch"]
    assert run["machine"]["usable_cores"] >= 1
    assert len(run["run_id"]) == 36


def test_every_line_of_the_journal_has_the_fields_of_the_contract(first):
    lines = (first[0] / "trials.jsonl").read_text().splitlines()
    baselines, trials = (list(map(json.loads, part)) for part in (lines[:3], lines[3:]))
    assert [trial["trial_id"] for trial in baselines] == [-1, -2, -3]
    assert all(trial.pop("exportable") is False for trial in baselines)
    assert all(set(trial) == set(trials[0]) for trial in baselines)
    assert [trial["trial_id"] for trial in trials] == list(range(7))
    for number, trial in enumerate(trials):
        assert set(trial) == {
            *("trial_id", "status", "pipeline", "scores", "cost", "curve", "seed", "n_threads", "n_parallel"),
            *("requested", "seen", "beside", "error", "started_at", "finished_at"),
        }
        assert set(trial["cost"]) == {
            *("time_s", "cached_s", "train_s", "predict_s", "peak_mem_mib", "energy_wh"),
            *("n_trainable", "size_mib", "latency_ms", "load_s", "peak_host_mib", "peak_device_mib"),
            "energy_wh_estimate",
        }
        cost = trial["cost"]
        assert cost["n_trainable"] > 0
        assert 0 < cost["load_s"] + cost["train_s"] + cost["predict_s"] < cost["time_s"] + 1e-6
        assert cost["peak_host_mib"] == cost["peak_mem_mib"]  # on a CPU
        assert cost["peak_device_mib"] is None
        assert 0 < trial["cost"]["size_mib"] < 5
        assert 0 < trial["cost"]["latency_ms"] < 1000
        assert trial["status"] == "ok"
        assert trial["error"] is None
        assert trial["cost"]["time_s"] > trial["cost"]["train_s"] > 0
        assert 1 <= len(trial["curve"]) <= 8
        assert 0 <= trial["scores"]["f1"] <= 1
        assert trial["pipeline"]["model"] == "tiny-bert"
        assert trial["seen"] == list(range(number))  # one worker
        assert trial["started_at"] < trial["finished_at"]
    assert {trial["pipeline"]["method"] for trial in trials[:4]} == {"head", "lora", "partial", "full"}


def test_the_folder_alone_gives_a_store_the_same_experiences(first, store, tmp_path):
    folder, _ = first
    run_id = read_json(folder / "run.json")["run_id"]
    with ExperienceStore(store) as opened:
        remembered = [e for e in opened.load() if e.run_id == run_id]
    assert experiences_of_run(folder) == remembered
    assert remembered[0].time_limit_s > 0
    assert len(remembered[0].sketch) == 160  # rows of the file
    ended = xautolm("store", "add", folder, cwd=tmp_path, store=f"sqlite:///{tmp_path / 'other.db'}")
    assert ended.stdout == "7 of 7 experiences were new\n"
    assert "0 of 7" in xautolm("store", "add", folder, cwd=tmp_path, store=store).stdout


def test_the_rest_of_the_folder_is_there_and_the_scratch_is_gone(first):
    folder, _ = first
    names = {path.name for path in folder.iterdir()}
    assert names >= {"run.json", "trials.jsonl", "config.yaml", "report.html", "model", "trials", "space.json"}
    assert "work" not in names
    assert not [name for name in names if name.startswith(".model")]
    assert all((folder / "trials" / f"{i}.log").is_file() for i in range(7))
    page = (folder / "report.html").read_text()
    assert "<html" in page
    assert "tiny-bert" in page
    front = pareto.front(read_journal(folder / "trials.jsonl", repair=False), OBJECTIVES)
    assert {int(path.name) for path in (folder / "checkpoints").iterdir()} == set(front)
    assert not list(folder.rglob("*.pkl")) + list(folder.rglob("*.bin"))


def test_the_model_folder_says_where_it_comes_from(first):
    folder, _ = first
    info = read_json(folder / "model" / "xautolm.json")
    run = read_json(folder / "run.json")
    assert (info["run_id"], info["trial_id"], info["labels"]) == (run["run_id"], run["best"], ["neg", "pos"])
    config = read_json(folder / "model" / "config.json")
    assert config["id2label"] == {"0": "neg", "1": "pos"}
    settings = read_json(folder / "model" / "tokenizer_config.json")
    assert settings["model_max_length"] == info["pipeline"]["max_length"]
    card = (folder / "model" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "tiny-bert" in card


def test_predict_writes_labels_and_probabilities(first, tmp_path, store):
    folder, _ = first
    rows = [opinion(i, positive=bool(i % 2)) for i in range(1000, 1040)] + ["", "good " * 200, "zebra, 'quoted'"]
    pd.DataFrame({"id": range(len(rows)), "text": rows}).to_csv(tmp_path / "new.csv", index=False)
    xautolm("predict", folder, tmp_path / "new.csv", "-o", tmp_path / "out.csv", cwd=tmp_path, store=store)
    out = pd.read_csv(tmp_path / "out.csv")
    assert list(out.columns) == ["id", "text", "prediction", "prob_neg", "prob_pos"]
    assert len(out) == len(rows)
    assert (out["prob_neg"] + out["prob_pos"]).between(0.999, 1.001).all()
    assert (out["prediction"] == out[["prob_neg", "prob_pos"]].idxmax(axis=1).str.removeprefix("prob_")).all()
    truth = ["pos" if i % 2 else "neg" for i in range(40)]
    assert (out["prediction"][:40] == truth).mean() > 0.6


def settings_of(folder):
    return make_settings(yaml.safe_load((folder / "config.yaml").read_text()))


@pytest.fixture(scope="module")
def repeated(first, tmp_path_factory, store):
    """The first run once more from its `config.yaml`, elsewhere, with the same store."""
    cwd = tmp_path_factory.mktemp("repeated")
    xautolm("fit", "--config", first[0] / "config.yaml", "--out", cwd / "run", cwd=cwd, store=store)
    return cwd / "run"


@pytest.mark.parametrize("run", ["cold", "warm"])
def test_replaying_the_journal_proposes_the_identical_sequence(run, first, request):
    """A proposal is a pure function of seed, trial number, prior and the finished trials that it was shown."""
    folder = first[0] if run == "cold" else request.getfixturevalue("repeated")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found = replay_run(folder)
    assert (found.n_trials, found.differences, found.versions) == (7, (), {})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_second_run_is_warm(repeated, first):
    prior = read_json(repeated / "run.json")["prior"]
    assert prior["kind"] == "learned"
    assert prior["n_experiences"] > 0
    assert 0 <= prior["weight"] <= 1
    assert prior["agreement"] is None or -1 <= prior["agreement"] <= 1
    assert read_json(repeated / "prior.json")["neighbours"][0]["dataset_id"] == "opinions"
    assert read_json(repeated / "run.json")["run_id"] != read_json(first[0] / "run.json")["run_id"]


def test_config_yaml_has_the_same_settings_and_no_output_path(repeated, first):
    assert (repeated / "config.yaml").read_text() == (first[0] / "config.yaml").read_text()
    fields = yaml.safe_load((repeated / "config.yaml").read_text())
    assert "out" not in fields
    assert Path(fields["data"]).is_absolute()
    assert len(fields["data_sha256"]["train"]) == 64


@pytest.fixture(scope="module")
def cold(first, tmp_path_factory, store):
    """The same settings without the store's experience."""
    cwd = tmp_path_factory.mktemp("cold")
    options = ("--config", first[0] / "config.yaml", "--cold", "--budget", "4trials", "--no-starter", "--no-semantic")
    xautolm("fit", *options, "--out", cwd / "run", cwd=cwd, store=store)
    return cwd / "run"


def test_a_cold_run_knows_nothing(cold):
    assert read_json(cold / "run.json")["prior"] == {"kind": "none", "n_experiences": 0, "weight": 0.0}


def test_the_profile_holds_a_mean_embedding_unless_it_is_switched_off(first, repeated, cold):
    embedded, again, plain = (read_json(folder / "data.json")["profile"] for folder in (first[0], repeated, cold))
    assert len(embedded["semantic"]) == 384
    assert 0 < sum(value**2 for value in embedded["semantic"]) < 1  # a mean of vectors of length 1
    assert embedded["task"]["neighbour_landmark"] > 0.5
    assert again == embedded
    assert plain["semantic"] is None
    assert plain["system"] == embedded["system"]
    assert (plain["system_schema"], plain["system_name"]) == ("system/2", embedded["system_name"])
    assert {"n_gpus", "compute_capability", "matmul_gflops", "train_rows_per_s"} < set(plain["system"])


def test_the_store_has_the_profile_of_the_run(first, store):
    profile = read_json(first[0] / "data.json")["profile"]
    with ExperienceStore(store) as opened:
        experiences = opened.load(kind="text-classification")
    run_id = read_json(first[0] / "run.json")["run_id"]
    kept = next(item.profile for item in experiences if item.run_id == run_id)
    assert kept.system_name == profile["system_name"]
    assert dict(kept.system) == profile["system"]
    assert kept.semantic == pytest.approx(profile["semantic"], abs=1e-6)


def test_explain_embeds_the_texts_and_finds_the_run(first, tmp_path, store):
    settings = settings_of(first[0])
    options = ("--models", *settings.models, "--methods", "head", "--json")
    found = json.loads(xautolm("explain", settings.data, *options, cwd=tmp_path, store=store).stdout)
    assert found["profile"] == read_json(first[0] / "data.json")["profile"]
    own = [near["groups"]["semantic"] for near in found["near"] if near["is_same_data"]]
    assert own == pytest.approx([0.0] * len(own), abs=1e-6)
    assert own
    assert list(tmp_path.iterdir()) == []


def test_the_same_settings_give_the_same_trials_and_scores(cold, first):
    again, before = (read_journal(folder / "trials.jsonl", repair=False)[:4] for folder in (cold, first[0]))
    assert [result.pipeline for result in again] == [result.pipeline for result in before]
    assert [result.seed for result in again] == [result.seed for result in before]
    assert [result.scores for result in again] == [result.scores for result in before]


def test_data_that_changed_since_the_configuration_are_refused(first, tmp_path, store):
    fields = yaml.safe_load((first[0] / "config.yaml").read_text())
    fields["data"] = shutil.copy(fields["data"], tmp_path / "opinions.csv")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**fields, "data": str(fields["data"])}))
    with (tmp_path / "opinions.csv").open("a") as file:
        file.write("one more row,pos\n")
    ended = xautolm("fit", "--config", "config.yaml", "--out", "run", cwd=tmp_path, store=store, check=False)
    assert ended.returncode == 2
    assert "changed" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_resume_of_a_complete_run_changes_nothing(first, tmp_path, store):
    folder, _ = first
    before = (folder / "trials.jsonl").read_bytes(), (folder / "run.json").read_bytes()
    ended = xautolm("resume", folder, cwd=tmp_path, store=store)
    assert "nothing to do" in ended.stderr
    assert ((folder / "trials.jsonl").read_bytes(), (folder / "run.json").read_bytes()) == before


def test_report_prints_the_front_and_writes_the_page_anew(first, tmp_path, store):
    folder, _ = first
    (folder / "report.html").unlink()
    ended = xautolm("report", folder, cwd=tmp_path, store=store)
    assert "Pareto front" in ended.stdout
    assert (folder / "report.html").is_file()
    assert json.loads(xautolm("report", folder, "--json", cwd=tmp_path, store=store).stdout)["status"] == "complete"


def test_integer_labels_and_pairs_through_the_python_interface(tiny_bert, tmp_path, own_store):
    rows = [(opinion(i, positive=bool(i % 2)), opinion(i + 500, positive=True), 10 * (i % 2)) for i in range(80)]
    frame = pd.DataFrame(rows, columns=["premise", "hypothesis", "target"])
    frame.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    automl = AutoLM(
        budget="2trials",
        models=(str(tiny_bert),),
        methods=("head", "full"),
        seed=3,
        column={"text": "premise", "text_pair": "hypothesis"},
        semantic=False,
        quotes=False,
    )
    report = automl.fit(tmp_path / "pairs.jsonl", out=tmp_path / "run")
    assert not (tmp_path / "run" / "test_worst.json").exists()
    assert report.folder == tmp_path / "run"
    assert len(report.trials) == 2
    assert set(report.trials["method"]) == {"head", "full"}
    assert list(report.front["trial_id"]) == list(report.facts.front)
    assert set(report.test) == {"f1", "accuracy"}
    assert report.best.trial.trial_id == report.facts.best
    exported = report.best.export(tmp_path / "exported")
    with pytest.raises(RunFolderError, match="not to exist"):
        report.best.export(tmp_path / "exported")
    frame.head(5).drop(columns="target").to_csv(tmp_path / "new.csv", index=False)
    xautolm("predict", exported, "new.csv", "-o", "out.jsonl", "--json", cwd=tmp_path, store=own_store)
    predicted = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {type(row["prediction"]) for row in predicted} == {int}
    assert {row["prediction"] for row in predicted} <= {0, 10}
    assert {"prob_0", "prob_10"} <= set(predicted[0])
    assert AutoLM.load(tmp_path / "run").facts.best == report.facts.best


def test_boolean_labels_given_splits_and_a_refit(tiny_distilbert, tmp_path, own_store):
    for name, begin, n in (("train", 0, 60), ("valid", 100, 20), ("test", 200, 20)):
        lines = [{"text": opinion(i, positive=bool(i % 2)), "label": bool(i % 2)} for i in range(begin, begin + n)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = ("--models", tiny_distilbert, "--methods", "head", "--budget", "1trials", "--out", "run", "--refit")
    files = ("train.jsonl", "--valid", "valid.jsonl", "--test", "test.jsonl")
    ended = xautolm("fit", *files, *options, "--no-semantic", cwd=tmp_path, store=own_store)
    assert "60 train, 20 validation, 20 test rows" in ended.stderr
    assert "Recommended: trial 0" in ended.stdout
    assert read_json(tmp_path / "run" / "run.json")["refit"]["n_rows"] == 80
    xautolm("predict", "run", "test.jsonl", "-o", "out.jsonl", cwd=tmp_path, store=own_store)
    predicted = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {type(row["prediction"]) for row in predicted} == {bool}
    accuracy = sum(row["prediction"] == row["label"] for row in predicted) / 20
    assert accuracy == pytest.approx(read_json(tmp_path / "run" / "run.json")["test"]["accuracy"])


def wait_for_trials(process, journal, n_trials):
    while not journal.exists() or journal.read_bytes().count(b"\n") < n_trials:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_keeps_everything_and_can_be_resumed(number, tiny_bert, opinions, tmp_path, own_store):
    data = Path(shutil.copy(opinions, tmp_path / "data.csv"))
    run = tmp_path / "run"
    options = ("--models", tiny_bert, "--budget", "60trials", "--out", run, "--no-semantic")
    process = start("fit", data, *options, cwd=tmp_path, store=own_store)
    wait_for_trials(process, run / "trials.jsonl", 6)  # three of them baselines
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopping" in err
    assert "Pareto front" in out
    state = read_json(run / "run.json")
    kept = (run / "trials.jsonl").read_bytes()
    assert state["status"] == "interrupted"
    assert state["test"] is None
    assert state["n_baselines"] == 3
    assert 3 <= state["n_trials"] == kept.count(b"\n") - 3 < 60
    assert read_json(run / "model" / "xautolm.json")["trial_id"] == state["best"]
    assert "interrupted" in (run / "report.html").read_text()

    content = data.read_bytes()
    data.write_bytes(content + b"one more row,pos\n")
    refused = xautolm("resume", run, cwd=tmp_path, store=own_store, check=False)
    assert refused.returncode == 2
    assert "have changed" in refused.stderr
    assert read_json(run / "run.json") == state
    data.write_bytes(content)

    settings = yaml.safe_load((run / "config.yaml").read_text())
    n_more = state["n_trials"] + 2
    (run / "config.yaml").write_text(yaml.safe_dump({**settings, "budget": f"{n_more}trials"}))
    ended = xautolm("resume", run, "--json", cwd=tmp_path, store=own_store)
    printed = json.loads(ended.stdout)
    assert printed["status"] == "complete"
    assert printed["n_trials"] == n_more
    assert printed["test"] is not None
    assert printed["wall_s"] > state["wall_s"]
    assert (run / "trials.jsonl").read_bytes().startswith(kept)
    ids = [json.loads(line)["trial_id"] for line in (run / "trials.jsonl").read_text().splitlines()]
    assert sorted(ids) == list(range(-3, n_more))
    replayed = xautolm("replay", run, cwd=tmp_path, store=own_store).stdout
    assert replayed == f"{n_more} of {n_more} trials are proposed again exactly as they were recorded\n"


BROKEN_METHOD = """
from xautolm.methods.head import HeadOnly

class Broken(HeadOnly):
    name = "broken"

    def prepare(self, classifier, params):
        raise RuntimeError("no such luck: 'Zanzibar42 said' in Zanzibar42 of /home/Zanzibar42/x.csv\\nZanzibar42")

METHOD = Broken()
"""


def test_a_run_in_which_nothing_works_fails_and_says_why(tiny_bert, opinions, tmp_path, monkeypatch, own_store):
    (tmp_path / "broken_method.py").write_text(BROKEN_METHOD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry._added, "methods", {"broken": "broken_method:METHOD"})
    automl = AutoLM(budget="2trials", models=(str(tiny_bert),), methods=("broken",), semantic=False)
    with pytest.raises(RunError, match=r"none of the 2 trials worked \(RuntimeError 2 times\)"):
        automl.fit(opinions, out=tmp_path / "run")
    run = read_json(tmp_path / "run" / "run.json")
    assert (run["status"], run["n_failed"], run["best"]) == ("failed", 2, None)
    assert all(trial_id < 0 for trial_id in run["front"])  # a baseline is no pipeline to recommend
    errors = [result.error for result in read_journal(tmp_path / "run" / "trials.jsonl")]
    assert [error.kind for error in errors] == ["RuntimeError"] * 2
    log = (tmp_path / "run" / "trials" / "0.log").read_text()
    assert "Traceback" in log
    assert not (tmp_path / "run" / "model").exists()
    assert (tmp_path / "run" / "report.html").is_file()
    # What the message quoted of the data is in the private log, and nowhere in the store.
    assert "Zanzibar42" in log
    with ExperienceStore(own_store) as opened:
        assert [e.result.error.kind for e in opened.load()] == ["RuntimeError"] * 2
    files = list(Path(own_store.removeprefix("sqlite:///")).parent.iterdir())
    assert files
    assert not [file for file in files if b"anzibar" in file.read_bytes()]


def test_the_csv_of_the_data_is_never_copied_out_of_the_scratch(first):
    """Private data never leave the run folder; when the run is complete they are not in it either."""
    folder, _ = first
    with open(settings_of(folder).data) as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    quoting = ("test_worst.json", "report.html")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in quoting]
    kept = b"".join(path.read_bytes() for path in files)
    assert not [text for text in texts if text.encode() in kept]
    quoted = read_json(folder / "test_worst.json")["worst"]
    assert len(quoted) <= 20
    assert {row["text"] for row in quoted} <= set(texts)
    assert all(row["expected"] != row["predicted"] for row in quoted)


def test_pipelines_of_the_journal_are_points_of_the_space(first):
    folder, _ = first
    plan = Plan.from_dict(read_json(folder / "space.json"))
    results = read_journal(folder / "trials.jsonl", repair=False)
    assert len(results) == 7
    assert all(plan.space.contains(result.pipeline) for result in results)
