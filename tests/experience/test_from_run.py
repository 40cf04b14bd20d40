"""Experiences from a run folder: complete ones come back, damaged ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experience_builders import make_experience, make_result

from xautolm.errors import RunFolderError
from xautolm.experience.from_run import experiences_of_run
from xautolm.records import Profile

RUN = {"run_id": "run-a", "task": "text-classification", "versions": {"torch": "2.13.0", "xautolm": "0.1.0"}}
PROFILE = {"schema": "c/1", "task": {"n": 1.0}, "system_schema": "s/1", "system": {"cores": 2.0}}
DATA = {"dataset_id": "reviews", "fingerprint": "f" * 64, "sketch": [1, 2, 2**63], "profile": PROFILE}
SPACE = {
    "version": "1",
    "models": [{"name": "all-MiniLM-L6-v2@3", "revision": "a" * 40}],
    "limits": {"time_s": 90.0, "memory_mib": 1024.0},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "config.yaml").touch()
    for name, value in (("run", RUN), ("data", DATA), ("space", SPACE)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    lines = [json.dumps(make_result(trial_id).to_dict()) for trial_id in (0, 1)]
    (tmp_path / "trials.jsonl").write_text("\n".join([*lines, '{"trial_id": 2, "sta']))
    return tmp_path


def expected(trial_id, **profile):
    facts = {"semantic": None, "system_name": ""} | profile
    return make_experience(
        "run-a",
        trial_id,
        profile=Profile("c/1", {"n": 1.0}, "s/1", {"cores": 2.0}, **facts),
        sketch=(1, 2, 2**63),
        created_at="2026-01-02T03:04:18.178901+00:00",
        time_limit_s=90.0,
        memory_limit_mib=1024.0,
    )


def test_every_finished_trial_is_an_experience_and_nothing_is_written(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert experiences_of_run(folder) == [expected(0), expected(1)]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_the_profile_says_more_is_kept(folder):
    profile = {**PROFILE, "semantic": [0.5, 0.25], "system_name": "AMD EPYC"}
    (folder / "data.json").write_text(json.dumps({**DATA, "profile": profile}))
    assert experiences_of_run(folder)[0] == expected(0, semantic=(0.5, 0.25), system_name="AMD EPYC")


def test_a_run_without_trials_has_no_experiences(folder):
    (folder / "trials.jsonl").unlink()
    assert experiences_of_run(folder) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.json", None, "cannot read"),
        ("space.json", "{", "cannot read"),
        ("space.json", "[" * 100_000, "cannot read"),
        ("run.json", "[]", "expected an object in"),
        ("data.json", json.dumps({**DATA, "sketch": None}), "lack or garble"),
        ("data.json", json.dumps({n: v for n, v in DATA.items() if n != "fingerprint"}), "'fingerprint'"),
        ("space.json", json.dumps({**SPACE, "models": []}), "'all-MiniLM-L6-v2@3'"),
        ("trials.jsonl", "nonsense\n", "Line 1 of"),
    ],
)
def test_a_damaged_folder_is_named(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(RunFolderError, match=message):
        experiences_of_run(folder)
