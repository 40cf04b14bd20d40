"""Scores of written answers against accepted ones, by the official rules of SQuAD, and by those of DROP.

Data whose answers state positions in their contexts, as SQuAD's do, are scored by SQuAD's rules, and so are generated
texts. Data in which no answer has a position, as DROP's numbers, dates and joined spans, are scored by DROP's.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from xautolm.evaluate.metrics.drop import drop_scores
from xautolm.evaluate.metrics.rouge import rouge_l

#: F1 and exact match of one row.
RowScores = tuple[float, float]
#: An accepted answer in JSON: `text` and `start`.
AnswerFields = Mapping[str, object]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def question_scores(truth: Sequence[Sequence[AnswerFields]], predicted: Sequence[str]) -> dict[str, float]:
    """Means of the token F1 and the exact match of rows.

    Args:
        truth: accepted answers of each row; none = unanswerable, for which the empty text is right.
        predicted: one text per row.

    >>> question_scores([[{"text": "the red house", "start": 3}], []], ["A house", ""])
    {'f1': 0.8333333333333333, 'exact_match': 0.5}
    """
    return _means(question_row_scores(truth, predicted))


def question_row_scores(truth: Sequence[Sequence[AnswerFields]], predicted: Sequence[str]) -> list[RowScores]:
    """F1 and exact match of each row, by the rules that fit all these rows."""
    has_positions = any(answer.get("start") is not None for answers in truth for answer in answers)
    rule: Callable[[str, Sequence[str]], RowScores] = squad_scores if has_positions else drop_scores
    return [rule(text, _texts(answers)) for text, answers in zip(predicted, truth, strict=True)]


def generation_scores(truth: Sequence[Sequence[AnswerFields]], predicted: Sequence[str]) -> dict[str, float]:
    """Means of token F1 and exact match by SQuAD's rules, and of ROUGE-L's F1 without stemming.

    Each is the best over the references of a row. ROUGE-L knows the words of the `rouge-score` package: a-z and
    digits; a text in another alphabet has none and counts 0.

    Args:
        truth: references of each row.
        predicted: one text per row.

    >>> generation_scores([[{"text": "Red house!"}]], ["the red house"])
    {'f1': 1.0, 'exact_match': 1.0, 'rouge_l': 0.8}
    """
    rows = [(text, _texts(references)) for text, references in zip(predicted, truth, strict=True)]
    scores = _means([squad_scores(text, references) for text, references in rows])
    best = [max((rouge_l(reference, text) for reference in references), default=0.0) for text, references in rows]
    return {**scores, "rouge_l": sum(best) / max(len(best), 1)}


def squad_scores(predicted: str, accepted: Sequence[str]) -> RowScores:
    """The best F1 and the best exact match over the accepted answers.

    Source: the official evaluation of SQuAD 2.0 (Rajpurkar et al. 2018), which on rows with an answer differs from
    that of 1.1 only where a text consists of articles and punctuation alone: accepted answers of that kind do not
    count, and without any left the empty text is right.

    >>> squad_scores("in Paris, France", ["Paris", "the city of Paris"])
    (0.5, 0.0)
    """
    given = normalised(predicted)
    wanted = [text for text in map(normalised, accepted) if text] or [""]
    return max(_token_f1(given.split(), text.split()) for text in wanted), float(given in wanted)


def normalised(text: str) -> str:
    """Lower case without ASCII punctuation, English articles and repeated white space.

    >>> normalised("The  cat's  (an) A-team")
    'cats ateam'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _token_f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    if not given or not wanted:
        return float(given == wanted)
    n_same = (Counter(given) & Counter(wanted)).total()
    return 2 * n_same / (len(given) + len(wanted))


def _texts(answers: Sequence[AnswerFields]) -> list[str]:
    return [str(answer["text"]) for answer in answers]


def _means(rows: Sequence[RowScores]) -> dict[str, float]:
    n_rows = max(len(rows), 1)
    return {"f1": sum(f1 for f1, _ in rows) / n_rows, "exact_match": sum(exact for _, exact in rows) / n_rows}
