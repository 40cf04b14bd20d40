"""Decides which columns hold text, second text and target: named by the user, or guessed where plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xautolm.data.wording import names, nearest
from xautolm.errors import DataError, UsageError

ROLES = ("text", "text_pair", "target")
FLAGS = {"text": "--text", "text_pair": "--column text_pair=NAME", "target": "--target"}

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


def resolve_columns(
    available: Sequence[str],
    *,
    text: str | None,
    target: str | None,
    columns: Mapping[str, str] | None,
    where: str,
) -> dict[str, str]:
    """Find the column of each role.

    Args:
        available: column names of the training table, in order.
        text: column named with `--text`.
        target: column named with `--target`.
        columns: role -> column named with `--column`.
        where: the data as named to the user.

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
    roles = _named(text, target, columns)
    for role, name in roles.items():
        check_column(name, available, FLAGS[role], where)
    if len(set(roles.values())) < len(roles):
        raise UsageError(f"one column cannot have two roles, came {roles!r}; name different columns")
    if "text" not in roles and "text_pair" not in roles:
        roles |= _guess_pair([name for name in available if name not in roles.values()])
    for role, known in (("target", TARGET_NAMES), ("text", TEXT_NAMES)):
        if role not in roles:
            free = [name for name in available if name not in roles.values()]
            found = guess(free, known)
            if found is not None:
                roles[role] = found
    _take_the_last_one(roles, available)
    for role in ("text", "target"):
        if role not in roles:
            raise DataError(_cannot_guess(role, available, where))
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


def _named(text: str | None, target: str | None, columns: Mapping[str, str] | None) -> dict[str, str]:
    roles: dict[str, str] = {}
    for role, name in [("text", text), ("target", target), *(columns or {}).items()]:
        if role not in ROLES:
            raise UsageError(f"`--column` knows the roles {names(ROLES)} for text classification, came {role!r}")
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


def guess(free: Sequence[str], known: tuple[tuple[str, ...], ...]) -> str | None:
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


def _take_the_last_one(roles: dict[str, str], available: Sequence[str]) -> None:
    """In a table of two columns the one that is left has the role that is left."""
    missing = [role for role in ("text", "target") if role not in roles]
    free = [name for name in available if name not in roles.values()]
    if len(missing) == 1 and len(free) == 1 and len(available) == len(roles) + 1:
        roles[missing[0]] = free[0]


def _cannot_guess(role: str, available: Sequence[str], where: str) -> str:
    noun = "text" if role == "text" else "target (label)"
    return (
        f"`{where}`: which column holds the {noun} is not plain from the names {names(available)} (the first "
        f"line of a csv or tsv file must be its header); name it with `{FLAGS[role]} NAME`"
        + (", and for pairs of texts the second with `--column text_pair=NAME`" if role == "text" else "")
    )
