"""How much of a target stands in its prompt, word after word."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xautolm.evaluate.metrics.rouge import rouge_l as rouge_l_of_two


def rouge_l(targets: Sequence[str], prompts: Sequence[str]) -> float:
    """Mean stemmed ROUGE-L F1 of each target against its prompt.

    Args:
        targets: one text per row.
        prompts: the text that the target is compared with, one per row.

    Returns:
        A mean in [0, 1]; a row in which either text has no words (a-z, digits) counts 0, as does a task without rows.

    >>> rouge_l(["painted houses"], ["Anna paints a house"])
    0.6666666666666666
    """
    scores = [rouge_l_of_two(a, b, is_stemmed=True) for a, b in zip(targets, prompts, strict=True)]
    return math.fsum(scores) / len(scores) if scores else 0.0
