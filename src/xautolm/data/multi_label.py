"""Multi-label classification: one text or a pair, any number of labels each, also none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from xautolm.data.assembly import Reading, assembled, text_keys, texts_with
from xautolm.data.classification import oddities
from xautolm.data.columns import TARGET_NAMES, Wanted, check_column, text_columns
from xautolm.data.label_sets import RawSet, indicated_sets, indicator_columns, known_labels, read_sets
from xautolm.data.labels import check_known, type_labels
from xautolm.data.parts import Part
from xautolm.data.rows import clean_rows
from xautolm.data.source import Tables
from xautolm.data.wording import count
from xautolm.errors import DataError, UsageError
from xautolm.records import Label, Task

KIND = "multi-label"
LABELS = Wanted(
    KIND,
    "labels",
    (
        ("labels", "tags", "categories", "topics", "genres", "emotions", "classes", "intents", "keywords"),
        *TARGET_NAMES,
    ),
)


@dataclass(frozen=True, slots=True)
class _Sets:
    """Labels of each row by role, the roles whose labels are untyped text, and what there is to say."""

    sets: Mapping[str, Sequence[RawSet]]
    untyped: frozenset[str]
    notes: list[str]


def multi_label_task(
    tables: Tables,
    text: str | None,
    target: str | None,
    columns: Mapping[str, str] | None,
    seed: int,
    notes: Sequence[str] = (),
) -> Task:
    """Put a multi-label task together.

    Args:
        tables: by role.
        text: column named with `--text`.
        target: column named with `--target`, or several columns of 0 and 1, separated by commas.
        columns: role -> column named with `--column`.
        seed: seed of the cut.
        notes: sentences that come first.

    Returns:
        The task: `targets` are ascending indices of labels, also none.

    Raises:
        DataError: the texts or labels cannot be used.
        UsageError: the named columns contradict each other.
    """
    named = _one(target, (columns or {}).get("target"))
    several = indicators(tables, named)
    others = {role: name for role, name in (columns or {}).items() if role != "target"}
    try:
        roles = text_columns(tables, text, several[0] if several else named, others, LABELS)
    except DataError as error:
        raise DataError(f"{error}{_hint(tables, named)}") from None
    if several:
        for table in tables.tables.values():
            for name in several:
                check_column(name, [str(column) for column in table.frame.columns], "--target", table.where)
        roles["target"] = ",".join(several)
    found = _read(tables, roles["target"], several)
    parts, labels, more = _parts(tables, roles, found)
    return assembled(
        tables,
        Reading(KIND, roles, parts, labels, [*notes, *found.notes, *more]),
        seed,
        rows=lambda part: texts_with(part, _spelled(part, labels)),
        oddities=partial(oddities, noun="set of labels"),
    )


def indicators(tables: Tables, target: str | None) -> tuple[str, ...]:
    """The columns of 0 and 1 that a target `a,b,c` names; none when it is a column itself."""
    if target is None or "," not in target or target in tables.tables["train"].frame.columns:
        return ()
    return tuple(name.strip() for name in target.split(","))


def _hint(tables: Tables, named: str | None) -> str:
    """What to do in a table that has a column of 0 and 1 for each label, where no target was named."""
    train = tables.tables["train"]
    found = [] if named else indicator_columns(train)
    return f". Columns of 0 and 1 are named together: `--target {','.join(found)}`" if len(found) > 1 else ""


def _one(target: str | None, other: str | None) -> str | None:
    if target and other and target != other:
        raise UsageError(f"two columns were named for `target`: `{target}` and `{other}`; name one")
    return target or other


def _read(tables: Tables, column: str, several: Sequence[str]) -> _Sets:
    if several:
        notes: list[str] = []
        sets = {role: indicated_sets(table, several, notes) for role, table in tables.tables.items()}
        return _Sets(sets, frozenset(), notes)
    cells = {role: table.frame[column].tolist() for role, table in tables.tables.items()}
    where = f"column `{column}` of `{tables.tables['train'].where}`"
    raw, is_split, notes = read_sets(cells, where)
    delimited = frozenset(role for role, table in tables.tables.items() if table.is_delimited)
    return _Sets(raw, delimited if is_split else frozenset(), notes)


def _parts(
    tables: Tables, roles: Mapping[str, str], found: _Sets
) -> tuple[dict[str, Part], tuple[Label, ...], list[str]]:
    column = f"column `{roles['target']}`"
    where = {role: f"`{table.where}`: {column}" for role, table in tables.tables.items()}
    rows = {role: clean_rows(table, roles, found.sets[role], "labels") for role, table in tables.tables.items()}
    flat = {role: [label for labels in part.labels for label in labels] for role, part in rows.items()}
    typed, notes = type_labels(flat, found.untyped, where["train"])
    sets: dict[str, list[list[Label]]] = {}
    for role, part in rows.items():
        labels = iter(typed[role])
        sets[role] = [[next(labels) for _ in row] for row in part.labels]
    known, more = known_labels(sets["train"], where["train"])
    parts = {}
    for role, part in rows.items():
        check_known(typed[role], known, where[role])
        targets = _indices(sets[role], known)
        keys = text_keys(part.texts, part.pairs)
        strata = _strata(targets, len(known))
        parts[role] = Part(part.texts, part.pairs, strata, keys, keys, targets=targets, kept=targets)
    dropped = [note for part in rows.values() for note in part.notes]
    return parts, known, [*dropped, *notes, *more, *_empty(parts)]


def _indices(sets: Sequence[Sequence[Label]], labels: Sequence[Label]) -> list[tuple[int, ...]]:
    index = {label: i for i, label in enumerate(labels)}
    return [tuple(sorted({index[label] for label in found})) for found in sets]


def _strata(targets: Sequence[tuple[int, ...]], n_labels: int) -> list[int]:
    """The rarest label of each row, so that cuts keep the shares of rare labels; rows without any are one more stratum.

    >>> _strata([(0, 1), (0,), (0, 2), ()], 3)
    [1, 0, 2, 3]
    """
    counts = Counter(label for row in targets for label in row)
    return [min(row, key=lambda label: (counts[label], label), default=n_labels) for row in targets]


def _empty(parts: Mapping[str, Part]) -> list[str]:
    n_rows, n_empty = parts["train"].n_rows, sum(not row for row in parts["train"].targets or ())
    return [f"{count(n_empty, 'row')} of {n_rows:,} without any label"] if n_empty else []


def _spelled(part: Part, labels: Sequence[Label]) -> Iterator[list[Label]]:
    for row in part.targets or ():
        yield [labels[i] for i in row] if isinstance(row, tuple) else []
