"""Reading run folders: complete, torn and damaged."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from xautolm.errors import RunFolderError
from xautolm.report.summary import read_run, summarise


def test_complete_folder_is_read_as_it_was_written(make_run):
    report = read_run(make_run())
    assert report.front == (2, 0, 4)
    assert report.best == 4
    assert [t.trial_id for t in report.trials] == list(range(7))
    assert report.trials[4].pipeline.params["train_fraction"] == 0.5


def test_missing_folder_and_foreign_folder_are_told_apart(tmp_path):
    with pytest.raises(RunFolderError, match="found nothing"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match=r"has no `run.json`.*xautolm fit"):
        read_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="found a file"):
        read_run(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"run_id": ', "cannot be read"),
        ("[1, 2]", "`run_id`, `status`, `objectives` is missing"),
        ('{"run_id": "a", "status": "complete"}', "`objectives` is missing"),
        ('{"run_id": "a", "status": "complete", "objectives": ["f1"]}', "got 'f1'"),
        ('{"run_id": "a", "status": "complete", "objectives": {"name": "f1"}}', "direction"),
    ],
)
def test_damaged_run_json_says_what_is_wrong(make_run, content, expected):
    folder = make_run()
    (folder / "run.json").write_text(content)
    with pytest.raises(RunFolderError) as caught:
        read_run(folder)
    assert expected in str(caught.value)
    assert "run.json" in str(caught.value)


def test_binary_run_json_is_a_run_folder_error(make_run):
    folder = make_run()
    (folder / "run.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_run(folder)


@pytest.mark.parametrize(
    "line", ["{broken", "[]", '{"trial_id": 1}', "null", '"text"'], ids=["json", "list", "keys", "null", "string"]
)
def test_damaged_line_is_named_by_its_number(make_run, line):
    folder = make_run()
    lines = (folder / "trials.jsonl").read_text().splitlines()
    lines[2] = line
    (folder / "trials.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunFolderError, match="line 3 of"):
        read_run(folder)


def test_unknown_status_is_refused(make_run, trial):
    folder = make_run([trial(0, 0.5)])
    text = (folder / "trials.jsonl").read_text().replace('"status": "ok"', '"status": "fine"')
    (folder / "trials.jsonl").write_text(text)
    with pytest.raises(RunFolderError, match="unknown status 'fine'"):
        read_run(folder)


def test_torn_last_line_is_left_out_and_the_front_recomputed(make_run, trial):
    folder = make_run([trial(0, 0.80, 10.0), trial(1, 0.90, 20.0)])
    text = (folder / "trials.jsonl").read_text()
    (folder / "trials.jsonl").write_text(text[:-20])
    report = read_run(folder)
    assert [t.trial_id for t in report.trials] == [0]
    assert (report.front, report.best) == ((0,), 0)


def test_journal_ahead_of_run_json_wins(make_run, trial):
    folder = make_run([trial(0, 0.80, 10.0)], status="running")
    with (folder / "trials.jsonl").open("a") as journal:
        journal.write(json.dumps(trial(1, 0.90, 20.0).to_dict()) + "\n")
    report = read_run(folder)
    assert (report.front, report.best) == ((0, 1), 1)


def test_missing_journal_is_an_error_only_when_trials_were_counted(make_run):
    folder = make_run()
    (folder / "trials.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"Expected 7 trials.*missing"):
        read_run(folder)
    folder = make_run([], status="running")
    (folder / "trials.jsonl").unlink()
    assert read_run(folder).trials == ()


def test_trial_listed_twice_is_refused_unless_the_first_was_interrupted(make_run, trial):
    with pytest.raises(RunFolderError, match="line 2 holds trial 0 again"):
        read_run(make_run([trial(0, 0.8), trial(0, 0.7)]))
    interrupted = replace(trial(0, time_s=3.0), status="interrupted")
    report = read_run(make_run([interrupted, trial(0, 0.7)]))
    assert [t.status for t in report.trials] == ["ok"]


def test_damaged_optional_file_becomes_a_note(make_run):
    folder = make_run()
    (folder / "space.json").write_text("{")
    (folder / "data.json").write_text("[]")
    notes = " ".join(summarise(read_run(folder)).notes)
    assert "`space.json` could not be read" in notes
    assert "`data.json` holds no JSON object" in notes
