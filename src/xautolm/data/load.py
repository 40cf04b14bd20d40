"""Loads data into a `Task`: finds the tables, the kind of task, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping

from xautolm import tasks
from xautolm.data import classification, generation, multi_label, questions, regression, tokens
from xautolm.data.columns import text_columns
from xautolm.data.guessing import guess_kind
from xautolm.data.source import read_tables
from xautolm.data.wording import names
from xautolm.errors import UsageError
from xautolm.records import Task

KINDS = tuple(tasks.KINDS)


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
        data: csv, tsv, json, jsonl, parquet or conll file (plain or gzipped), folder saved by `datasets`, or hub id.
        valid: the validation data, if they are a file of their own.
        test: the test data, if they are a file of their own.
        kind: task kind; None = guessed: question answering when the training data have columns `context`, `question`
            and `answers` and no column was named, token classification when there are lists of words and of tags,
            multi-label when the target holds lists, regression when it holds
            real numbers, text generation when it is called `summary` or the like and nearly all texts differ, else text
            classification. A guess that reads the cells is said in `warnings`.
        text: name of the text column; guessed when plain.
        target: name of the target column; guessed when plain. Several columns of 0 and 1, separated by commas, are
            multi-label.
        columns: role -> column name; the roles of a kind are those of `tasks.KINDS`.
        seed: seed of the cut.

    Returns:
        The task. Its fingerprint does not depend on `seed`; `warnings` tells what was dropped, repeated or
        leaked.

    Raises:
        DataError: the data cannot be used as given.
        UsageError: the arguments contradict each other.
    """
    if kind not in (None, *KINDS):
        raise UsageError(f"expected the task {names(KINDS)}, came {kind!r}")
    tables = read_tables(data, valid=valid, test=test)
    notes: list[str] = []
    if kind is None:
        kind, notes = guess_kind(tables, text, target, columns)
    if kind == multi_label.KIND:
        return multi_label.multi_label_task(tables, text, target, columns, seed, notes)
    if kind == regression.KIND:
        roles = text_columns(tables, text, target, columns, regression.SCORES)
        return regression.regression_task(tables, roles, seed, notes)
    if kind == tokens.KIND:
        _check_no_text(text, None, kind)
        return tokens.tokens_task(tables, target, columns, seed, notes)
    if kind == generation.KIND:
        return generation.generation_task(tables, text, target, columns, seed, notes)
    if kind == questions.KIND:
        _check_no_text(text, target, kind)
        return questions.questions_task(tables, columns, seed)
    return classification.classification_task(tables, text_columns(tables, text, target, columns), seed)


def _check_no_text(text: str | None, target: str | None, kind: str) -> None:
    """Refuse the options of texts with a target for a kind that has other roles."""
    if text or target:
        named = " and ".join(f"`--{name}`" for name, column in (("text", text), ("target", target)) if column)
        roles = ", ".join(f"`--column {role}=NAME`" for role in tasks.KINDS[kind].roles)
        raise UsageError(f"`{kind}` does not know {named}; name its columns with {roles}")
