"""Loads data into a `Task`: tables, columns, labels, splits, fingerprint, and what is odd about the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xautolm.data.columns import FLAGS, check_column, resolve_columns
from xautolm.data.fingerprint import fingerprint_rows, row_key, sketch_rows
from xautolm.data.labels import check_known, label_set, type_labels
from xautolm.data.parts import Part, cut_missing, leakage, repeats
from xautolm.data.questions import KIND as QUESTIONS
from xautolm.data.questions import looks_like_questions, questions_task
from xautolm.data.rows import clean_rows
from xautolm.data.source import Tables, read_tables, sources_of
from xautolm.data.wording import count, names
from xautolm.errors import DataError, UsageError
from xautolm.records import Label, Task

KIND = "text-classification"
KINDS = (KIND, QUESTIONS)


def load_task(
    data: str,
    *,
    valid: str | None = None,
    test: str | None = None,
    kind: str | None = None,
    text: str | None = None,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Task:
    """Load data for a search or a profile; splits that are not given are cut from the training rows.

    Args:
        data: csv, tsv, json, jsonl or parquet file (plain or gzipped), folder saved by `datasets`, or hub id.
        valid: the validation data, if they are a file of their own.
        test: the test data, if they are a file of their own.
        kind: task kind; None = question answering when the training data have columns `context`, `question` and
            `answers` and no column was named, else text classification.
        text: name of the text column; guessed when plain.
        target: name of the label column; guessed when plain.
        columns: role (`text`, `text_pair`, `target`; `context`, `question`, `answers`) -> column name.
        seed: seed of the cut.

    Returns:
        The task. Its fingerprint does not depend on `seed`; `warnings` tells what was dropped, repeated or
        leaked.

    Raises:
        DataError: the data cannot be used as given.
        UsageError: the arguments contradict each other.
    """
    if kind not in (None, *KINDS):
        raise UsageError(f"expected the task {names(KINDS)}, came {kind!r}; other tasks are not supported yet")
    tables = read_tables(data, valid=valid, test=test)
    if kind is None and not (text or target or columns) and looks_like_questions(tables.tables["train"]):
        kind = QUESTIONS
    if kind != QUESTIONS:
        return _labelled_task(tables, _columns(tables, text, target, columns), seed)
    if text or target:
        raise UsageError(
            "`--text` and `--target` are for text classification; name the columns of question answering with "
            "`--column context=NAME`, `--column question=NAME` and `--column answers=NAME`"
        )
    return questions_task(tables, columns, seed)


def _labelled_task(tables: Tables, roles: Mapping[str, str], seed: int) -> Task:
    parts, labels, warnings = _parts(tables, roles)
    fingerprint = fingerprint_rows({role: _labelled(part, labels) for role, part in parts.items()})
    sketch = sketch_rows(key for part in parts.values() for key in part.keys)
    parts, notes = cut_missing(parts, seed)
    return Task(
        dataset_id=tables.dataset_id,
        kind=KIND,
        labels=labels,
        train=parts["train"].split(),
        validation=parts["validation"].split(),
        test=parts["test"].split() if "test" in parts else None,
        columns=roles,
        sources=sources_of(tables, fingerprint),
        fingerprint=fingerprint,
        sketch=sketch,
        warnings=(*warnings, *notes, *repeats(parts["train"]), *_conflicts(parts["train"]), *leakage(parts)),
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


def _parts(tables: Tables, roles: Mapping[str, str]) -> tuple[dict[str, Part], tuple[Label, ...], list[str]]:
    rows = {role: clean_rows(table, roles) for role, table in tables.tables.items()}
    target = f"column `{roles['target']}`"
    where = {role: f"`{table.where}`: {target}" for role, table in tables.tables.items()}
    delimited = {role for role, table in tables.tables.items() if table.is_delimited}
    typed, notes = type_labels({role: part.labels for role, part in rows.items()}, delimited, where["train"])
    labels = label_set(typed["train"], where["train"])
    for role, found in typed.items():
        check_known(found, labels, where[role])
    index = {label: i for i, label in enumerate(labels)}
    parts = {}
    for role, part in rows.items():
        keys = _keys(part.texts, part.pairs)
        parts[role] = Part(part.texts, part.pairs, [index[label] for label in typed[role]], keys, keys)
    return parts, labels, [note for part in rows.values() for note in part.notes] + notes


def _keys(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    if pairs is None:
        return [row_key(text) for text in texts]
    return [row_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def _labelled(part: Part, labels: Sequence[Label]) -> list[tuple[str, str | None, Label]]:
    pairs = part.pairs if part.pairs is not None else [None] * len(part.texts)
    return [(t, p, labels[i]) for t, p, i in zip(part.texts, pairs, part.classes, strict=True)]


def _conflicts(train: Part) -> list[str]:
    """A sentence when texts of train have several labels."""
    first: dict[str, int] = {}
    rows = zip(train.keys, train.classes, strict=True)
    conflicts = {key for key, label in rows if first.setdefault(key, label) != label}
    return [f"{count(len(conflicts), 'text')} in train with more than one label"] if conflicts else []
