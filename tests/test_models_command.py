"""`xautolm models` as users call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import xautolm
from typer.testing import CliRunner

from xautolm.cli import app
from xautolm.errors import UsageError


def ask(*args: object) -> str:
    """What the command writes to stdout, run in this process."""
    done = CliRunner().invoke(app, ["models", *map(str, args)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_models_are_listed_as_text_and_as_json(tiny_bert: Path) -> None:
    listed = ask()
    folder, gpt2, new = json.loads(ask("--models", f"{tiny_bert},gpt2,acme/new", "--json"))["models"]

    assert "all-MiniLM-L6-v2@3" in listed
    assert "answerdotai/ModernBERT-base" in listed
    assert (folder["name"], folder["here"], folder["n_layers"]) == (str(tiny_bert), "folder", 2)
    assert (gpt2["here"], gpt2["n_params"], gpt2["family"]) == (None, 124_439_808, "decoder")
    assert gpt2["sources"]["n_params"].startswith("config: ")
    assert (new["here"], new["n_params"], new["licence"]) == (None, None, None)


def test_models_are_judged_by_data(tmp_path: Path, opinions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = (opinions, "--models", "all-MiniLM-L6-v2@1,meta-llama/Llama-3.1-8B", "--memory", "2GiB")
    limits = ("--threads", 1, "--workers", 1, "--trial-timeout", "2m")
    text = ask(*asked, *limits)
    found = json.loads(ask(*asked, *limits, "--json"))
    small, large = found["models"]

    assert "1 model of 2 can be tuned" in text
    assert "1 model would not fit" in text
    assert found["task"] == "text-classification"
    assert [bench["limits"] for bench in found["trials"]] == [{"time_s": 120.0, "memory_mib": 2048.0}]
    assert all(verdict["fits"] and verdict["pipeline"]["method"] == m for m, verdict in small["methods"].items())
    assert not any(verdict["fits"] for verdict in large["methods"].values())
    assert "the limit is 2.0 GiB" in large["methods"]["head"]["reason"]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path, own_store: str) -> None:
    failed = xautolm("models", "--models", "./nothing", cwd=tmp_path, store=own_store, check=False)

    assert (failed.returncode, failed.stdout) == (2, "")
    assert "there is no folder './nothing'" in failed.stderr


def test_limits_without_data_are_an_error_and_not_ignored(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "--memory", "8GiB"])

    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "`--memory` needs DATA: without data the models are only listed"
