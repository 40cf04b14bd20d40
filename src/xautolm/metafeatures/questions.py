"""Features of answers beside the published ones: what an answer is, where it stands, how long everything is."""

from __future__ import annotations

import math
from pathlib import Path

from xautolm.metafeatures.tokens import token_features
from xautolm.records import Answer, Task


def question_features(task: Task, tokenizer_file: Path) -> dict[str, float]:
    """Features of a task with answers that predict cost and difficulty.

    Args:
        task: with answers; the main answer of a row is its first. In text generation the source text is the context,
            and there are no questions.
        tokenizer_file: `tokenizer.json` of the embedded encoder.

    Returns:
        `n_validation`; `mean_answer_words` and `p90_answer_words` of the main answers; `answer_position`, mean of
        `relative_place` over those that stand in their context, and `span_share`, their share among all main answers;
        `unanswerable_share`, of the rows without an answer; `mean_references`, accepted answers per row;
        `context_share`, distinct contexts per row; lengths in tokens of contexts and questions (`token_features`).
        0 where there is nothing to take a mean of. Always finite.
    """
    split = task.train
    contexts, questions = (split.texts, ()) if split.pairs is None else (split.pairs, split.texts)
    answers = split.answers or ()
    main = [(context, found[0]) for context, found in zip(contexts, answers, strict=True) if found]
    words = sorted(len(answer.text.split()) for _, answer in main) or [0]
    places = [place for context, answer in main if (place := relative_place(context, answer)) is not None]
    n_rows = max(split.n_rows, 1)
    return {
        "n_validation": float(task.validation.n_rows),
        "mean_answer_words": math.fsum(words) / len(words),
        "p90_answer_words": float(words[math.ceil(0.9 * (len(words) - 1))]),
        "answer_position": math.fsum(places) / len(places) if places else 0.0,
        "span_share": len(places) / len(main) if main else 0.0,
        "unanswerable_share": sum(not found for found in answers) / n_rows,
        "mean_references": sum(len(found) for found in answers) / n_rows,
        "context_share": len(set(contexts)) / n_rows,
        **token_features(list(contexts), tokenizer_file, prefix="context_tokens"),
        **token_features(list(questions), tokenizer_file, prefix="question_tokens"),
    }


def relative_place(context: str, answer: Answer) -> float | None:
    """Where an answer stands in its context, 0 = at the beginning, 1 = at the end; None where it does not.

    Where the data do not say, it is its first occurrence that neither begins nor ends inside a word or number.

    >>> relative_place("In 2007 came 2", Answer("2"))
    1.0
    >>> relative_place("In 2007", Answer("2")), relative_place("Anna came", Answer("Anna", 0))
    (None, 0.0)
    """
    start = answer.start if answer.start is not None else _find_words(context, answer.text)
    return None if start is None else min(start / max(len(context) - len(answer.text), 1), 1.0)


def _find_words(context: str, text: str) -> int | None:
    start = context.find(text) if text else -1
    while start >= 0:
        end = start + len(text)
        begins_inside = start > 0 and context[start - 1].isalnum() and text[0].isalnum()
        ends_inside = end < len(context) and context[end].isalnum() and text[-1].isalnum()
        if not begins_inside and not ends_inside:
            return start
        start = context.find(text, end)
    return None
