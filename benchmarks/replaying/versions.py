"""What a cached search depends on, as a hash: code without comments, libraries, recorded rows, space."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from benchmarks.recorded import EVERYDAY, TABLE, read_tasks
from benchmarks.recording.limits import read_limits
from benchmarks.recording.space import recorded_space, space_id
from benchmarks.replaying.strategies import Entry
from xautolm.records import canonical_json

#: Where the sources of a package lie.
_ROOT = Path(__file__).parents[2]
_HOMES = {"xautolm": _ROOT / "src", "benchmarks": _ROOT}
#: What simulates a search: it belongs to the version of every strategy.
SIMULATION = (
    "benchmarks.replaying.simulate",
    "benchmarks.replaying.surrogate",
    "benchmarks.replaying.tasks",
    "benchmarks.recorded",
    "xautolm.evaluate.fake",
    "xautolm.search.loop",
)


def version_of(entry: Entry, task: str) -> str:
    """Version of a strategy on a recorded task: 16 hex digits that change when what it does may have changed."""
    modules = {*SIMULATION, *(_followed(entry.code) if entry.is_followed else entry.code)}
    parts = {
        "code": {module: code_hash(path_of(module)) for module in sorted(modules)},
        "libraries": libraries(modules),
        "rows": rows_hash(None if entry.reads_store else task),
        "space": _space(),
        "strategy": f"{entry.make.__module__}.{entry.make.__qualname__}",
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


def surrogate_version(task: str) -> str:
    """Version of a task's surrogate: 16 hex digits that change when it may foretell something else."""
    module = "benchmarks.replaying.surrogate"
    parts = {"code": code_hash(path_of(module)), "libraries": libraries([module]), "rows": rows_hash(task)}
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _followed(code: tuple[str, ...]) -> frozenset[str]:
    """Modules of this repository that some modules import, themselves and what those import included."""
    found: set[str] = set()
    waiting = list(code)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [name for name in imported(path_of(module)) if _is_own(name)]
    return frozenset(found)


def libraries(modules: Iterable[str]) -> dict[str, str]:
    """Distribution -> version of the libraries that modules import themselves."""
    tops = {name.partition(".")[0] for module in modules for name in imported(path_of(module))}
    homes = _distributions()
    names = {name for top in tops - set(sys.stdlib_module_names) - set(_HOMES) for name in homes.get(top, ())}
    return {name: found for name in sorted(names) if (found := _installed(name)) is not None}


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return {top: list(names) for top, names in packages_distributions().items()}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=512)
def imported(path: Path) -> tuple[str, ...]:
    """Full names of what a file imports, inside its functions too: modules, and names that may be modules."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(found))


def _is_own(name: str) -> bool:
    """Whether a name is a module of this repository, or a package below the top."""
    top, _, rest = name.partition(".")
    return bool(rest) and top in _HOMES and path_of(name).is_file()


def path_of(module: str) -> Path:
    """The file of a module of this repository; of a package its `__init__.py`."""
    bare = _HOMES[module.partition(".")[0]] / module.replace(".", "/")
    return bare / "__init__.py" if bare.is_dir() else bare.with_suffix(".py")


@lru_cache(maxsize=512)
def code_hash(path: Path) -> str:
    """Hash of what a file does: comments, docstrings and layout left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = list(_without_docstring(node.body)) or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _without_docstring(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for i, statement in enumerate(body):
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (i == 0 and is_text):
            yield statement


@lru_cache(maxsize=64)
def rows_hash(task: str | None) -> str:
    """Hash of the recorded rows of a task with its profile and limits, or of all tasks and the everyday rows."""
    hashed = hashlib.sha256()
    for path in sorted(TABLE.glob("*.parquet" if task is None else f"{task}-*.parquet")):
        hashed.update(path.name.encode() + path.read_bytes())
    for told in (read_tasks(TABLE), read_limits(TABLE)):
        hashed.update(canonical_json(told if task is None else told.get(task)).encode())
    if task is None:
        for path in (*sorted(EVERYDAY.glob("*.parquet")), EVERYDAY / "tasks.json"):
            hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()


@lru_cache(maxsize=1)
def _space() -> str:
    return space_id(recorded_space())
