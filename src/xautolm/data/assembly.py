"""Puts a task together from the rows that were read: provenance, the missing splits, warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from xautolm.data.fingerprint import fingerprint_rows, row_key, sketch_rows
from xautolm.data.parts import Part, cut_missing
from xautolm.data.source import Tables, sources_of
from xautolm.records import Label, Task


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of the tables of a task.

    Attributes:
        kind: task kind.
        columns: role -> column.
        parts: role of the source -> its usable rows.
        labels: label set, empty where rows have answers or numbers.
        notes: sentences about what was dropped, converted or decided.
    """

    kind: str
    columns: Mapping[str, str]
    parts: Mapping[str, Part]
    labels: tuple[Label, ...] = ()
    notes: Sequence[str] = ()


def assembled(
    tables: Tables,
    reading: Reading,
    seed: int,
    *,
    rows: Callable[[Part], Iterable[Sequence[object]]],
    oddities: Callable[[Mapping[str, Part]], Iterable[str]],
    group: str = "text",
) -> Task:
    """The task of the rows.

    Args:
        tables: where they came from.
        reading: the rows.
        seed: seed of the cut.
        rows: what the fingerprint sees of each row of a part.
        oddities: sentences about the splits, once they are cut.
        group: what rows that stay together have in common, for messages.

    Raises:
        DataError: a missing split cannot be cut.
    """
    fingerprint = fingerprint_rows({role: rows(part) for role, part in reading.parts.items()})
    sketch = sketch_rows(key for part in reading.parts.values() for key in part.keys)
    parts, notes = cut_missing(reading.parts, seed, group)
    return Task(
        dataset_id=tables.dataset_id,
        kind=reading.kind,
        labels=reading.labels,
        train=parts["train"].split(),
        validation=parts["validation"].split(),
        test=parts["test"].split() if "test" in parts else None,
        columns=reading.columns,
        sources=sources_of(tables, fingerprint),
        fingerprint=fingerprint,
        sketch=sketch,
        warnings=(*reading.notes, *notes, *oddities(parts)),
    )


def text_keys(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """The identity of each row's texts, up to case and white space."""
    if pairs is None:
        return [row_key(text) for text in texts]
    return [row_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def texts_with(part: Part, asked: Iterable[object]) -> Iterable[tuple[str, str | None, object]]:
    """Text, second text and what is asked for, of each row: what most fingerprints see."""
    pairs = part.pairs if part.pairs is not None else [None] * part.n_rows
    return zip(part.texts, pairs, asked, strict=True)
