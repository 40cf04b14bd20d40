"""Features of tasks with answers: the eleven published ones (`method.md` section 4), and those of questions.

What the published description leaves open is decided here: a prompt is the context and the question, a target the main
answer; words are runs of letters, lower-cased, without scikit-learn's English stop words (the published code takes
NLTK's list, which must be downloaded); deviations are those of the population.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from xautolm.metafeatures.prompts import prompts, targets
from xautolm.metafeatures.semantic import TaskEmbeddings, mean_cosine
from xautolm.metafeatures.text import text_features
from xautolm.metafeatures.tokens import token_features
from xautolm.records import Answer, Split, Task

SEED = 42
#: Rows that ROUGE-L is measured on, unless the published form is asked for: it is quadratic in the length.
ROUGE_ROWS = 500
#: Words of a prompt that ROUGE-L reads.
ROUGE_WORDS = 2_000

_WORD = re.compile(r"[^\W\d_]+")


def generation_features(
    task: Task, tokenizer_file: Path, embeddings: TaskEmbeddings | None, *, exact: bool = False
) -> dict[str, float]:
    """All features of a question-answering task.

    Args:
        task: with answers.
        tokenizer_file: `tokenizer.json` of the embedded encoder.
        embeddings: of a sample of the rows; None = the similarity of prompts and targets is 0.
        exact: ROUGE-L on all rows, as published, instead of on a seeded sample of 500.

    Returns:
        Name -> finite value.
    """
    asked, given = prompts(task.train), targets(task.train)
    published = _published(asked, given) | {
        "embedding_similarity": embedding_similarity(embeddings),
        "rouge_l": _rouge_l(asked, given, exact=exact),
    }
    return published | _question_features(task, tokenizer_file)


def embedding_similarity(embeddings: TaskEmbeddings | None) -> float:
    """Mean cosine similarity of prompts and targets; 0 without their embeddings."""
    if embeddings is None or embeddings.targets is None:
        return 0.0
    return mean_cosine(embeddings.texts, embeddings.targets)


def _published(asked: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    prompt, target = text_features(asked), text_features(given)
    prompt_words, target_words = set[str](), set[str]()
    n_prompt = n_target = 0
    ratio = novelty = 0.0
    n_with_words = 0
    for a, b in zip(asked, given, strict=True):
        words_a, words_b = _content_words(a), _content_words(b)
        prompt_words.update(words_a)
        target_words.update(words_b)
        n_prompt, n_target = n_prompt + len(words_a), n_target + len(words_b)
        ratio += len(b) / len(a) if a else 0.0
        if words_b:
            n_with_words += 1
            known = set(words_a)
            novelty += sum(word not in known for word in words_b) / len(words_b)
    n_rows = max(len(asked), 1)
    return {
        "n_train": prompt["n_train"],
        "mean_prompt_chars": prompt["mean_chars"],
        "std_prompt_chars": prompt["std_chars"],
        "prompt_ttr": len(prompt_words) / n_prompt if n_prompt else 0.0,
        "mean_target_chars": target["mean_chars"],
        "std_target_chars": target["std_chars"],
        "target_ttr": len(target_words) / n_target if n_target else 0.0,
        "length_ratio": ratio / n_rows,
        "vocabulary_novelty": novelty / n_with_words if n_with_words else 0.0,
    }


@lru_cache(maxsize=1)
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def _content_words(text: str) -> list[str]:
    stop_words = _stop_words()
    return [word for word in _WORD.findall(text.lower()) if word not in stop_words]


def _rouge_l(asked: Sequence[str], given: Sequence[str], *, exact: bool) -> float:
    """Mean stemmed ROUGE-L F1 of target against prompt (Lin 2004), by the `rouge-score` package."""
    rows = list(range(len(asked)))
    if not exact and len(rows) > ROUGE_ROWS:
        rows = sorted(random.Random(SEED).sample(rows, ROUGE_ROWS))
    if not rows:
        return 0.0
    scorer = _rouge_scorer()
    # The stemmer reads word by word, so cutting at a space changes no word.
    cut = (" ".join(asked[row].split()[:ROUGE_WORDS]) for row in rows)
    scores = [scorer.score(given[row], prompt)["rougeL"].fmeasure for row, prompt in zip(rows, cut, strict=True)]
    return math.fsum(scores) / len(scores)


@lru_cache(maxsize=1)
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def _question_features(task: Task, tokenizer_file: Path) -> dict[str, float]:
    """What an answer is and where it stands, and how long contexts and questions are in tokens."""
    split = task.train
    contexts = split.pairs or ()
    answers = split.answers or ()
    main = [found[0] for found in answers if found]
    words = sorted(len(answer.text.split()) for answer in main) or [0]
    places = [
        answer.start / max(len(context) - len(answer.text), 1)
        for context, found in zip(contexts, answers, strict=True)
        for answer in found[:1]
        if answer.start is not None
    ]
    n_rows = max(split.n_rows, 1)
    return {
        "n_validation": float(task.validation.n_rows),
        "mean_answer_words": math.fsum(words) / len(words),
        "p90_answer_words": float(words[int(0.9 * (len(words) - 1))]),
        "answer_position": math.fsum(places) / len(places) if places else 0.0,
        "span_share": _span_share(split, main),
        "unanswerable_share": sum(not found for found in answers) / n_rows,
        "mean_references": sum(len(found) for found in answers) / n_rows,
        "context_share": len(set(contexts)) / n_rows,
        **token_features(list(contexts), tokenizer_file, prefix="context_tokens"),
        **token_features(list(split.texts), tokenizer_file, prefix="question_tokens"),
    }


def _span_share(split: Split, main: Sequence[Answer]) -> float:
    """Share of the answered questions whose main answer stands in the context word for word."""
    if not main:
        return 0.0
    found = 0
    for context, answers in zip(split.pairs or (), split.answers or (), strict=True):
        found += bool(answers) and (answers[0].start is not None or answers[0].text in context)
    return found / len(main)
