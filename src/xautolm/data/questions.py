"""Question answering: context, question and accepted answers, in the forms of SQuAD and DROP.

Rows about one context go to the same split, or else a model would be measured on a text that it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xautolm.data.answers import answers_of
from xautolm.data.assembly import Reading, assembled, text_keys
from xautolm.data.columns import find_columns
from xautolm.data.fingerprint import row_key
from xautolm.data.parts import Part, leakage, repeats
from xautolm.data.rows import LARGEST_SHARE_UNUSABLE, encodable, text_cells
from xautolm.data.source import Table, Tables
from xautolm.data.wording import count
from xautolm.errors import DataError
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
    roles = find_columns(tables, {role: (known,) for role, known in NAMES.items()}, columns, KIND)
    read = {role: _read(table, roles) for role, table in tables.tables.items()}
    parts = {role: item.part for role, item in read.items()}
    reading = Reading(KIND, roles, parts, notes=[note for item in read.values() for note in item.notes])
    return assembled(tables, reading, seed, rows=_rows, oddities=_oddities, group="context")


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
    answers, n_misplaced, n_absent = [], 0, 0
    for i, context in zip(keep, pairs, strict=True):
        found, n_wrong = answers_of(cells[i], context, f"`{table.where}`: column `{column}`", FLAGS["answers"])
        answers.append(found)
        n_misplaced += n_wrong
        n_absent += sum(answer.start is None and answer.text not in context for answer in found) if n_wrong else 0
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
            f"{count(n_misplaced, 'answer')} in `{table.where}` not at the stated position of the context"
            f"{f' ({n_absent:,} of them nowhere in it)' if n_absent else ''}: kept as text, without position"
        )
    groups = [row_key(pair) for pair in pairs]
    return Part(texts, pairs, [0] * len(texts), text_keys(texts, pairs), groups, answers)


def _rows(part: Part) -> Iterator[tuple[str, str, list[tuple[str, int | None]]]]:
    for text, pair, answers in zip(part.texts, part.pairs or (), part.answers or (), strict=True):
        yield text, pair, [(answer.text, answer.start) for answer in answers]


def _oddities(parts: Mapping[str, Part]) -> Iterator[str]:
    yield from repeats(parts["train"], "question and context")
    yield from leakage(parts)
    yield from _shared_contexts(parts)


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
