"""Token classification: a list of words and a tag for each, in the form of `datasets` or of CoNLL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xautolm.data.assembly import Reading, assembled, text_keys
from xautolm.data.columns import Tiers, find_columns, guess
from xautolm.data.labels import MOST_NUMBERS, check_known, is_spread, type_labels
from xautolm.data.listed import is_list, is_missing, parse_list, writes_lists
from xautolm.data.parts import Part, conflicts, leakage, repeats
from xautolm.data.rows import LARGEST_SHARE_UNUSABLE, encodable
from xautolm.data.source import Table, Tables
from xautolm.data.tags import Scheme, find_scheme, repaired
from xautolm.data.wording import count, listing
from xautolm.errors import DataError
from xautolm.records import Label, Task

KIND = "token-classification"
#: Role -> column names that say so.
NAMES: Mapping[str, Tiers] = {
    "words": (("tokens", "words", "token", "word"), ("text", "sentence")),
    "target": (
        ("ner_tags", "tags", "labels", "ner", "tag", "label", "target"),
        ("pos_tags", "upos", "pos", "chunk_tags"),
    ),
}


@dataclass(frozen=True, slots=True)
class _Rows:
    """Usable rows of a table: words, a tag for each, and whether the tags are text whose type is to be found."""

    words: list[tuple[str, ...]]
    tags: list[list[object]]
    is_untyped: bool
    notes: list[str]


def looks_like_tokens(table: Table, lists: Sequence[str], target: str | None) -> str | None:
    """The column of words of a table that has lists of words and lists of tags; None when it is none.

    Args:
        table: the training table.
        lists: its columns that hold lists.
        target: column of the tags, where the user named it.
    """
    words = guess(lists, NAMES["words"])
    free = [name for name in lists if name != words]
    tags = target if target in free else guess(free, NAMES["target"]) if target is None else None
    return words if tags is not None else None


def tokens_task(
    tables: Tables, target: str | None, columns: Mapping[str, str] | None, seed: int, notes: Sequence[str] = ()
) -> Task:
    """Put a token classification task together.

    Args:
        tables: by role.
        target: column named with `--target`.
        columns: role (`words`, `target`) -> column name; guessed when plain.
        seed: seed of the cut.
        notes: sentences that come first.

    Returns:
        The task: `texts` are the words joined by spaces, `targets` the tag of each word.

    Raises:
        DataError: a column is missing or of another form, or too many rows lack tags.
        UsageError: an unknown role.
    """
    roles = find_columns(tables, NAMES, {**(columns or {}), **({"target": target} if target else {})}, KIND)
    rows = {role: _read(table, roles) for role, table in tables.tables.items()}
    tags, scheme, more = _tags(tables, roles, rows)
    labels = _labels(tags, scheme, f"`{tables.tables['train'].where}`: column `{roles['target']}`")
    parts = {}
    for role, found in rows.items():
        check_known([tag for row in tags[role] for tag in row], labels, f"`{tables.tables[role].where}`")
        parts[role] = _part(found.words, tags[role], labels)
    read = [note for found in rows.values() for note in found.notes]
    return assembled(
        tables,
        Reading(KIND, roles, parts, labels, [*notes, *read, *more]),
        seed,
        rows=lambda part: _spelled(part, labels),
        oddities=_oddities,
        group="sentence",
    )


def _read(table: Table, roles: Mapping[str, str]) -> _Rows:
    """Rows that have words and as many tags; the others are counted."""
    words, _ = _lists(table, roles["words"])
    tags, is_untyped = _lists(table, roles["target"])
    kept_words, kept_tags = [], []
    n_blank, empty, unlike = 0, 0, []
    for i, (a, b) in enumerate(zip(words, tags, strict=True)):
        if not any(str(word).strip() for word in a):
            empty += 1
        elif len(a) != len(b) or any(map(is_missing, (*a, *b))):
            unlike.append(f"row {i + 1}: {count(_n(a), 'word')}, {count(_n(b), 'tag')}")
        else:
            there = [(encodable(str(word)), tag) for word, tag in zip(a, b, strict=True) if str(word).strip()]
            n_blank += len(a) - len(there)
            kept_words.append(tuple(word for word, _ in there))
            kept_tags.append([tag for _, tag in there])
    notes = _dropped(table, roles, empty, unlike)
    if n_blank:
        notes.append(f"{count(n_blank, 'blank word')} in `{table.where}` left out, with their tags")
    return _Rows(kept_words, kept_tags, is_untyped, notes)


def _n(items: Sequence[object]) -> int:
    return sum(not is_missing(item) for item in items)


def _dropped(table: Table, roles: Mapping[str, str], empty: int, unlike: Sequence[str]) -> list[str]:
    n_rows, n_dropped = len(table.frame), empty + len(unlike)
    if not n_dropped:
        return []
    shown = f" ({listing(unlike, at_most=3)})" if unlike else ""
    lacks = f"{empty:,} without words, {len(unlike):,} with words and tags of different number{shown}"
    if n_dropped > LARGEST_SHARE_UNUSABLE * n_rows:
        raise DataError(
            f"`{table.where}`: {n_dropped:,} of {count(n_rows, 'row')} cannot be used: {lacks}; expected a list of "
            f"words in `{roles['words']}` and as many tags in `{roles['target']}`. Correct the file, or name other "
            "columns with `--column words=NAME` and `--target`"
        )
    return [f"dropped {count(n_dropped, 'row')} of {n_rows:,} in `{table.where}`: {lacks}"]


def _lists(table: Table, column: str) -> tuple[list[list[object]], bool]:
    """The list in each cell, empty where there is none; and whether items were split from text."""
    cells = table.frame[column].tolist()
    where = f"`{table.where}`: column `{column}`"
    is_text = any(isinstance(cell, str) for cell in cells)
    is_json = is_text and writes_lists(cells)
    found: list[list[object]] = []
    for cell in cells:
        if is_list(cell):
            found.append([item.item() if isinstance(item, np.generic) else item for item in cell])
        elif isinstance(cell, str):
            found.append(parse_list(cell, where) if is_json else list(cell.split()))
        elif is_missing(cell):
            found.append([])
        else:
            raise DataError(
                f"{where} holds {type(cell).__name__} values, expected lists, or text with a space between the items; "
                "name another column with `--column words=NAME` or `--target`"
            )
    odd = next((item for row in found for item in row if isinstance(item, list | dict)), None)
    if odd is not None:
        raise DataError(f"{where} holds {type(odd).__name__} values in a list, expected words and tags")
    return found, is_text and not is_json


def _tags(
    tables: Tables, roles: Mapping[str, str], rows: Mapping[str, _Rows]
) -> tuple[dict[str, list[list[Label]]], Scheme | None, list[str]]:
    """Tags of one type, as their scheme asks."""
    where = f"`{tables.tables['train'].where}`: column `{roles['target']}`"
    flat = {role: [tag for row in found.tags for tag in row] for role, found in rows.items()}
    typed, notes = type_labels(flat, {role for role, found in rows.items() if found.is_untyped}, where)
    tags: dict[str, list[list[Label]]] = {}
    for role, found in rows.items():
        items = iter(typed[role])
        tags[role] = [[next(items) for _ in row] for row in found.tags]
    counts = Counter(tag for part in typed.values() for tag in part)
    written = {tag: n for tag, n in counts.items() if isinstance(tag, str)}
    scheme = find_scheme(written, where) if len(written) == len(counts) else None
    if scheme is None:
        return tags, None, notes
    for role, part in tags.items():
        new, more = repaired([[str(tag) for tag in row] for row in part], scheme, tables.tables[role].where)
        tags[role] = [list(row) for row in new]
        notes += more
    return tags, scheme, notes


def _labels(tags: Mapping[str, Sequence[Sequence[Label]]], scheme: Scheme | None, where: str) -> tuple[Label, ...]:
    """The tags of train, and with a scheme those of later splits for a place that no word of a known type has there."""
    counts = Counter(tag for row in tags["train"] for tag in row)
    if len(counts) < 2:
        only = f"only the tag {next(iter(counts))!r}" if counts else "no tag"
        raise DataError(f"{where} has {only}; expected at least two. Is it the right column?")
    if len(counts) > MOST_NUMBERS and is_spread(len(counts), counts.total()):
        few = listing((repr(tag) for tag in counts), at_most=3)
        raise DataError(
            f"{where} looks like text: {len(counts):,} distinct tags for {count(counts.total(), 'word')} ({few}); "
            "expected tags that many words share. Name the column of the tags with `--target`"
        )
    labels = set(counts)
    if scheme is not None:
        types = {_type(tag) for tag in counts}
        labels |= {tag for part in tags.values() for row in part for tag in row if _type(tag) in types}
    return tuple(sorted(labels))


def _type(tag: Label) -> str:
    return str(tag).partition("-")[2]


def _part(words: Sequence[tuple[str, ...]], tags: Sequence[Sequence[Label]], labels: Sequence[Label]) -> Part:
    index = {label: i for i, label in enumerate(labels)}
    targets = [tuple(index[tag] for tag in row) for row in tags]
    texts = [" ".join(row) for row in words]
    keys = text_keys(texts, None)
    kept = [frozenset(target) for target in targets]
    return Part(texts, None, [0] * len(texts), keys, keys, targets=targets, words=words, kept=kept)


def _spelled(part: Part, labels: Sequence[Label]) -> Iterator[tuple[list[str], list[Label]]]:
    for words, target in zip(part.words or (), part.targets or (), strict=True):
        yield list(words), [labels[i] for i in target] if isinstance(target, tuple) else []


def _oddities(parts: Mapping[str, Part]) -> Iterator[str]:
    yield from repeats(parts["train"], "words")
    yield from conflicts(parts["train"], "sequence of tags")
    yield from leakage(parts)
