"""The scores of a kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xautolm.evaluate.metrics.answers import generation_scores, question_scores
from xautolm.evaluate.metrics.entities import tagging_scores
from xautolm.evaluate.metrics.sequence import classification_scores, multi_label_scores, regression_scores


def task_scores(
    kind: str, targets: Sequence[Any], predictions: Sequence[Any], names: Sequence[str]
) -> dict[str, float]:
    """The scores of a kind of task, under the keys of `tasks.TaskKind.metrics`.

    Args:
        kind: task kind.
        targets: what each row asks for: a label index, indices of labels, a number, tag indices of its words, or
            accepted answers as {"text", "start"}.
        predictions: one per row in the same form; of answers the text.
        names: labels or tags of the task; empty where rows ask for numbers or texts.

    >>> task_scores("multi-label", [[0, 1], []], [[0, 1], []], ["old", "new"])
    {'f1': 1.0, 'micro_f1': 1.0, 'accuracy': 1.0}
    """
    match kind:
        case "text-classification":
            return classification_scores(targets, predictions, len(names))
        case "multi-label":
            return multi_label_scores(targets, predictions, len(names))
        case "text-regression":
            return regression_scores(targets, predictions)
        case "token-classification":
            return tagging_scores(targets, predictions, names)
        case "question-answering":
            return question_scores(targets, predictions)
        case "text-generation":
            return generation_scores(targets, predictions)
    raise KeyError(kind)
