"""Text classification: one text or a pair, one label of a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xautolm.data.assembly import Reading, assembled, text_keys, texts_with
from xautolm.data.labels import check_known, label_set, type_labels
from xautolm.data.parts import Part, conflicts, leakage, repeats
from xautolm.data.rows import clean_rows
from xautolm.data.source import Tables
from xautolm.records import Label, Task

KIND = "text-classification"


def classification_task(tables: Tables, roles: Mapping[str, str], seed: int) -> Task:
    """Put a classification task together.

    Args:
        tables: by role.
        roles: role -> column, from `columns.text_columns`.
        seed: seed of the cut.

    Raises:
        DataError: the texts or labels cannot be used.
    """
    parts, labels, notes = _parts(tables, roles)
    return assembled(
        tables,
        Reading(KIND, roles, parts, labels, notes),
        seed,
        rows=lambda part: texts_with(part, (labels[i] for i in part.classes)),
        oddities=oddities,
    )


def oddities(parts: Mapping[str, Part], noun: str = "label") -> Iterator[str]:
    """What is odd about splits of texts that each have one target, called `noun`."""
    yield from repeats(parts["train"])
    yield from conflicts(parts["train"], noun)
    yield from leakage(parts)


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
        keys = text_keys(part.texts, part.pairs)
        parts[role] = Part(part.texts, part.pairs, [index[label] for label in typed[role]], keys, keys)
    return parts, labels, [note for part in rows.values() for note in part.notes] + notes
