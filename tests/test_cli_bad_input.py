"""Bad input on the command line: exit code 2, one message that says what came and what to do, and nothing written."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from xautolm import cli
from xautolm.backends.energy import find_counters

GOOD = [(f"text number {i} here", "ab"[i % 2]) for i in range(60)]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def csv_of(rows, header="text,label"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def xautolm(capfd, monkeypatch):
    """Runs the command in this process."""

    def run(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["xautolm", *map(str, args)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Ended(code, *capfd.readouterr())

    return run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text(csv_of(GOOD))
    return path


@pytest.fixture
def refused(xautolm, tmp_path, monkeypatch, own_store):
    """Runs a command that must be refused before anything is written; returns its message."""

    def run(*args: object) -> str:
        (tmp_path / "cwd").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "cwd")
        before = tree(tmp_path)
        ended = xautolm(*args)
        assert ended.code == 2, ended.err
        assert tree(tmp_path) == before
        assert not Path(own_store.removeprefix("sqlite:///")).exists()
        assert ended.out == ""
        assert "Traceback" not in ended.err
        return ended.err

    return run


def fit(*args: object) -> list[object]:
    return ["fit", *args, "--budget", "1trials", "--out", "new-run"]


BAD_FILES = {
    "missing.csv": (None, ["there is no file", "missing.csv"]),
    "empty.csv": ("", ["empty.csv", "is empty"]),
    "semicolon.csv": (csv_of(GOOD).replace(",", ";"), ["one column", "text;label", "sep=';'"]),
    "one-column.csv": ("text\nhello\nworld\n", ["one column", "delimiter"]),
    "one-class.csv": (csv_of([(t, "same") for t, _ in GOOD]), ["only the class 'same'", "at least two classes"]),
    "lonely.csv": (csv_of([*GOOD, ("a lonely text", "rare")]), ["'rare'", "at least two rows"]),
    "no-texts.csv": (csv_of([("", y) for _, y in GOOD[:40]] + GOOD[40:]), ["40 of 60 rows", "40 without text"]),
    "no-labels.csv": (csv_of([(t, "") for t, _ in GOOD[:40]] + GOOD[40:]), ["40 of 60 rows", "40 without label"]),
    "latin.csv": ("text,label\ngood,a\ncafé,b\n".encode("latin-1"), ["not UTF-8", "line 3", "iconv"]),
    "broken.jsonl": ('{"text": "a", "label": 1}\n{"text": "b", "lab\n', ["line 2 is not valid JSON"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_unusable_file(refused, tmp_path, name):
    content, expected = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(*fit(tmp_path / name))
    assert all(part in message for part in expected), message
    assert message.startswith("error: ")
    assert message.count("\n") == 1


def test_unknown_column_names_the_nearest(refused, data):
    message = refused(*fit(data, "--target", "lable"))
    assert "no column `lable`" in message
    assert "did you mean `label`?" in message


def test_validation_label_unseen_in_training(refused, data, tmp_path):
    (tmp_path / "v.csv").write_text(csv_of([("one", "a"), ("two", "new"), ("three", "new"), ("four", "b")]))
    message = refused(*fit(data, "--valid", tmp_path / "v.csv"))
    assert "'new' (2 rows)" in message
    assert "known are 'a', 'b'" in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--methods", "head"], "`head` does not suit this task"),
        (["--objectives", "rouge_l,time"], "`question-answering` to be among `f1`, `exact_match`"),
    ],
)
def test_a_method_or_score_that_questions_do_not_have(refused, tmp_path, options, said):
    places = [{"context": f"Land {i % 9} is town {i}.", "question": f"Which, {i}?"} for i in range(60)]
    rows = [{**place, "answers": ["town"]} for place in places]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    message = refused("fit", tmp_path / "questions.jsonl", "--budget", "1trials", "--out", "new-run", *options)
    assert said in message


@pytest.mark.parametrize("budget", ["soon", "0s", "0trials", "-5m", "30", "0kWh", ""])
def test_budget_that_does_not_parse(refused, data, budget):
    message = refused("fit", data, "--budget", budget, "--out", "new-run")
    assert "`budget`" in message
    assert repr(budget) in message


@pytest.mark.parametrize("bound", ["f1", "f1>0.9", "beauty>=1", "latency<=fast", "f1==0.5"])
def test_a_constraint_that_does_not_parse(refused, data, bound):
    message = refused("fit", data, "--constraint", bound, "--out", "new-run")
    assert repr(bound) in message
    assert "`f1>=0.9`" in message


@pytest.mark.skipif(bool(find_counters(("cpu",))), reason="this machine has an energy counter")
def test_energy_needs_a_counter(refused, data):
    assert "needs an energy counter" in refused("fit", data, "--objectives", "f1,energy", "--out", "new-run")
    assert "'5kWh'" in refused("fit", data, "--budget", "5kWh", "--out", "new-run")


def test_all_wrong_settings_are_listed_at_once(refused, data):
    message = refused(
        *("fit", data, "--budget", "soon", "--memory", "much", "--device", "tpu", "--seed", "-1"),
        *("--objectives", "f1,beauty", "--column", "context=text", "--max-disk", "0GiB", "--prior", "magic"),
        *("--trial-timeout", "never", "--threads", "0", "--workers", "0", "--backend", "moon", "--out", "new-run"),
    )
    for part in ("'soon'", "'much'", "'tpu'", "-1", "beauty", "'context'", "'0GiB'", "'magic'", "'never'", "'moon'"):
        assert part in message
    for name in ("budget", "memory", "device", "seed", "objectives", "column", "max_disk", "threads", "workers"):
        assert f"`{name}`" in message


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--methods", "full,magic"], ["'magic'", "lora"]),
        (["--task", "poetry"], ["`task`", "'poetry'"]),
        (["--column", "context=text"], ["'context'", "--task question-answering"]),
        (["--column", "target=text", "--task", "question-answering"], ["'target'", "context, question, answers"]),
        (["--sampler", "dice"], ["'dice'"]),
        (["--column", "text"], ["ROLE=NAME", "'text'"]),
        (["--store", "nonsense"], ["nonsense"]),
        (["--store", "mysql://host/db"], ["sqlite", "postgresql"]),
        (["--device", "cuda"], ["GPU", "--device cpu"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--nonsense"], ["--nonsense"]),
        (["--seed", "one"], ["--seed", "integer"]),
        (["--exclude-models", "nothing"], ["'nothing'"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_option_that_cannot_be_used(refused, data, args, expected, monkeypatch):
    monkeypatch.setattr("xautolm.planning.visible_gpus", list)
    message = refused(*fit(data, *args))
    assert all(part in message for part in expected), message


def test_no_data(refused):
    assert "expected DATA" in refused("fit")


def test_settings_file_with_unknown_and_wrong_fields(refused, data, tmp_path):
    (tmp_path / "config.yaml").write_text(f"data: {data}\nbugdet: 30m\nseed: zero\n")
    message = refused("fit", "--config", tmp_path / "config.yaml", "--out", "new-run")
    assert "`bugdet`: no such setting" in message
    assert "`seed`" in message


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00"])
def test_settings_file_that_is_no_mapping(refused, tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    assert "config.yaml" in refused("fit", "--config", tmp_path / "config.yaml", "--out", "new-run")


def test_model_folder_without_weights(refused, data, tmp_path, tiny_bert):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((tiny_bert / name).read_bytes())
    message = refused(*fit(data, "--models", folder))
    assert "model.safetensors" in message
    assert "save_pretrained" in message


def test_model_folder_with_pickled_weights_only(refused, data, tmp_path, tiny_bert):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_bert / "config.json").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"")
    message = refused(*fit(data, "--models", folder))
    assert "pickle" in message


def test_model_folder_that_is_not_there(refused, data):
    assert "./no-such-model" in refused(*fit(data, "--models", "./no-such-model"))


def test_out_under_a_file(refused, data):
    message = refused("fit", data, "--budget", "1trials", "--out", data / "run")
    assert "good.csv" in message
    assert "--out" in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_out_in_a_folder_without_write_permission(refused, data, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    message = refused("fit", data, "--budget", "1trials", "--out", tmp_path / "locked" / "run")
    assert "no permission" in message


def test_out_that_cannot_be_written(refused, data):
    """The kernel's own files refuse even root."""
    message = refused("fit", data, "--budget", "1trials", "--out", "/proc/run-of-mine")
    assert "/proc" in message
    assert "--out" in message


