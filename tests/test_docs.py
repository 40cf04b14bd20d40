"""Documentation that cannot drift: links lead somewhere, commands parse, code compiles, marked blocks run."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from xautolm import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
    for page in ROOT.glob(pattern)
    if "runs" not in page.relative_to(ROOT).parts
)
OTHER_PROGRAMS = {"pip", "head", "printf"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `run` is the word behind `<!-- run: ... -->` above it."""

    page: Path
    language: str
    code: str
    run: str

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.code.splitlines() if line.startswith("$ ")]

    @property
    def session(self) -> list[tuple[str, str]]:
        """Each command with the output that the page shows."""
        parts = re.split(r"^\$ ", self.code, flags=re.MULTILINE)[1:]
        return [(part.partition("\n")[0], part.partition("\n")[2].strip()) for part in parts]


def blocks() -> Iterator[Block]:
    fence = r"(?:<!-- run: ([\w ]+) -->\n)?^([ ]*)```(\w+)\n(.*?)^\2```$"
    for page in PAGES:
        for run, indent, language, code in re.findall(
            fence, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            yield Block(page, language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE), run)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        assert not heading or heading in anchors(there), f"{target} has no such heading"


def test_pictures_stay_small() -> None:
    assert [p.name for p in (ROOT / "docs" / "images").iterdir() if p.stat().st_size > 300_000] == []


def without_environment(command: str) -> list[str]:
    words = shlex.split(command.partition(" > ")[0])
    return [word for i, word in enumerate(words) if not all("=" in earlier for earlier in words[: i + 1])]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_the_pages_are_ones_that_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block in blocks():
        for command in block.commands if block.page == page and block.language == "console" else ():
            program, *arguments = without_environment(command)
            if program == "xautolm":
                parse(arguments)
            elif program == "make":
                assert set(arguments) <= targets, command
            elif program.rpartition("/")[2] == "python":
                module = arguments[1].replace(".", "/") + ".py" if arguments[0] == "-m" else arguments[0]
                assert (ROOT / module).is_file(), command
            else:
                assert program in OTHER_PROGRAMS, f"{command}: teach the test what this is"


def parse(arguments: list[str]) -> None:
    """Have the command line read a command without running it."""
    command, rest = typer.main.get_command(cli.app), arguments
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_blocks_compile_and_import_what_exists(page: Path) -> None:
    for block in blocks():
        if block.page == page and block.language == "python":
            for node in ast.walk(ast.parse(block.code, filename=str(page))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xautolm"):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names)


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; `...` stands for anything, line breaks do not count."""
    pattern = re.escape(" ".join(shown.split())).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None


def test_bad_input_says_what_the_readme_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    shown = [pair for block in blocks() if block.run == "bad input" for pair in block.session]
    assert len(shown) >= 4
    for command, message in shown:
        monkeypatch.setattr("sys.argv", shlex.split(command))
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert exit_.value.code == 2
        assert matches(message, capsys.readouterr().err), command
    assert [path.name for path in tmp_path.iterdir()] == ["examples"]


def test_the_readme_shows_a_whole_run_of_the_demo() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- demo-output -->\n```text\n(.*?)\n```\n<!-- /demo-output -->", text, re.DOTALL)

    assert shown is not None
    for part in ("Pareto front:", "Recommended:", "Test: macro F1", "Report:", "Model:"):
        assert part in shown[1]


def test_the_readme_names_the_budget_of_the_demo() -> None:
    recipe = re.search(r"^demo:.*?--budget (\d+)m", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M | re.S)

    assert recipe is not None
    assert f"searches for {recipe[1]} minutes" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_layers_on_the_architecture_page_are_the_checked_ones() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert "```text\n" + "\n".join(layers) + "\n```" in page


def environment(folder: Path) -> dict[str, str]:
    """As a user has it after installing: commands on the path, a store of one's own, no hub."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "XAUTOLM_STORE": f"sqlite:///{folder}/store.db", "HF_HUB_OFFLINE": "1"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_works_from_top_to_bottom(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks():
        if block.run != "tutorial":
            continue
        steps = block.session if block.language == "console" else [(f"python - <<'EOF'\n{block.code}\nEOF", "")]
        for command, shown in steps:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert not shown or matches(shown, done.stdout), f"{command}\n{done.stdout}"
    header = (tmp_path / "runs" / "scored.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "text,prediction,prob_con,prob_pro"
    assert (tmp_path / "runs" / "tutorial" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_method_can_be_searched_over(tmp_path: Path) -> None:
    rows = (ROOT / "examples" / "data" / "pros_cons.csv").read_text(encoding="utf-8").splitlines()[:401]
    (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "bitfit.py"), "rows.csv", "run"],
        cwd=tmp_path,
        env={**environment(tmp_path), "PYTHONPATH": str(ROOT / "examples")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok ") == 3
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_the_example_study_runs_cold_and_warm(tmp_path: Path) -> None:
    from xautolm.experience.store import ExperienceStore
    from xautolm.records import Cost, Experience, Pipeline, Profile, TrialResult

    url = f"sqlite:///{tmp_path / 'past.db'}"
    params = {"learning_rate": 3e-4, "batch_size": 32, "max_length": 64}
    result = TrialResult(0, "ok", Pipeline("bert", "full", params), {"f1": 0.9}, Cost(time_s=1.0), seed=0)
    profile = Profile("classification/2", {"n_rows": 9.0}, "system/2", {"cores": 2.0})
    past = Experience(
        run_id="run",
        dataset_id="data",
        fingerprint="f" * 64,
        sketch=(),
        profile=profile,
        result=result,
        space_version="1",
        versions={},
        model_revision="",
        source="machine",
        created_at="2026-11-01T00:00:00+00:00",
    )
    with ExperienceStore(url) as store:
        store.add([past])
    said = []
    for arguments in ([], [url, "12"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "optuna_sampler.py"), *arguments],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)

    assert "cold: no experience is used" in said[0]
    assert "1 experiences of 1 tasks; matched: lr, batch_size, max_length" in said[1]
