"""Guesses the kind of a task from its columns and cells, where nobody named it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xautolm.data import classification, generation, multi_label, questions, regression, tokens
from xautolm.data.columns import CLASSES, Wanted, resolve_columns
from xautolm.data.listed import all_written, holds_lists
from xautolm.data.multi_label import indicators
from xautolm.data.regression import looks_like_scores
from xautolm.data.source import Table, Tables
from xautolm.data.tokens import looks_like_tokens
from xautolm.errors import DataError, UsageError

#: A kind, and what there is to say about how it was guessed.
Guess = tuple[str, list[str]]


def guess_kind(tables: Tables, text: str | None, target: str | None, columns: Mapping[str, str] | None) -> Guess:
    """The kind of task that a training table looks like.

    Args:
        tables: by role.
        text: column named with `--text`.
        target: column named with `--target`.
        columns: role -> column named with `--column`.

    Returns:
        The kind, classification where nothing else is plain, and a sentence about a guess that reads the cells.
    """
    train = tables.tables["train"]
    named = target or (columns or {}).get("target")
    if not (text or target or columns):
        if questions.looks_like_questions(train):
            return questions.KIND, []
        column = generation.looks_like_generation(train)
        if column is not None:
            return _guess(generation.KIND, f"column `{column}` holds texts to be written")
    if indicators(tables, named):
        return _guess(multi_label.KIND, f"{named!r} names several columns")
    lists = list_columns(train)
    words = None if text else looks_like_tokens(train, lists, named)
    if words is not None:
        return _guess(tokens.KIND, f"column `{words}` holds lists of words, and their tags are there")
    return _by_target(train, lists, text, target, columns) or (classification.KIND, [])


def _by_target(
    train: Table, lists: Sequence[str], text: str | None, target: str | None, columns: Mapping[str, str] | None
) -> Guess | None:
    """What the cells of the target column say; the column is the first that any of the kinds finds."""
    for wanted in (CLASSES, multi_label.LABELS, regression.SCORES):
        column = _target(train, text, target, columns, wanted)
        if column is None:
            continue
        if column in lists:
            return _guess(multi_label.KIND, f"column `{column}` holds lists")
        if wanted is not multi_label.LABELS and looks_like_scores(train, column):
            return _guess(regression.KIND, f"column `{column}` holds real numbers")
        if wanted is CLASSES:
            return None
    return None


def list_columns(table: Table) -> list[str]:
    """The columns that hold lists, also written as text; a name that occurs twice is no column."""
    available = [str(name) for name in table.frame.columns]
    unique = [name for name in available if available.count(name) == 1]
    cells = {name: table.frame[name].tolist() for name in unique}
    return [name for name in unique if holds_lists(cells[name]) or all_written(cells[name])]


def _target(
    train: Table, text: str | None, target: str | None, columns: Mapping[str, str] | None, wanted: Wanted
) -> str | None:
    """The target column, as far as it can be told."""
    available = [str(name) for name in train.frame.columns]
    try:
        roles = resolve_columns(available, text=text, target=target, columns=columns, where=train.where, wanted=wanted)
    except (DataError, UsageError):  # said again, with its reason, by the reader
        return None
    return roles["target"]


def _guess(kind: str, reason: str) -> Guess:
    return kind, [f"{reason}: the task is taken as `{kind}` (`--task` names another kind)"]
