"""Text generation: a source text, and the text to be written, in one or several accepted forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xautolm.data.answers import read_answers
from xautolm.data.assembly import Reading, assembled, text_keys
from xautolm.data.columns import TARGET_NAMES, Tiers, find_columns, guess
from xautolm.data.labels import is_spread
from xautolm.data.listed import is_list, is_missing
from xautolm.data.parts import Part, leakage, repeats
from xautolm.data.rows import clean_rows
from xautolm.data.source import Table, Tables
from xautolm.errors import DataError, UsageError
from xautolm.records import Answer, Task

KIND = "text-generation"
#: Role -> column names that say so.
NAMES: Mapping[str, Tiers] = {
    "text": (
        ("text", "source", "input", "document", "prompt", "article", "dialogue", "question", "instruction", "sentence"),
        ("body", "content", "passage", "review", "query", "src"),
    ),
    "target": (
        ("target", "summary", "output", "answer", "response", "highlights", "completion", "reference", "translation"),
        ("targets", "summaries", "outputs", "answers", "responses", "references", "headline", "title", "tgt", "label"),
    ),
}


#: Target columns whose names say that texts are to be written.
PLAIN_TARGETS: Tiers = (("summary", "summaries", "highlights", "response", "responses", "completion", "translation"),)


def looks_like_generation(table: Table) -> str | None:
    """The target column of a table with plain names whose targets are nearly all different; None when it is none."""
    available = [str(name) for name in table.frame.columns]
    target = guess(available, PLAIN_TARGETS)
    if target is None or available.count(target) > 1 or guess(available, (*TARGET_NAMES[:1],)) is not None:
        return None
    if guess([name for name in available if name != target], NAMES["text"]) is None and len(available) != 2:
        return None
    cells = table.frame[target].tolist()
    texts = [str(cell) for cell in cells if isinstance(cell, str) or is_list(cell)]
    return target if is_spread(len(set(texts)), len(cells)) else None


def generation_task(
    tables: Tables,
    text: str | None,
    target: str | None,
    columns: Mapping[str, str] | None,
    seed: int,
    notes: Sequence[str] = (),
) -> Task:
    """Put a text generation task together.

    Args:
        tables: by role.
        text: column named with `--text`.
        target: column named with `--target`.
        columns: role (`text`, `target`) -> column name; guessed when plain.
        seed: seed of the cut.
        notes: sentences that come first.

    Returns:
        The task: `answers` are the accepted texts of each row, the main one first; rows about one source text stay
        together.

    Raises:
        DataError: a column is missing or of another form, or more than half of the rows lack text or target.
        UsageError: an unknown role, or two columns for one.
    """
    named = dict(columns or {})
    for role, name in (("text", text), ("target", target)):
        if name is not None and named.setdefault(role, name) != name:
            raise UsageError(f"two columns were named for `{role}`: `{name}` and `{named[role]}`; name one")
    roles = find_columns(tables, NAMES, named, KIND)
    parts, notes = {}, list(notes)
    for role, table in tables.tables.items():
        rows = clean_rows(table, roles, _references(table, roles["target"]), "target")
        notes += rows.notes
        keys = text_keys(rows.texts, None)
        parts[role] = Part(rows.texts, None, [0] * len(keys), keys, keys, answers=rows.labels)
    reading = Reading(KIND, roles, parts, notes=notes)
    return assembled(tables, reading, seed, rows=_spelled, oddities=_oddities, group="source text")


def _references(table: Table, column: str) -> list[tuple[Answer, ...] | None]:
    """The accepted texts in each cell, None where there is none."""
    found: list[tuple[Answer, ...] | None] = []
    for cell in table.frame[column].tolist():
        try:
            answers, _ = read_answers(None if is_missing(cell) else cell, "")
        except TypeError as error:
            raise DataError(
                f"`{table.where}`: column `{column}` holds {error}, expected a text or a list of accepted texts; name "
                "another column with `--target`"
            ) from None
        found.append(tuple(Answer(answer.text) for answer in answers) or None)
    return found


def _spelled(part: Part) -> Iterator[tuple[str, None, Sequence[str]]]:
    for text, answers in zip(part.texts, part.answers or (), strict=True):
        yield text, None, [answer.text for answer in answers]


def _oddities(parts: Mapping[str, Part]) -> Iterator[str]:
    yield from repeats(parts["train"])
    yield from leakage(parts)
