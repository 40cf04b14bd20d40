"""Decides which columns hold what a task needs: named by the user, or guessed where plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xautolm.data.source import Tables
from xautolm.data.wording import names, nearest
from xautolm.errors import DataError, UsageError

ROLES = ("text", "text_pair", "target")
FLAGS = {"text": "--text", "text_pair": "--column text_pair=NAME", "target": "--target"}

#: Column names in tiers, as `guess` takes them.
Tiers = tuple[tuple[str, ...], ...]

#: Column names (case folded) that say what they hold, in two tiers: the second counts when nothing of the
#: first is there. The first name of the first tier wins over its others; two others are ambiguous.
# fmt: off
TEXT_NAMES = (
    ("text", "sentence", "review", "content", "message", "comment", "document", "tweet", "utterance",
     "statement", "question", "review_text", "review_body", "article", "passage", "post", "phrase", "sms",
     "body", "texts"),
    ("title", "headline", "description", "summary", "subject", "query", "input"),
)
TARGET_NAMES = (
    ("label", "target", "class", "category", "sentiment", "labels", "emotion", "topic", "intent", "polarity",
     "gold_label", "stars", "rating", "is_spam", "y"),
    ("label_text", "label_name", "type", "tag"),
)
# fmt: on
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("sentence_1", "sentence_2"),
    ("question", "sentence"),
    ("question", "passage"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task of texts with one target each calls things.

    Attributes:
        kind: task kind.
        noun: what a target is called in messages.
        target_names: names of target columns.
    """

    kind: str
    noun: str
    target_names: Tiers


CLASSES = Wanted("text-classification", "label", TARGET_NAMES)


def text_columns(
    tables: Tables, text: str | None, target: str | None, columns: Mapping[str, str] | None, wanted: Wanted = CLASSES
) -> dict[str, str]:
    """Find text, second text and target in the training table; every table must have them.

    Args:
        tables: by role.
        text: column named with `--text`.
        target: column named with `--target`.
        columns: role -> column named with `--column`.
        wanted: how the task calls things.

    Raises:
        UsageError: as `resolve_columns`.
        DataError: as `resolve_columns`; or a table has one column only.
    """
    train = tables.tables["train"]
    available = [str(name) for name in train.frame.columns]
    if len(available) == 1:
        raise DataError(
            f"`{train.where}` has one column, {available[0]!r}; expected at least a text and a target "
            "column. Check the delimiter (csv: comma, tsv: tab) and the header line"
        )
    roles = resolve_columns(available, text=text, target=target, columns=columns, where=train.where, wanted=wanted)
    check_tables(tables, roles, FLAGS)
    return roles


def check_tables(tables: Tables, roles: Mapping[str, str], flags: Mapping[str, str]) -> None:
    """Refuse tables that lack a column of a role, or have it twice.

    Raises:
        DataError: as `check_column`.
    """
    for table in tables.tables.values():
        for role, name in roles.items():
            check_column(name, [str(column) for column in table.frame.columns], flags[role], table.where)


def find_columns(
    tables: Tables, known: Mapping[str, Tiers], columns: Mapping[str, str] | None, kind: str
) -> dict[str, str]:
    """Find the columns of a task that calls its roles by names of their own.

    Args:
        tables: by role; every table must have the columns.
        known: role -> names that say so.
        columns: role -> column named with `--column`.
        kind: task kind.

    Raises:
        UsageError: an unknown role, or one column for two roles.
        DataError: a named column does not exist or occurs twice, or a role cannot be guessed.
    """
    named = dict(columns or {})
    unknown = next((role for role in named if role not in known), None)
    if unknown is not None:
        raise UsageError(f"`--column` knows the roles {names(known)} for `{kind}`, came {unknown!r}")
    if len(set(named.values())) < len(named):
        raise UsageError(f"one column cannot have two roles, came {named!r}; name different columns")
    train = tables.tables["train"]
    available = [str(name) for name in train.frame.columns]
    roles: dict[str, str] = {}
    for role, tiers in known.items():
        free = [name for name in available if name not in named.values() and name not in roles.values()]
        found = named.get(role) or guess(free, tiers)
        if found is not None:
            roles[role] = found
    _take_the_last_one(roles, available, tuple(known))
    flags = {role: f"--column {role}=NAME" for role in known}
    missing = next((role for role in known if role not in roles), None)
    if missing is not None:
        raise DataError(
            f"`{train.where}`: which column holds the {missing} is not plain from the names {names(available)}; "
            f"name it with `{flags[missing]}`"
        )
    check_tables(tables, roles, flags)
    return {role: roles[role] for role in known}


