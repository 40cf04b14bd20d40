"""How well each row was answered, and the rows that were answered worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xautolm.evaluate.metrics.answers import generation_scores, question_scores

N_WORST = 20


def row_scores(kind: str, targets: Sequence[Any], predictions: Sequence[Any], names: Sequence[str]) -> Sequence[float]:
    """A score of each row in [0, 1], in the form of `task_scores`' arguments.

    Answers and texts have their token F1; a class is right or wrong; of a set of labels it is the share of labels that
    are told right, of words the share of right tags; a number has 1 less its error over the range of the numbers.

    >>> row_scores("multi-label", [[0, 1], []], [[0], []], ["old", "new"])
    [0.5, 1.0]
    >>> row_scores("text-regression", [0.0, 4.0], [1.0, 4.0], [])
    [0.75, 1.0]
    """
    pairs = list(zip(targets, predictions, strict=True))
    if kind == "question-answering":
        return [question_scores([target], [answer])["f1"] for target, answer in pairs]
    if kind == "text-generation":
        return [generation_scores([target], [answer])["f1"] for target, answer in pairs]
    if kind == "text-regression":
        span = (max(targets) - min(targets)) or 1.0
        return [max(0.0, 1.0 - abs(target - value) / span) for target, value in pairs]
    if kind == "multi-label":
        return [1.0 - len(set(target) ^ set(labels)) / max(len(names), 1) for target, labels in pairs]
    if kind == "token-classification":
        return [_share_of_right(target, tags) for target, tags in pairs]
    return [float(target == label) for target, label in pairs]


def _share_of_right(target: Sequence[int], tags: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(target, tags, strict=True)) / len(target) if target else 1.0


def worst_rows(
    kind: str, targets: Sequence[Any], predictions: Sequence[Any], names: Sequence[str], *, n: int = N_WORST
) -> list[tuple[int, float]]:
    """The rows that were answered worst, worst first: (row, score); rows without a fault are left out.

    Args:
        kind: task kind.
        targets: as for `task_scores`.
        predictions: as for `task_scores`.
        names: labels or tags of the task.
        n: how many at most.

    >>> worst_rows("text-classification", [0, 1, 1], [0, 0, 1], ["a", "b"])
    [(1, 0.0)]
    """
    scores = row_scores(kind, targets, predictions, names)
    order = sorted((row for row, score in enumerate(scores) if score < 1.0), key=lambda row: scores[row])
    return [(row, scores[row]) for row in order[:n]]
