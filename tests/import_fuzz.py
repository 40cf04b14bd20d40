"""Damages the seed corpus of the importers at random and checks that what comes back is clean.

A case is a copy of a part of the corpus in which one file was damaged: its bytes (cut, flipped, repeated), or a value
somewhere in its JSON (or its database) replaced by one that is hostile. What must hold whatever was damaged: the import
succeeds or raises an `XAutoLMError`; what is refused leaves the store unchanged; what is taken can be read back; an
importer lets no text of a user in; every rejected row has a place and a short reason.
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
from xautolm.experience import importers, transfer
from xautolm.experience.importers import Imported
from xautolm.experience.store import ExperienceStore
from xautolm.experience.transfer import Taken

CORPUS = Path(__file__).parent / "fixtures/import_corpus"
MARKER = "Dear Anna,\nI am ill"
RAW_NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0.0", b"9" * 400, b"9" * 5000, b"1e-320", b"00", b"1_0")


@dataclass(frozen=True)
class Target:
    """A form of import, and the part of the corpus that is damaged for it."""

    form: str
    corpus: str

    def make_case(self, folder: Path, rng: random.Random) -> Path:
        """Lay out a damaged copy; returns what to import."""
        original = CORPUS / self.corpus
        if self.form == "optuna":
            return _damaged_storage(folder / "study.db", rng)
        if original.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            return damage_file(Path(shutil.copy(original, folder)), rng)
        shutil.copytree(original, folder, dirs_exist_ok=True)
        damage_file(rng.choice(sorted(path for path in folder.rglob("*") if path.is_file())), rng)
        return folder


TARGETS = (
    Target("paper", "paper-older"),
    Target("paper", "paper-newer"),
    Target("paper", "paper-flat"),
    Target("hf", "trainer"),
    Target("optuna", "optuna.sql"),
    Target("jsonl", "export.jsonl"),
    Target("parquet", "export.parquet"),
)


def check_case(target: Target, folder: Path, seed: int, store: ExperienceStore) -> int:
    """Run one case in an empty folder; returns how many experiences were taken.

    Raises:
        AssertionError: what came back is not clean, or another exception came; the message has the seed.
    """
    rng = random.Random(f"{target.corpus}/{seed}")
    case, before = f"{target}, seed {seed}", store.count()
    source = target.make_case(folder, rng)
    imported: Imported | Taken = Imported()
    refusal = "-"
    try:
        imported = _take(target, source, store, rng)
    except XAutoLMError as error:
        refusal = str(error)
    except Exception as error:
        raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error
    assert 0 < len(refusal) < 4_000, f"{case}: {refusal}"
    for rejected in imported.rejected:
        assert rejected.where, case
        assert rejected.where.isprintable(), case
        assert 0 < len(rejected.reason) < 600, f"{case}: {rejected.reason}"
    n_taken = imported.n_read if isinstance(imported, Taken) else len(imported.experiences)
    assert store.count() - before <= n_taken, case
    return n_taken


def _take(target: Target, source: Path, store: ExperienceStore, rng: random.Random) -> Imported | Taken:
    if target.form in transfer.FORMS:
        rows = transfer.read(source, target.form)
        return transfer.take_in(store, rows, allow_rejects=rng.random() < 0.7)
    imported = importers.read(str(source), target.form)
    assert_clean(imported, f"{target}")
    store.add(imported.experiences)
    return imported


def assert_clean(imported: Imported, case: str) -> None:
    """Check what an importer returned."""
    for experience in imported.experiences:
        assert experience.source == "import", case
        assert (experience.result.status == "ok") == bool(experience.result.scores), case
        text = repr(replace(experience, run_id="", dataset_id=""))  # names are names, whatever they are
        assert "Anna" not in text, f"{case}: {text}"
        assert "I am ill" not in text, f"{case}: {text}"
    keys = [(experience.run_id, experience.result.trial_id) for experience in imported.experiences]
    assert len(set(keys)) == len(keys), case


def damage_file(path: Path, rng: random.Random) -> Path:
    """Damage a file in one to three ways."""
    if path.suffix == ".parquet" and rng.random() < 0.8:
        _damage_table(path, rng)
        return path
    content = path.read_bytes()
    for _ in range(rng.choice((1, 1, 2, 3))):
        is_text = path.suffix in (".json", ".jsonl") and rng.random() < 0.75
        content = (_damaged_json if is_text else _damaged_bytes)(content, rng)
    path.write_bytes(content)
    if rng.random() < 0.02:
        path.unlink()
        rng.choice((path.mkdir, lambda: path.symlink_to(path), lambda: path.symlink_to("/dev/zero")))()
    return path


def _damage_table(path: Path, rng: random.Random) -> None:
    """Damage cells, columns or the form's name of a Parquet file, which stays one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    name, row, action = rng.choice(("task", "system", "experience")), rng.randrange(table.num_rows), rng.random()
    texts = table.column(name).to_pylist()
    if action < 0.8:
        damaged = _damaged_json(texts[row].encode(), rng).decode("utf-8", "replace")
        texts[row] = rng.choice((damaged, damaged, damaged, None, texts[rng.randrange(len(texts))]))
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(texts, pa.string()))
    elif action < 0.9:
        table = table.drop_columns([name]) if action < 0.85 else table.append_column(name, table.column(name))
    elif action < 0.95:
        values = pa.array([hostile_value(rng) is None for _ in texts])
        table = table.set_column(table.schema.get_field_index(name), name, values)
    else:
        table = table.replace_schema_metadata({"format": rng.choice(("other", "xautolm-experiences")), "version": "2"})
    pq.write_table(table, path)


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
