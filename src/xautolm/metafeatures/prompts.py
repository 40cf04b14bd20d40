"""Prompt and target of each row of a task with answers, as the published features read them."""

from __future__ import annotations

from xautolm.records import Split


def prompts(split: Split) -> list[str]:
    """Context and question joined by a space (the published loader gives the pair; its template adds only words).

    In text generation it is the source text.

    >>> from xautolm.records import Answer
    >>> split = Split(("Who?",), ("Anna came.",), (), ((Answer("Anna", 0),),))
    >>> prompts(split), targets(split)
    (['Anna came. Who?'], ['Anna'])
    """
    if split.pairs is None:
        return list(split.texts)
    return [f"{context} {question}" for question, context in zip(split.texts, split.pairs, strict=True)]


def targets(split: Split) -> list[str]:
    """The main answer of each row, empty for a question without an answer."""
    return [answers[0].text if answers else "" for answers in split.answers or ()]
