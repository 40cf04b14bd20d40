"""Question answering: context, question and accepted answers, in the forms of SQuAD and DROP.

Rows about one context go to the same split, or else a model would be measured on a text that it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xautolm.data.answers import answers_of
from xautolm.data.columns import check_column, guess
from xautolm.data.fingerprint import fingerprint_rows, row_key, sketch_rows
from xautolm.data.parts import Part, cut_missing, leakage, repeats
from xautolm.data.rows import LARGEST_SHARE_UNUSABLE, encodable, text_cells
from xautolm.data.source import Table, Tables, sources_of
from xautolm.data.wording import count, names
from xautolm.errors import DataError, UsageError
from xautolm.records import Task

KIND = "question-answering"
#: Role -> column names (case folded) that say so; the first wins over the others, two others are ambiguous.
NAMES = {
    "context": ("context", "passage", "paragraph"),
    "question": ("question", "query"),
    "answers": ("answers", "answer", "answers_spans", "answer_text"),
}
FLAGS = {role: f"--column {role}=NAME" for role in NAMES}


@dataclass(frozen=True, slots=True)
class _Read:
    """Usable rows of one table, and sentences about the others."""

    part: Part
    notes: list[str]


def looks_like_questions(table: Table) -> bool:
    """Whether a table has columns `context`, `question` and `answers` and, unlike multiple choice, no `label`."""
    columns = {str(name).casefold() for name in table.frame.columns}
    return set(NAMES) <= columns and "label" not in columns


def questions_task(tables: Tables, columns: Mapping[str, str] | None, seed: int) -> Task:
    """Put a question answering task together.

    Args:
        tables: by role.
        columns: role (`context`, `question`, `answers`) -> column name; guessed when plain.
        seed: seed of the cut.

    Returns:
        The task: `texts` are the questions, `pairs` the contexts, there are no labels.

    Raises:
        DataError: a column is missing or of another form, or no row has an answer.
        UsageError: an unknown role.
    """
    roles = _columns(tables, columns)
    read = {role: _read(table, roles) for role, table in tables.tables.items()}
    parts = {role: item.part for role, item in read.items()}
    fingerprint = fingerprint_rows({role: _rows(part) for role, part in parts.items()})
    sketch = sketch_rows(key for part in parts.values() for key in part.keys)
    parts, notes = cut_missing(parts, seed, group="context")
    oddities = (*repeats(parts["train"], "question and context"), *leakage(parts), *_shared_contexts(parts))
    return Task(
        dataset_id=tables.dataset_id,
        kind=KIND,
        labels=(),
        train=parts["train"].split(),
        validation=parts["validation"].split(),
        test=parts["test"].split() if "test" in parts else None,
        columns=roles,
        sources=sources_of(tables, fingerprint),
        fingerprint=fingerprint,
        sketch=sketch,
        warnings=(*(note for item in read.values() for note in item.notes), *notes, *oddities),
    )


def _columns(tables: Tables, columns: Mapping[str, str] | None) -> dict[str, str]:
    named = dict(columns or {})
    unknown = next((role for role in named if role not in NAMES), None)
    if unknown is not None:
        raise UsageError(f"`--column` knows the roles {names(NAMES)} for question answering, came {unknown!r}")
    if len(set(named.values())) < len(named):
        raise UsageError(f"one column cannot have two roles, came {named!r}; name different columns")
    train = tables.tables["train"]
    available = [str(name) for name in train.frame.columns]
    roles: dict[str, str] = {}
    for role, known in NAMES.items():
        free = [name for name in available if name not in named.values() and name not in roles.values()]
        found = named.get(role) or guess(free, (known,))
        if found is None:
            raise DataError(
                f"`{train.where}`: which column holds the {role} is not plain from the names {names(available)}; "
                f"name it with `{FLAGS[role]}`"
            )
        roles[role] = found
    for table in tables.tables.values():
        for role, name in roles.items():
            check_column(name, [str(column) for column in table.frame.columns], FLAGS[role], table.where)
    return roles


def _read(table: Table, roles: Mapping[str, str]) -> _Read:
    """Rows that have a question and a context, with their answers."""
    notes: list[str] = []
    questions = text_cells(table, roles["question"], FLAGS["question"], notes)
    contexts = text_cells(table, roles["context"], FLAGS["context"], notes)
    keep = [i for i, (q, c) in enumerate(zip(questions, contexts, strict=True)) if q is not None and c is not None]
    n_rows, n_dropped = len(questions), len(questions) - len(keep)
    n_no_question = sum(question is None for question in questions)
    lacks = f"{n_no_question:,} without question, {n_dropped - n_no_question:,} without context"
    if n_dropped > LARGEST_SHARE_UNUSABLE * n_rows:
        raise DataError(
            f"`{table.where}`: {n_dropped:,} of {count(n_rows, 'row')} cannot be used ({lacks}); expected text in "
            f"`{roles['question']}` and `{roles['context']}`. Correct the file, or name other columns with `--column`"
        )
    if n_dropped:
        notes.append(f"dropped {count(n_dropped, 'row')} of {n_rows:,} in `{table.where}`: {lacks}")
    part = _part(table, roles["answers"], keep, questions, contexts, notes)
    return _Read(part, notes)


def _part(
    table: Table,
    column: str,
    keep: Sequence[int],
    questions: Sequence[str | None],
    contexts: Sequence[str | None],
    notes: list[str],
) -> Part:
    texts = [encodable(questions[i]) for i in keep]
    pairs = [encodable(contexts[i]) for i in keep]
    cells = table.frame[column].tolist()
    answers, n_misplaced = [], 0
    for i, context in zip(keep, pairs, strict=True):
        found, n_wrong = answers_of(cells[i], context, f"`{table.where}`: column `{column}`", FLAGS["answers"])
        answers.append(found)
        n_misplaced += n_wrong
    n_without = sum(not found for found in answers)
    if n_without == len(answers):
        raise DataError(
            f"`{table.where}`: no row has an answer in column `{column}`; expected accepted answers of most rows. "
            f"Is it the right column? Name another with `{FLAGS['answers']}`"
        )
    if n_without:
        notes.append(f"{count(n_without, 'row')} of {len(answers):,} in `{table.where}` without answer (unanswerable)")
    if n_misplaced:
        notes.append(
            f"{count(n_misplaced, 'answer')} in `{table.where}` not at the stated position of the context: kept as "
            "text, without position"
        )
    keys = [row_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]
    return Part(texts, pairs, [0] * len(texts), keys, [row_key(pair) for pair in pairs], answers)


def _rows(part: Part) -> Iterator[tuple[str, str, list[tuple[str, int | None]]]]:
    for text, pair, answers in zip(part.texts, part.pairs or (), part.answers or (), strict=True):
        yield text, pair, [(answer.text, answer.start) for answer in answers]


def _shared_contexts(parts: Mapping[str, Part]) -> list[str]:
    """A sentence for each later split that asks new questions about contexts of an earlier one."""
    warnings = []
    for role, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if role in parts:
            contexts, rows = set(parts[other].groups), set(parts[other].keys)
            pairs = zip(parts[role].groups, parts[role].keys, strict=True)
            n_shared = sum(group in contexts and key not in rows for group, key in pairs)
            if n_shared:
                warnings.append(
                    f"{count(n_shared, 'row')} of {parts[role].n_rows:,} in {role} with a context that is also in "
                    f"{other} (leakage): {role} scores are too good"
                )
    return warnings
