"""What users rely on: public names, signatures, commands, options, exit codes. A change here is one for users."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import xautolm
from xautolm import cli, errors
from xautolm.api import AutoLM, Report
from xautolm.config import Settings

ROOT = Path(__file__).parents[1]

NAMES = ["AutoLM", "ExperienceSampler", "Pipeline", "Report", "TrialResult", "XAutoLMError"]

OPTIONS = {
    "explain": [
        "--column", "--exclude-dataset", "--html", "--json", "--methods", "--models", "--no-published",
        "--no-semantic", "--no-starter", "--prior", "--seed", "--store", "--target", "--task", "--test", "--text",
        "--valid",
    ],
    "fit": [
        "--backend", "--budget", "--cold", "--column", "--config", "--constraint", "--device", "--estimate-energy",
        "--exclude-dataset", "--exclude-models", "--json", "--max-disk", "--memory", "--methods", "--models",
        "--no-baselines", "--no-published", "--no-quotes", "--no-semantic", "--no-starter", "--no-stopping",
        "--objectives", "--out", "--prior", "--prompt", "--refit", "--sampler", "--seed", "--space", "--store",
        "--target", "--task", "--test", "--text", "--threads", "--trial-timeout", "--valid", "--workers",
    ],
    "models": [
        "--budget", "--column", "--device", "--json", "--memory", "--methods", "--models", "--target", "--task",
        "--text", "--threads", "--trial-timeout", "--workers",
    ],
    "predict": ["--device", "--json", "--output", "-o"],
    "replay": ["--json"],
    "report": ["--json"],
    "resume": ["--json"],
    "study": ["--json", "--name", "--storage"],
    "store add": ["--json", "--store"],
    "store audit": ["--json", "--kind", "--store"],
    "store check": ["--json", "--store"],
    "store export": ["--json", "--kind", "--store"],
    "store import": ["--from", "--json", "--name", "--rejects", "--store"],
    "store info": ["--json", "--store"],
    "store list": ["--json", "--store"],
    "store merge": ["--json", "--rejects", "--store"],
    "store prune": ["--dataset", "--dry-run", "--json", "--keep", "--older-than", "--source", "--store"],
    "store show": ["--json", "--store"],
}  # fmt: skip

ARGUMENTS = {
    "explain": ["data"],
    "fit": ["data"],
    "models": ["data"],
    "predict": ["model", "data"],
    "replay": ["folder"],
    "report": ["folder"],
    "study": ["folder"],
    "resume": ["folder"],
    **{f"store {name}": [] for name in ("audit", "check", "info", "list", "prune")},
    "store add": ["folder"],
    "store export": ["file"],
    "store import": ["source"],
    "store merge": ["source"],
    "store show": ["what"],
}


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by its words: `fit`, `store info`."""
    found = dict(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    groups = {name: found.pop(name) for name in [name for name in found if hasattr(found[name], "commands")]}
    return found | {f"{group} {name}": c for group in groups for name, c in groups[group].commands.items()}


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]  # type: ignore[arg-type]


def test_public_names_are_pinned_and_sorted() -> None:
    assert xautolm.__all__ == NAMES == sorted(NAMES)


def test_every_public_name_can_be_imported() -> None:
    for name in NAMES:
        assert getattr(xautolm, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'AutoML'"):
        xautolm.AutoML  # noqa: B018


def test_signatures_are_pinned() -> None:
    assert parameters(AutoLM) == ["task", "budget", "objectives", "settings"]
    assert parameters(AutoLM.fit) == ["data", "target", "text", "valid", "test", "out", "observer"]
    assert parameters(AutoLM.resume) == ["folder", "observer"]
    assert parameters(AutoLM.load) == ["folder"]
    public = sorted(name for name in vars(Report) if not name.startswith("_"))
    assert public == ["best", "folder", "front", "test", "to_optuna", "trials"]
    assert parameters(Report.to_optuna) == ["storage", "name"]


def test_commands_and_options_are_pinned() -> None:
    found = {
        name: sorted(flag for param in command.params if param.param_type_name == "option" for flag in param.opts)
        for name, command in commands().items()
    }
    positional = {
        name: [param.name for param in command.params if param.param_type_name == "argument"]
        for name, command in commands().items()
    }

    assert found == OPTIONS
    assert positional == ARGUMENTS


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_and_option_is_in_the_readme(command: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"xautolm {command}" in text
    # `--output` and `predict --device` are the long and the shared form of options that the README shows.
    missing = [flag for flag in OPTIONS[command] if not re.search(rf"(?<![\w-]){flag}\b", text) and flag != "--output"]
    assert missing == []


def test_options_of_fit_are_the_fields_of_the_settings_file() -> None:
    options = {flag.removeprefix("--").replace("-", "_") for flag in OPTIONS["fit"]}
    only_options = {
        "cold",
        "config",
        "json",
        "no_baselines",
        "no_published",
        "no_quotes",
        "no_semantic",
        "no_starter",
        "no_stopping",
        "out",
    }
    # The argument, what a run adds, and the fields of the options that begin with --no.
    only_fields = {"baselines", "data", "data_sha256", "published", "quotes", "semantic", "starter", "stopping"}

    assert options - only_options == set(Settings.model_fields) - only_fields


def all_errors() -> list[type[errors.XAutoLMError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


def test_exit_codes_are_the_documented_ones() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| exit code |") :].split("\n\n")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}

    assert documented == {0, cli.EXIT_INTERRUPTED, *(error.exit_code for error in all_errors())}


def test_the_exception_tree_is_drawn_in_full() -> None:
    drawn = dict(re.findall(r"\+-- (\w+)\s+\((\d)\)", errors.__doc__ or ""))

    assert drawn == {e.__name__: str(e.exit_code) for e in all_errors() if e is not errors.XAutoLMError}


@pytest.mark.parametrize("arguments", [["fit", "--nonsense"], ["predict", "model"], ["fit", "--seed", "one"], ["fitt"]])
def test_wrong_usage_exits_with_2_and_one_message(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["xautolm", *arguments])

    with pytest.raises(SystemExit) as exit_:
        cli.main()

    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_help_says_what_every_option_is_without_being_given(name: str) -> None:
    command = commands()[name]
    stated = [param.help for param in command.params if "[default:" in (getattr(param, "help", None) or "")]
    shown = CliRunner().invoke(cli.app, [*name.split(), "--help"], env={"COLUMNS": "200"}).stdout

    assert shown.count("[default:") >= len(stated)
