r"""Prompts: how a row is put to a model that writes its answer. No torch.

A prompt is a template with a place for each text of a row, e.g. `Context: {context}\nQuestion: {question}\nAnswer:`.
One of the texts, the *passage*, may be cut where a row is too long; what asks for the answer never is (`method.md`,
weakness 23: cutting on the right drops the question and the cue for the answer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from types import MappingProxyType

from xautolm.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a kind of task is asked by default, and which text of its rows may be cut."""

    template: str
    passage: str


#: The published prompt of DROP (`method.md` 3.3) with "Context", which fits SQuAD too.
_ASKED: Mapping[str, _Asked] = MappingProxyType(
    {
        "question-answering": _Asked("Context: {context}\nQuestion: {question}\nAnswer:", "context"),
        "text-generation": _Asked("Input: {text}\nOutput:", "text"),
    }
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked template.

    Attributes:
        kind: task kind.
        template: as given.
        pieces: literal texts and, in between, names of fields: (literal, field or None), in order.
    """

    kind: str
    template: str
    pieces: tuple[tuple[str, str | None], ...]

    @property
    def passage(self) -> str:
        """The field that may be cut."""
        return _ASKED[self.kind].passage

    def render(self, row: Mapping[str, str]) -> str:
        r"""The prompt of a row.

        >>> prompt = make_prompt("question-answering")
        >>> prompt.render({"context": "{Anna} came.", "question": "Who?"})
        'Context: {Anna} came.\nQuestion: Who?\nAnswer:'
        """
        return "".join(literal + (row[field] if field else "") for literal, field in self.pieces)

    def within(self, before: str, after: str) -> Prompt:
        r"""The prompt between two texts, e.g. as the message of a user in a chat.

        >>> make_prompt("text-generation").within("<user>{", "<model>").template
        '<user>{{Input: {text}\nOutput:<model>'
        """
        return make_prompt(self.kind, f"{_escaped(before)}{self.template}{_escaped(after)}")


def asks_for_text(kind: str) -> bool:
    """Whether there are prompts for a kind of task.

    >>> asks_for_text("question-answering"), asks_for_text("text-classification")
    (True, False)
    """
    return kind in _ASKED


def default_template(kind: str) -> str:
    """The template of a kind of task when the user gives none."""
    return _ASKED[kind].template


def make_prompt(kind: str, template: str | None = None) -> Prompt:
    """Check a template.

    Args:
        kind: a task kind that asks for text.
        template: with each field of the kind once, in braces; None = the default. Braces that belong to the text are
            doubled, as in `str.format`.

    Raises:
        UsageError: the kind has no prompts, braces do not match, or fields are unknown, missing or repeated.

    >>> make_prompt("question-answering", "{question} {passage}")
    Traceback (most recent call last):
    ...
    xautolm.errors.UsageError: expected each of `{context}`, `{question}` once in the prompt of `question-answering`, \
got '{question} {passage}': `{passage}` is unknown, `{context}` is missing
    """
    if kind not in _ASKED:
        known = ", ".join(f"`{name}`" for name in _ASKED)
        raise UsageError(f"a prompt is for tasks whose answers are texts ({known}), not for `{kind}`; leave it out")
    text = _ASKED[kind].template if template is None else template
    fields = fields_of(kind)
    expected = f"expected each of {_braced(fields)} once in the prompt of `{kind}`, got {text!r}"
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"{expected}: {str(error).lower()}; braces of the text itself are doubled") from None
    found = [_named(*piece[1:]) for piece in parsed if piece[1] is not None]
    mistakes = [f"{_braced([name])} is unknown" for name in dict.fromkeys(found) if name not in fields]
    mistakes += [f"{_braced([name])} is missing" for name in fields if name not in found]
    mistakes += [f"{_braced([name])} is there {found.count(name)} times" for name in fields if found.count(name) > 1]
    if mistakes:
        raise UsageError(f"{expected}: {', '.join(mistakes)}")
    return Prompt(kind, text, tuple((literal, name) for literal, name, _, _ in parsed))


def fields_of(kind: str) -> tuple[str, ...]:
    """Names of the texts of a row, the order of the default template.

    >>> fields_of("question-answering"), fields_of("text-generation")
    (('context', 'question'), ('text',))
    """
    return tuple(name for _, name, _, _ in Formatter().parse(_ASKED[kind].template) if name)


def rows_of(kind: str, texts: Sequence[str], pairs: Sequence[str] | None) -> list[dict[str, str]]:
    """The fields of each row, from the columns of a split.

    >>> rows_of("question-answering", ["Who?"], ["Anna came."])
    [{'context': 'Anna came.', 'question': 'Who?'}]
    """
    if kind == "question-answering":
        contexts = pairs or [""] * len(texts)
        return [{"context": context, "question": question} for context, question in zip(contexts, texts, strict=True)]
    return [{"text": text} for text in texts]


def _named(name: str | None, spec: str | None, conversion: str | None) -> str:
    """A field as it stands in the template: formats and conversions are no part of ours, so it is then unknown."""
    return f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"`{{{name}}}`" for name in names)
