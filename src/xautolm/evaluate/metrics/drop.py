"""DROP's rules for answers that are numbers, dates or several spans (Dua et al. 2019, the official `drop_eval.py`)."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np

#: What stands between the spans of one answer where it is written as one text.
SPAN_SEPARATOR = " and "
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def drop_scores(predicted: str, accepted: Sequence[str]) -> tuple[float, float]:
    """The best F1 and the best exact match over the accepted answers.

    Answers of several spans are one text here, joined by " and ", in the data and from a model. Whether such a text is
    one span or several cannot be seen: both readings of both texts are scored, and the better one counts. So the order
    of spans does not matter, and what one span scores officially is never less here.

    Args:
        predicted: text of a model.
        accepted: accepted answers; blank ones do not count, and without any left a text without words is right.

    >>> drop_scores("Asian and Native American", ["Native American and Asian"])
    (1.0, 1.0)
    >>> drop_scores("4 yards", ["4"]), drop_scores("5 yards", ["4 yards"])
    ((0.67, 0.0), (0.0, 0.0))
    """
    wanted = [text for text in accepted if text.strip()]
    if not wanted:
        is_right = float(not _normalised(predicted))
        return is_right, is_right
    scores = [span_scores(*reading) for text in wanted for reading in _readings(predicted, text)]
    return max(f1 for f1, _ in scores), max(exact for _, exact in scores)


def _readings(predicted: str, accepted: str) -> list[tuple[list[str], list[str]]]:
    """Both texts as one span each, and as the spans that they may be joined of."""
    whole = ([predicted], [accepted])
    parts = (predicted.split(SPAN_SEPARATOR), accepted.split(SPAN_SEPARATOR))
    return [whole] if len(parts[1]) == 1 else [whole, parts]


def span_scores(predicted: Sequence[str], accepted: Sequence[str]) -> tuple[float, float]:
    """The official F1 (two decimals) and exact match of the spans of one answer.

    Spans are paired so that the sum of their F1 over *sets* of words is largest; a pair scores nothing when the
    accepted span has numbers and the other has none of them. Spans too many or too few count 0 each.

    Args:
        predicted: spans, at least one.
        accepted: spans, at least one.

    >>> span_scores(["23", "Rams"], ["the Rams"])
    (0.5, 0.0)
    """
    from scipy.optimize import linear_sum_assignment

    given, wanted = [_normalised(span) for span in predicted], [_normalised(span) for span in accepted]
    is_exact = set(given) == set(wanted) and len(given) == len(wanted)
    table = np.array([[_bag_f1(set(a.split()), set(b.split())) for b in given] for a in wanted])
    paired = table[linear_sum_assignment(table, maximize=True)]
    return float(np.round(paired.sum() / max(len(given), len(wanted)), 2)), float(is_exact)


def _bag_f1(wanted: set[str], given: set[str]) -> float:
    numbers = {word for word in wanted if _is_number(word)}
    if numbers and not numbers & given:
        return 0.0
    if not wanted or not given:
        # Officially the missing side is taken as perfect, so that only nothing against nothing scores.
        return float(wanted == given)
    # In the official order of operations, for the last bit decides where half a hundredth is rounded to.
    precision, recall = len(wanted & given) / len(given), len(wanted & given) / len(wanted)
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def _normalised(span: str) -> str:
    """Words in lower case, split at spaces and hyphens, without punctuation and articles, numbers as floats.

    >>> _normalised("The 1,000-yard  run, 4.50")
    '1000.0 yard run 4.5'
    """
    return " ".join(word for part in re.split("[ -]", span) for word in _word(part).split())


def _word(text: str) -> str:
    text = text.lower()
    if not _is_number(text):
        text = text.translate(_NO_PUNCTUATION)
    return str(float(text)) if _is_number(text) else _ARTICLES.sub(" ", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