def test_out_that_holds_a_run(refused, data, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.json").write_text("{}")
    message = refused("fit", data, "--budget", "1trials", "--out", tmp_path / "old")
    assert "already holds a run" in message
    assert f"xautolm resume {tmp_path / 'old'}" in message


def test_out_that_holds_something_else(refused, data, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    assert "new or empty folder" in refused("fit", data, "--budget", "1trials", "--out", tmp_path / "photos")


@pytest.mark.parametrize("command", ["resume", "report"])
@pytest.mark.parametrize("is_there", [False, True])
def test_folder_that_is_no_run(refused, tmp_path, command, is_there):
    if is_there:
        (tmp_path / "folder").mkdir()
    message = refused(command, tmp_path / "folder")
    assert str(tmp_path / "folder") in message
    assert "run.json" in message


def test_predict_with_a_folder_that_is_no_model(refused, data, tmp_path):
    (tmp_path / "folder").mkdir()
    message = refused("predict", tmp_path / "folder", data, "-o", tmp_path / "out.csv")
    assert "model folder" in message


@pytest.fixture
def exported(tmp_path):
    """What `predict` looks at before it loads the model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "xautolm.json").write_text(json.dumps({"columns": {"text": "text", "target": "label"}, "labels": [0, 1]}))
    return folder


def test_predict_without_the_text_column(refused, exported, tmp_path):
    (tmp_path / "new.csv").write_text("review,stars\na b,1\n")
    message = refused("predict", exported, tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert "column `text`" in message
    assert "`review`, `stars`" in message


def test_predict_into_a_folder_that_is_not_there(refused, exported, data, tmp_path):
    assert "nowhere" in refused("predict", exported, data, "-o", tmp_path / "nowhere" / "out.csv")


def test_predict_to_an_unknown_format(refused, exported, data, tmp_path):
    assert ".xlsx" in refused("predict", exported, data, "-o", tmp_path / "out.xlsx")


@pytest.mark.timeout(30)
def test_the_installed_command_does_the_same(tmp_path, data):
    command = [sys.executable, "-m", "xautolm.cli", "fit", str(data), "--budget", "soon"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.csv"]


def test_help_is_on_stdout_with_code_0(xautolm):
    ended = xautolm("fit", "--help")
    assert ended.code == 0
    assert "--budget" in ended.out


def test_no_command_shows_the_help(xautolm):
    ended = xautolm()
    assert ended.code == 2
    assert "predict" in ended.out + ended.err
