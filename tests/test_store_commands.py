"""`xautolm store ...`: what each command prints, as text and as one JSON document, and how it ends."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from xautolm import cli
from xautolm.experience.store import ExperienceStore
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def store_command(capfd, monkeypatch):
    """Runs `xautolm store ...` in this process."""

    def run(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["xautolm", "store", *map(str, args)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Ended(code, *capfd.readouterr())

    return run


def make(run_id="a", trial_id=0, *, dataset="reviews", f1=0.8, status="ok", source="machine", system_name="EPYC"):
    is_ok = status == "ok"
    return Experience(
        run_id=run_id,
        dataset_id=dataset,
        fingerprint=f"fp-{dataset}",
        sketch=(1, 2, 3),
        profile=Profile("classification/1", {"n_train": 100.0}, "system/1", {"cores": 2.0}, system_name=system_name),
        result=TrialResult(
            trial_id,
            status,
            Pipeline("MiniLM", "lora", {"learning_rate": 1e-4}),
            {"f1": f1} if is_ok else {},
            Cost(12.5),
            seed=0,
            error=None if is_ok else TrialError("oom_train", "CUDA out of memory"),
        ),
        space_version="1",
        versions={"torch": "2.13.0"},
        model_revision="r",
        source=source,
        created_at="2026-01-02T00:00:00+00:00",
    )


SOME = [make(), make("a", 1, f1=0.9), make("a", 2, status="oom"), make("b", 0, dataset="trec", source="import")]


@pytest.fixture
def filled(own_store):
    with ExperienceStore(own_store) as opened:
        opened.add(SOME)
    return own_store


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_info_counts_what_is_there(store_command, filled):
    text = store_command("info").out
    assert f"Store     {filled} (" in text
    assert "schema 0002)" in text
    assert "Holds     4 experiences on 2 tasks of 2 data sets, made 2026-01-02 to 2026-01-02" in text
    assert "Status    ok 3, oom 1" in text
    assert "Machines  EPYC 4" in text
    found = store_command("info", "--json").json
    assert (found["n_experiences"], found["statuses"], found["url"]) == (4, {"ok": 3, "oom": 1}, filled)


def test_list_has_a_line_per_data_set(store_command, filled):
    head, first, second = store_command("list").out.splitlines()
    assert head.split()[:2] == ["data", "set"]
    assert first.split() == ["reviews", "text-classification", "3", "2", "0.900", "1", "2026-01-02"]
    assert second.split()[0] == "trec"
    assert [line["dataset_id"] for line in store_command("list", "--json").json] == ["reviews", "trec"]


def test_show_tells_about_a_data_set(store_command, filled):
    text = store_command("show", "reviews").out
    assert "reviews (text-classification): ok 2, oom 1" in text
    assert "Machine EPYC: 3 experiences, 2 ok; cores 2" in text
    assert text.splitlines()[-2].split() == ["2", "MiniLM", "lora", "0.900", "12.5", "s"]
    found = store_command("show", "reviews", "--json").json
    assert [row["experience_id"] for row in found["best"]] == [2, 1]
    assert found["groups"][0]["profile"]["task"] == {"n_train": 100.0}


def test_show_tells_about_an_experience(store_command, filled):
    text = store_command("show", "3").out
    assert "Experience 3: trial 2 of run a, oom" in text
    assert "Error      oom_train: CUDA out of memory" in text
    assert store_command("show", "2", "--json").json["result"]["scores"] == {"f1": 0.9}


@pytest.mark.parametrize("what", ["nothing", "99", "-1", "9" * 40, "²"])
def test_show_of_something_unknown_says_what_to_do(store_command, filled, what):
    ended = store_command("show", "--", what)
    assert ended.code == 2
    assert "`xautolm store list` names the data sets" in ended.err


def test_names_of_others_cannot_steer_the_terminal(store_command, own_store):
    with ExperienceStore(own_store) as opened:
        opened.add([make(dataset="\x1b[31mred\u202e", system_name="\x1b]0;title\x07")])
    for command in (["info"], ["list"], ["show", "1"], ["show", "\x1b[31mred\u202e"]):
        text = store_command(*command).out
        assert not {"\x1b", "\x07", "\u202e"} & set(text), command


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_what_is_exported_is_imported_without_a_loss(store_command, filled, tmp_path, suffix):
    file, other = tmp_path / f"dump.{suffix}", f"sqlite:///{tmp_path / 'other.db'}"
    assert store_command("export", file).out == f"4 experiences written to {file}\n"
    assert store_command("import", file, "--store", other).out == "4 of 4 experiences were new\n"
    again = store_command("import", file, "--store", other, "--json").json
    assert (again["n_read"], again["n_new"], again["n_rejected"]) == (4, 0, 0)
    with ExperienceStore(other) as opened:
        assert list(opened.iterate()) == SOME


def test_a_file_with_bad_rows_adds_nothing_without_a_report(store_command, filled, tmp_path):
    file, other = tmp_path / "dump.jsonl", f"sqlite:///{tmp_path / 'other.db'}"
    store_command("export", file)
    file.write_text(file.read_text().replace('"trial_id":1', '"trial_id":-1'))
    ended = store_command("import", file, "--store", other)
    assert ended.code == 2
    assert "nothing was added" in ended.err
    assert "`trial_id` must be an integer from 0" in ended.err
    assert store_command("info", "--store", other, "--json").json["n_experiences"] == 0
    ended = store_command("import", file, "--store", other, "--rejects", tmp_path / "report.jsonl")
    assert (ended.code, ended.out) == (0, "3 of 3 experiences were new, 1 rows left out\n")
    (row,) = map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())
    assert "`trial_id`" in row["reason"]


def test_a_report_that_cannot_be_written_is_noticed_before_anything_is_added(store_command, filled, tmp_path):
    store_command("export", tmp_path / "dump.jsonl")
    other = tmp_path / "other.db"
    ended = store_command(
        "import", tmp_path / "dump.jsonl", "--store", f"sqlite:///{other}", "--rejects", tmp_path / "no" / "report"
    )
    assert ended.code == 2
    assert "cannot write the report" in ended.err
    assert not other.exists()


def test_runs_of_a_trainer_are_imported_once(store_command, own_store, tmp_path):
    folder = next(FIXTURES.rglob("trainer_run"))
    first, again = (store_command("import", folder, "--from", "hf", "--name", "reviews", "--json") for _ in range(2))
    assert (first.code, first.json["n_new"], again.json["n_new"]) == (0, 1, 0)
    found = store_command("info", "--json").json
    assert found["sources"] == {"import": 1}
    assert [line["dataset_id"] for line in store_command("list", "--json").json] == ["reviews"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nothing.jsonl"], "there is no file `nothing.jsonl`"),
        (["import", "data.csv"], "ends in .jsonl, .jsonl.gz, .parquet, got 'data.csv'"),
        (["import", "nothing", "--from", "paper"], "nothing"),
        (["import", "x.jsonl", "--from", "magic"], "'magic'"),
        (["import", "x.jsonl", "--name", "study"], "leave 'study' out"),
        (["export", "dump.csv"], "got 'dump.csv'"),
        (["prune"], "say what to remove"),
        (["prune", "--older-than", "long ago"], "'long ago'"),
        (["add", "nothing"], "expected a run folder"),
    ],
)
def test_wrong_use_is_refused_with_code_2(store_command, filled, arguments, message):
    before = path_of(filled).read_bytes()
    ended = store_command(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") <= 4
    assert path_of(filled).read_bytes() == before


@pytest.mark.parametrize("command", ["info", "list", "check", "audit"])
def test_looking_makes_no_store(store_command, tmp_path, command):
    ended = store_command(command, "--store", f"sqlite:///{tmp_path / 'sub' / 'none.db'}")
    assert ended.code == 1
    assert "There is no experience store at" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_merge_copies_what_is_missing(store_command, filled, tmp_path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert store_command("merge", filled, "--store", other).out == "4 of 4 experiences were new\n"
    assert store_command("merge", filled, "--store", other, "--json").json["n_new"] == 0
    ended = store_command("merge", f"sqlite:///{tmp_path / 'none.db'}")
    assert (ended.code, "There is no experience store" in ended.err) == (1, True)


def test_prune_rehearses_first(store_command, filled):
    assert store_command("prune", "--dataset", "trec", "--dry-run").out == "1 experiences would be removed: trec 1\n"
    assert store_command("info", "--json").json["n_experiences"] == 4
    assert store_command("prune", "--older-than", "2020-01-01").out == "0 experiences were removed\n"
    assert store_command("prune", "--older-than", "1d", "--source", "machine", "--json").json == {
        "n_removed": 3, "datasets": {"reviews": 3}, "is_dry_run": False,
    }  # fmt: skip
    assert store_command("info", "--json").json["n_experiences"] == 1


def test_check_ends_with_1_when_something_is_damaged(store_command, filled):
    assert store_command("check").out == "4 experiences checked, no problems\n"
    connection = sqlite3.connect(path_of(filled))
    with connection:
        connection.execute("UPDATE experiences SET model_revision = 'forged' WHERE experience_id = 1")
    connection.close()
    assert store_command("check", "--json").json["problems"][0]["where"] == "experience 1"
    ended = store_command("check")
    assert ended.code == 1
    assert "experience 1: is not what it was when it was written" in ended.out


def test_audit_judges_each_data_set(store_command, own_store):
    with ExperienceStore(own_store) as opened:
        opened.add(make(name, i, dataset=name, f1=0.5 + i / 30) for name in ("x", "y") for i in range(12))
    assert store_command("audit").out.splitlines()[-2].startswith("2 tasks: helped")
    found = store_command("audit", "--json").json
    assert [task["dataset_id"] for task in found["tasks"]] == ["x", "y"]
    assert store_command("audit", "--kind", "unheard-of").out == "The store holds no experiences of this kind.\n"
