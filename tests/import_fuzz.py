"""Damages the seed corpus of the importers at random and checks that what comes back is clean.

A case is a copy of a corpus folder in which one file was damaged: its bytes (cut, flipped, repeated), or a value
somewhere in its JSON (or its database) replaced by one that is hostile. What must hold whatever was damaged: the
importer returns or raises an `XAutoLMError`; what it returns goes into a store; no text of a user is in it; every
rejected row has a place and a short reason.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xautolm.errors import XAutoLMError
from xautolm.experience.codec import encode
from xautolm.experience.importers import Imported, read

CORPUS = Path(__file__).parent / "fixtures/import_corpus"
MARKER = "Dear Anna,\nI am ill"
RAW_NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0.0", b"9" * 400, b"9" * 5000, b"1e-320", b"00", b"1_0")


@dataclass(frozen=True)
class Target:
    """A form of import: its corpus folder, how a case is laid out, and what to hand to the importer."""

    form: str
    corpus: str

    def make_case(self, folder: Path, rng: random.Random) -> str:
        """Lay out a damaged copy; returns the source to import."""
        if self.form == "optuna":
            return str(_damaged_storage(folder / "study.db", rng))
        shutil.copytree(CORPUS / self.corpus, folder, dirs_exist_ok=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        damage_file(rng.choice(files), rng)
        return str(folder)


TARGETS = (
    Target("paper", "paper-older"),
    Target("paper", "paper-newer"),
    Target("paper", "paper-flat"),
    Target("hf", "trainer"),
    Target("optuna", "optuna.sql"),
)


def check_case(target: Target, folder: Path, seed: int) -> int:
    """Run one case in an empty folder; returns how many experiences it gave.

    Raises:
        AssertionError: what came back is not clean, or another exception came; the message has the seed.
    """
    rng = random.Random(f"{target.corpus}/{seed}")
    source = target.make_case(folder, rng)
    case = f"{target}, seed {seed}"
    refused = ""
    try:
        imported = read(source, target.form)
    except XAutoLMError as error:
        imported, refused = Imported(), str(error)
    except Exception as error:
        raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error
    assert not refused or refused.startswith("Expected"), f"{case}: {refused}"
    assert_clean(imported, case)
    return len(imported.experiences)


def assert_clean(imported: Imported, case: str) -> None:
    """Check what an importer returned."""
    for experience in imported.experiences:
        encode(experience)
        assert experience.source == "import", case
        assert (experience.result.status == "ok") == bool(experience.result.scores), case
        text = repr(replace(experience, run_id="", dataset_id=""))  # names are names, whatever they are
        assert "Anna" not in text, f"{case}: {text}"
        assert "I am ill" not in text, f"{case}: {text}"
    keys = [(experience.run_id, experience.result.trial_id) for experience in imported.experiences]
    assert len(set(keys)) == len(keys), case
    for rejected in imported.rejected:
        assert rejected.where, case
        assert rejected.where.isprintable(), case
        assert 0 < len(rejected.reason) < 400, f"{case}: {rejected.reason}"


def damage_file(path: Path, rng: random.Random) -> None:
    """Damage a file in one to three ways."""
    content = path.read_bytes()
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = rng.choice((_damaged_json, _damaged_json, _damaged_json, _damaged_bytes))(content, rng)
    path.write_bytes(content)
    if rng.random() < 0.02:
        path.unlink()
        rng.choice((path.mkdir, lambda: path.symlink_to(path), lambda: path.symlink_to("/dev/zero")))()


def hostile_value(rng: random.Random, depth: int = 0) -> Any:
    """A value that no honest file holds in this place."""
    if depth > 2:
        return None
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: rng.choice((True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**64), 10**300, 10**400)),
        lambda: rng.choice((float("nan"), float("inf"), float("-inf"), 1e308, -1e-320, 0.5)),
        lambda: rng.choice(
            ("", " ", MARKER, "\0", "\ud800", "a\nb", "../../etc/passwd", "x" * rng.choice((100, 10**5)))
        ),
        lambda: rng.choice(("{", "%s%n", "'; DROP TABLE t; --", "__import__('os')", "\u202egnp", "é" * 50, "1e5")),
        lambda: rng.choice(([], {}, [[]], [0] * 20_000)),
        lambda: [hostile_value(rng, depth + 1) for _ in range(rng.choice((1, 5, 50)))],
        lambda: {rng.choice(("value", "name", "model", "a b", "")): hostile_value(rng, depth + 1)},
        lambda: _deep(rng.choice((5, 100, 900))),
    )
    return rng.choice(makers)()


def _deep(levels: int) -> Any:
    value: Any = 1
    for i in range(levels):
        value = [value] if i % 2 else {"value": value}
    return value


def _damaged_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove, add or rename something in the JSON of a file (or of one of its lines)."""
    lines = content.splitlines()
    at = rng.randrange(len(lines)) if len(lines) > 1 and content.startswith(b"{") and lines[0].endswith(b"}") else None
    try:
        value = json.loads(content if at is None else lines[at])
        changed = json.dumps(_changed(value, rng)).encode()
    except (ValueError, RecursionError, TypeError):
        return _damaged_bytes(content, rng)
    if at is None:
        return changed
    lines[at] = changed
    return b"\n".join(lines) + b"\n"


