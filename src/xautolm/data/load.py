"""Loads data into a `Task`: tables, columns, labels, splits, fingerprint, and what is odd about the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xautolm.data.columns import FLAGS, check_column, resolve_columns
from xautolm.data.fingerprint import fingerprint_rows, row_key, sketch_rows
from xautolm.data.labels import check_known, label_set, type_labels
from xautolm.data.rows import clean_rows
from xautolm.data.source import Tables, read_tables
from xautolm.data.split import TINY, cut_splits, split_shares
from xautolm.data.wording import count
from xautolm.errors import DataError, UsageError
from xautolm.records import DataSource, Label, Split, Task

KIND = "text-classification"


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one source or split while the task is put together; all of length n_rows."""

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: Sequence[int]
    keys: Sequence[str]

    def take(self, rows: NDArray[np.int64]) -> _Part:
        return _Part(
            [self.texts[i] for i in rows],
            None if self.pairs is None else [self.pairs[i] for i in rows],
            [self.labels[i] for i in rows],
            [self.keys[i] for i in rows],
        )

    def split(self) -> Split:
        return Split(tuple(self.texts), None if self.pairs is None else tuple(self.pairs), tuple(self.labels))


def load_task(
    data: str,
    *,
    valid: str | None = None,
    test: str | None = None,
    kind: str = KIND,
    text: str | None = None,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Task:
    """Load data for a search; splits that are not given are cut from the training rows.

    Args:
        data: csv, tsv, json, jsonl or parquet file (plain or gzipped), folder saved by `datasets`, or hub id.
        valid: the validation data, if they are a file of their own.
        test: the test data, if they are a file of their own.
        kind: task kind; `text-classification`.
        text: name of the text column; guessed when plain.
        target: name of the label column; guessed when plain.
        columns: role (`text`, `text_pair`, `target`) -> column name.
        seed: seed of the cut.

    Returns:
        The task. Its fingerprint does not depend on `seed`; `warnings` tells what was dropped, repeated or
        leaked.

    Raises:
        DataError: the data cannot be used as given.
        UsageError: the arguments contradict each other.
    """
    if kind != KIND:
        raise UsageError(f"expected the task `{KIND}`, came {kind!r}; other tasks are not supported yet")
    tables = read_tables(data, valid=valid, test=test)
    roles = _columns(tables, text, target, columns)
    parts, labels, warnings = _parts(tables, roles)
    fingerprint = fingerprint_rows({role: _labelled(part, labels) for role, part in parts.items()})
    sketch = sketch_rows(key for part in parts.values() for key in part.keys)
    parts, notes = _cut(parts, seed)
    sources = {
        role: source if source.sha256 else DataSource(source.path, fingerprint)
        for role, source in tables.sources.items()
    }
    return Task(
        dataset_id=tables.dataset_id,
        kind=kind,
        labels=labels,
        train=parts["train"].split(),
        validation=parts["validation"].split(),
        test=parts["test"].split() if "test" in parts else None,
        columns=roles,
        sources=sources,
        fingerprint=fingerprint,
        sketch=sketch,
        warnings=(*warnings, *notes, *_oddities(parts)),
    )


def _columns(tables: Tables, text: str | None, target: str | None, columns: Mapping[str, str] | None) -> dict[str, str]:
    train = tables.tables["train"]
    available = [str(name) for name in train.frame.columns]
    if len(available) == 1:
        raise DataError(
            f"`{train.where}` has one column, {available[0]!r}; expected at least a text and a target "
            "column. Check the delimiter (csv: comma, tsv: tab) and the header line"
        )
    roles = resolve_columns(available, text=text, target=target, columns=columns, where=train.where)
    for table in tables.tables.values():
        for role, name in roles.items():
            check_column(name, [str(column) for column in table.frame.columns], FLAGS[role], table.where)
    return roles


def _parts(tables: Tables, roles: Mapping[str, str]) -> tuple[dict[str, _Part], tuple[Label, ...], list[str]]:
    rows = {role: clean_rows(table, roles) for role, table in tables.tables.items()}
    target = f"column `{roles['target']}`"
    where = {role: f"`{table.where}`: {target}" for role, table in tables.tables.items()}
    delimited = {role for role, table in tables.tables.items() if table.is_delimited}
    typed, notes = type_labels({role: part.labels for role, part in rows.items()}, delimited, where["train"])
    labels = label_set(typed["train"], where["train"])
    for role, found in typed.items():
        check_known(found, labels, where[role])
    index = {label: i for i, label in enumerate(labels)}
    parts = {
        role: _Part(part.texts, part.pairs, [index[label] for label in typed[role]], _keys(part.texts, part.pairs))
        for role, part in rows.items()
    }
    return parts, labels, [note for part in rows.values() for note in part.notes] + notes


def _keys(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    if pairs is None:
        return [row_key(text) for text in texts]
    return [row_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def _labelled(part: _Part, labels: Sequence[Label]) -> list[tuple[str, str | None, Label]]:
    pairs = part.pairs if part.pairs is not None else [None] * len(part.texts)
    return [(t, p, labels[i]) for t, p, i in zip(part.texts, pairs, part.labels, strict=True)]


def _cut(parts: Mapping[str, _Part], seed: int) -> tuple[dict[str, _Part], list[str]]:
    """Cut what is missing from train; parts that were given stay as they are."""
    train = parts["train"]
    n_rows = len(train.texts)
    validation, test = split_shares(n_rows, validation="validation" not in parts, test="test" not in parts)
    notes = []
    if "test" not in parts and not test:
        notes.append(
            f"no test split: {count(n_rows, 'training row')} are too few to cut one (fewer than {TINY}); the "
            "scores reported are validation scores, which are too good. Give more rows or `--test`"
        )
    cut = cut_splits(train.keys, train.labels, validation=validation, test=test, seed=seed)
    whole = {"train": train.take(cut.train)}
    for role, rows, share in (("validation", cut.validation, validation), ("test", cut.test, test)):
        if role in parts:
            whole[role] = parts[role]
        elif len(rows):
            whole[role] = train.take(rows)
        elif share:
            raise DataError(
                f"no {role} rows can be cut from {count(n_rows, 'training row')}: too few distinct texts; "
                f"add rows or give `--{'valid' if role == 'validation' else role}`"
            )
    return whole, notes


def _oddities(parts: Mapping[str, _Part]) -> list[str]:
    """Repeats in train, texts with several labels, and rows of a later split that an earlier one shows."""
    train = parts["train"]
    first_label: dict[str, int] = {}
    conflicts = {
        key for key, label in zip(train.keys, train.labels, strict=True) if first_label.setdefault(key, label) != label
    }
    warnings = []
    n_repeats = len(train.keys) - len(first_label)
    if n_repeats:
        warnings.append(f"{count(n_repeats, 'row')} of {len(train.keys):,} in train repeat an earlier row's text")
    if conflicts:
        warnings.append(f"{count(len(conflicts), 'text')} in train with more than one label")
    for role, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if role in parts:
            shown = set(parts[other].keys)
            n_shared = sum(key in shown for key in parts[role].keys)
            if n_shared:
                warnings.append(
                    f"{count(n_shared, 'row')} of {len(parts[role].keys):,} in {role} are also in {other} "
                    f"(leakage): {role} scores are too good"
                )
    return warnings
