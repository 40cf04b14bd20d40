"""What CONTRIBUTING.md asks for and a machine can check: sizes, names, light imports, the file tree, dependencies."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "xautolm"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "pandas",
    "sklearn",
    "optuna",
    "sqlalchemy",
    "plotly",
)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_stay_under_500_lines() -> None:
    too_long = {relative(path): n_lines(path) for path in MODULES if n_lines(path) >= 500}

    assert too_long == {}


def test_the_flow_stays_readable_in_one_sitting() -> None:
    assert n_lines(PACKAGE / "run.py") <= 250


def test_modules_are_named_after_their_job() -> None:
    vague = {"utils", "util", "common", "helpers", "misc", "base"}

    assert [relative(path) for path in MODULES if path.stem in vague] == []


def test_only_the_command_line_prints() -> None:
    printing = {
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }

    assert {name for name in printing if not name.startswith("cli/")} == set()


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("records.py", {"xautolm.cost", "xautolm.model_spec"}),
        ("cost.py", set()),
        ("model_spec.py", set()),
        ("errors.py", set()),
    ],
)
def test_the_lowest_layer_imports_only_the_standard_library(name: str, below: set[str]) -> None:
    imported = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")

    imported = {name.partition(".")[0] for name in imported - below}
    assert imported <= sys.stdlib_module_names


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, xautolm; print([name for name in {HEAVY!r} if name in sys.modules])"

    assert run_python(code, tmp_path) == "[]"


def test_importing_the_package_has_no_side_effects(tmp_path: Path) -> None:
    code = """
import logging, os, signal, threading, warnings
def state():
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    root = logging.getLogger()
    return dict(os.environ), list(warnings.filters), root.level, list(root.handlers), handlers, threading.active_count()
before = state()
import xautolm
print(state() == before)
"""

    assert run_python(code, tmp_path) == "True"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(30)
def test_the_coordinator_never_loads_the_training_stack(tmp_path: Path) -> None:
    code = (
        "import sys, xautolm.cli, xautolm.api, xautolm.run\n"
        "from xautolm import registry\n"
        "for name in registry.names('methods'): registry.resolve('methods', name)\n"
        "print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )

    assert run_python(code, tmp_path) == "[]"


def tree_of_readme() -> tuple[set[str], list[str]]:
    """Paths that the README's file tree names, and those without a description."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- file-tree -->\n```text\nsrc/xautolm/\n(.*?)\n```\n<!-- /file-tree -->", text, re.DOTALL)
    assert block is not None, "README.md must hold the file tree between its two markers"
    named, bare, folders = set(), [], []
    for line in block[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        name, _, description = line.strip().partition(" ")
        folders = folders[:depth]
        path = "".join(folders) + name
        named.add(path)
        if not description.strip():
            bare.append(path)
        if name.endswith("/"):
            folders.append(name)
    return named, bare


def test_the_readme_lists_every_module_and_no_other() -> None:
    listed, bare = tree_of_readme()
    # A folder's line stands for its `__init__.py`.
    modules = {relative(path) for path in MODULES if path.name != "__init__.py" or path.parent == PACKAGE}
    folders = {relative(path.parent) + "/" for path in MODULES if path.parent != PACKAGE}

    assert {path for path in listed if not path.endswith("/")} == modules
    assert {path for path in listed if path.endswith("/")} - {"report/templates/"} == folders
    assert bare == []


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def dependency_lines() -> list[tuple[str, str]]:
    """Requirement and comment of each line in `dependencies` and the optional ones for users."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    users = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert users is not None
    return re.findall(r'^\s*"([^"]+)",\s*#\s*(.+)$', users[1], re.MULTILINE)


def test_each_dependency_names_modules_that_exist() -> None:
    requirements = project()["project"]["dependencies"]  # type: ignore[index]
    lines = dependency_lines()

    assert [requirement for requirement, _ in lines] == requirements
    for requirement, comment in lines:
        named = re.findall(r"[\w/]+\.py|\w+/\w*", comment)
        assert named, f"{requirement}: the comment names no module"
        missing = [name for name in named if not (PACKAGE / name).exists()]
        assert missing == [], f"{requirement}: {comment}"


def test_dependencies_are_ranges_not_pins() -> None:
    settings = project()["project"]
    optional = settings.get("optional-dependencies", {})  # type: ignore[attr-defined]
    everything = [*settings["dependencies"], *(item for group in optional.values() for item in group)]  # type: ignore[index]

    assert [requirement for requirement in everything if "==" in requirement or "@" in requirement] == []