def resolve_columns(
    available: Sequence[str],
    *,
    text: str | None,
    target: str | None,
    columns: Mapping[str, str] | None,
    where: str,
    wanted: Wanted = CLASSES,
) -> dict[str, str]:
    """Find the column of each role.

    Args:
        available: column names of the training table, in order.
        text: column named with `--text`.
        target: column named with `--target`.
        columns: role -> column named with `--column`.
        where: the data as named to the user.
        wanted: how the task calls things.

    Returns:
        Role -> column for `text`, `target` and, for pairs of texts, `text_pair`.

    Raises:
        UsageError: an unknown role, or two different columns for one role.
        DataError: a named column does not exist or occurs twice, or a role cannot be guessed.

    >>> resolve_columns(["Review", "Sentiment"], text=None, target=None, columns=None, where="x.csv")
    {'text': 'Review', 'target': 'Sentiment'}
    >>> names = ["idx", "premise", "hypothesis", "label"]
    >>> resolve_columns(names, text=None, target=None, columns=None, where="x.csv")
    {'text': 'premise', 'text_pair': 'hypothesis', 'target': 'label'}
    """
    roles = _named(text, target, columns, wanted.kind)
    for role, name in roles.items():
        check_column(name, available, FLAGS[role], where)
    if len(set(roles.values())) < len(roles):
        raise UsageError(f"one column cannot have two roles, came {roles!r}; name different columns")
    if "text" not in roles and "text_pair" not in roles:
        roles |= _guess_pair([name for name in available if name not in roles.values()])
    for role, known in (("target", wanted.target_names), ("text", TEXT_NAMES)):
        if role not in roles:
            free = [name for name in available if name not in roles.values()]
            found = guess(free, known)
            if found is not None:
                roles[role] = found
    _take_the_last_one(roles, available, ("text", "target"))
    for role in ("text", "target"):
        if role not in roles:
            raise DataError(_cannot_guess(role, available, where, wanted.noun))
    for role, name in roles.items():
        check_column(name, available, FLAGS[role], where)
    return {role: roles[role] for role in ROLES if role in roles}


def check_column(name: str, available: Sequence[str], flag: str, where: str) -> None:
    """Refuse a column that a table does not have, or has twice.

    Raises:
        DataError: with the columns that exist and the nearest name.
    """
    n_found = list(available).count(name)
    if n_found > 1:
        raise DataError(
            f"`{where}` has {n_found} columns named `{name}`; rename all but one (columns: {names(available)})"
        )
    if n_found == 0:
        close = nearest(name, available)
        hint = f"; did you mean `{close}`?" if close else f"; name one of them with `{flag}`"
        raise DataError(f"`{where}` has no column `{name}`, it has {names(available)}{hint}")


def _named(text: str | None, target: str | None, columns: Mapping[str, str] | None, kind: str) -> dict[str, str]:
    roles: dict[str, str] = {}
    for role, name in [("text", text), ("target", target), *(columns or {}).items()]:
        if role not in ROLES:
            raise UsageError(f"`--column` knows the roles {names(ROLES)} for `{kind}`, came {role!r}")
        if name is None:
            continue
        if roles.setdefault(role, name) != name:
            raise UsageError(f"two columns were named for `{role}`: `{roles[role]}` and `{name}`; name one")
    return roles


def _guess_pair(free: Sequence[str]) -> dict[str, str]:
    folded = {name.casefold(): name for name in free}
    for first, second in PAIR_NAMES:
        if first in folded and second in folded:
            return {"text": folded[first], "text_pair": folded[second]}
    return {}


def guess(free: Sequence[str], known: Tiers) -> str | None:
    """The one column whose name says what it holds, None when there is none or several.

    Args:
        free: columns that have no role yet.
        known: case folded names in tiers; a later tier counts when nothing of the earlier ones is there, and the
            first name of all wins over the others.

    >>> guess(["Title", "Body", "TEXT"], (("text", "body"), ("title",))), guess(["a"], (("text",),))
    ('TEXT', None)
    """
    best = known[0][0]
    for tier in known:
        found = [name for name in free if name.casefold() in tier]
        plain = [name for name in found if name.casefold() == best] or found
        if found:
            return plain[0] if len(set(plain)) == 1 else None
    return None


def _take_the_last_one(roles: dict[str, str], available: Sequence[str], needed: tuple[str, ...]) -> None:
    """In a table that has no more columns than roles, the one that is left has the role that is left."""
    missing = [role for role in needed if role not in roles]
    free = [name for name in available if name not in roles.values()]
    if len(missing) == 1 and len(free) == 1 and len(available) == len(roles) + 1:
        roles[missing[0]] = free[0]


def _cannot_guess(role: str, available: Sequence[str], where: str, target: str) -> str:
    noun = "text" if role == "text" else f"target ({target})"
    return (
        f"`{where}`: which column holds the {noun} is not plain from the names {names(available)} (the first "
        f"line of a csv or tsv file must be its header); name it with `{FLAGS[role]} NAME`"
        + (", and for pairs of texts the second with `--column text_pair=NAME`" if role == "text" else "")
    )