def _changed(value: Any, rng: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return hostile_value(rng)
    container, key = rng.choice(places)
    action = rng.random()
    if action < 0.15:
        del container[key]
    elif action < 0.25 and isinstance(container, dict):
        container[rng.choice((MARKER, "", "model", "__class__", "a" * 200, "f1", "dropout"))] = container.pop(key)
    elif action < 0.35 and isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[key] = hostile_value(rng)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key inside a JSON value; of long lists of numbers only the first."""
    pending = [value]
    while pending:
        container = pending.pop()
        keys = list(container) if isinstance(container, dict) else range(min(len(container), 12))
        for key in keys:
            yield container, key
            if isinstance(container[key], dict | list) and container[key]:
                pending.append(container[key])


def _damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    until = min(len(content), at + rng.choice((1, 8, 200)))
    insert = rng.choice(
        (b"\xff\xfe", b"\0", b"[" * 2000, b'{"a":' * 2000, b'"', b"\\ud800", *RAW_NUMBERS, b"}{", b"\n")
    )
    kinds = (
        content[:at],
        content[:at] + insert + content[at:],
        content[:at] + bytes(rng.randrange(256) for _ in range(until - at)) + content[until:],
        content[:until] + content[at:until] * 3 + content[until:],
        content[:at] + content[until:],
    )
    return rng.choice(kinds)


def _damaged_storage(path: Path, rng: random.Random) -> Path:
    """An Optuna storage with hostile values in some cells, sometimes with damaged bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript((CORPUS / "optuna.sql").read_text())
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(rng.choice((1, 1, 2, 3))):
            _damage_cell(connection, rng.choice(tables), rng)
    if rng.random() < 0.1:
        path.write_bytes(_damaged_bytes(path.read_bytes(), rng))
    return path


def _damage_cell(connection: sqlite3.Connection, table: str, rng: random.Random) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if not columns:  # renamed before
        return
    column = rng.choice(columns)
    row = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY random() LIMIT 1").fetchone()
    action = rng.random()
    try:
        if row is None or action < 0.05:
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_")
        elif action < 0.15:
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row[0],))
        else:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_cell(row[1], rng), row[0]))
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        pass  # a constraint kept it out


def _cell(old: Any, rng: random.Random) -> Any:
    if isinstance(old, str) and old[:1] in ('"', "{", "[") and rng.random() < 0.7:
        return _damaged_json(old.encode(), rng).decode("utf-8", "replace")
    value = hostile_value(rng)
    return json.dumps(value) if isinstance(value, dict | list | bool) else value
