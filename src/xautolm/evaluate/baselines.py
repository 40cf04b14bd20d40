"""Classifiers that are no language models, which every search is held against. Runs in a worker process only."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xautolm.evaluate.job_folder import InvalidPipelineError, JobFolder
from xautolm.evaluate.metrics import task_scores
from xautolm.evaluate.trial_data import read_targets, training_rows

#: Predicts texts, in the form of `metrics.task_scores`; with the numbers that it learned.
Fitted = tuple[Callable[[Sequence[str]], Sequence[Any]], int]

_LATENCY_ROWS, _LATENCY_WARM_UP = 20, 3
_FP32_BYTES = 4


def score_baseline(spec: Mapping[str, Any], folder: JobFolder) -> dict[str, Any]:
    """Fit one baseline on the training rows and score it on the whole validation set, as a trial is scored.

    Args:
        spec: `baseline` names it; `data` holds the rows, `params` its settings.
        folder: of the job.

    Returns:
        As `training.evaluate_pipeline`; nothing is kept of the classifier.

    Raises:
        InvalidPipelineError: the texts or labels give nothing to learn from.
    """
    started = time.monotonic()
    params = dict(spec["params"])
    source = Path(spec["data"])
    task = read_targets(source)
    kind, names = str(task["kind"]), task["names"]
    rows = training_rows(task["train"], float(params["train_fraction"]), int(spec["data_seed"]))
    texts = _texts(source / "train.json")
    train, truth = [texts[i] for i in rows], [task["train"][i] for i in rows]
    validation = _texts(source / "validation.json")
    began = time.monotonic()
    folder.report(stage="train", epoch=0.0, n_epochs=1.0)
    predict, n_learned = _FITS[spec["baseline"]][kind](train, truth, params)
    fitted = time.monotonic()
    folder.report(stage="predict")
    scores = task_scores(kind, task["validation"], predict(validation), names)
    now = time.monotonic()
    cost = {
        "time_s": now - started,
        "cached_s": 0.0,
        "train_s": fitted - began,
        "predict_s": now - fitted,
        "load_s": began - started,
        "latency_ms": _latency_ms(predict, validation),
        "size_mib": n_learned * _FP32_BYTES / 2**20,
    }
    return {"scores": scores, "curve": [], "cost": cost, "n_trained": n_learned}


def _texts(path: Path) -> list[str]:
    """The text of each row, both texts of a pair one after the other; where rows are words, those."""
    rows = json.loads(path.read_text())
    pairs = rows["pairs"]
    if "words" in rows:
        return list(rows["words"])
    return rows["texts"] if pairs is None else [f"{a} {b}" for a, b in zip(rows["texts"], pairs, strict=True)]


def _fit_majority(_texts: Sequence[str], labels: Sequence[int], _params: Mapping[str, Any]) -> Fitted:
    """The most frequent class for every row; of equally frequent ones the first."""
    most = int(np.bincount(np.asarray(labels)).argmax())
    return lambda texts: [most] * len(texts), 1


def _fit_common_labels(_texts: Sequence[str], labels: Sequence[Sequence[int]], _params: Mapping[str, Any]) -> Fitted:
    """For every row the labels that at least half of the rows have; where there are none, the most frequent one."""
    counts = np.bincount([label for row in labels for label in row])
    common = np.flatnonzero(2 * counts >= len(labels)).tolist() or [int(counts.argmax())]
    return lambda texts: [common] * len(texts), len(common)


def _fit_mean(_texts: Sequence[str], numbers: Sequence[float], _params: Mapping[str, Any]) -> Fitted:
    """The mean for every row."""
    mean = float(np.mean(numbers))
    return lambda texts: [mean] * len(texts), 1


def _fit_common_answer(_texts: Sequence[str], answers: Sequence[Any], _params: Mapping[str, Any]) -> Fitted:
    """For every row the main answer that most rows have; where none has one, no answer."""
    main = Counter(row[0]["text"] for row in answers if row)
    most = main.most_common(1)[0][0] if main else ""
    return lambda texts: [most] * len(texts), 1


def _fit_tags_of_words(rows: Sequence[str], tags: Sequence[Sequence[int]], _params: Mapping[str, Any]) -> Fitted:
    """For every word the tag that it had most often; for one that was not seen the most frequent tag of all."""
    counts: dict[str, Counter[int]] = {}
    for row, row_tags in zip(rows, tags, strict=True):
        for word, tag in zip(row, row_tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    usual = sum(counts.values(), Counter[int]()).most_common(1)
    best = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    other = usual[0][0] if usual else 0
    return lambda texts: [[best.get(word, other) for word in words] for words in texts], len(best) + 1


def _fit_tfidf(texts: Sequence[str], labels: Sequence[int], params: Mapping[str, Any]) -> Fitted:
    """Logistic regression (L2, strength 1/C) on TF-IDF of words and word pairs, with 1 + log of the frequency."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=float(params["c"]), max_iter=500)
    features, transform, n_words = _words(texts, params)
    try:
        regression.fit(features, labels)
    except ValueError as error:  # one class in all rows
        raise InvalidPipelineError(str(error).partition(";")[0]) from error
    n_learned = int(regression.coef_.size + regression.intercept_.size + n_words)
    return lambda rows: [int(label) for label in regression.predict(transform(rows))], n_learned


def _fit_tfidf_labels(texts: Sequence[str], labels: Sequence[Sequence[int]], params: Mapping[str, Any]) -> Fitted:
    """One logistic regression per label, as for classes; a label that all or no rows have is a constant."""
    from sklearn.linear_model import LogisticRegression

    features, transform, n_words = _words(texts, params)
    each: list[Any] = []
    for label in range(1 + max((label for row in labels for label in row), default=0)):
        has = [label in row for row in labels]
        is_constant = len(set(has)) == 1
        each.append(
            has[0] if is_constant else LogisticRegression(C=float(params["c"]), max_iter=500).fit(features, has)
        )

    def predict(rows: Sequence[str]) -> Sequence[list[int]]:
        found = transform(rows)
        columns = [np.full(len(rows), r) if isinstance(r, bool) else r.predict(found) for r in each]
        return [np.flatnonzero(row).tolist() for row in np.stack(columns, axis=1)]

    n_learned = sum(int(r.coef_.size + 1) for r in each if not isinstance(r, bool)) + n_words
    return predict, n_learned


def _fit_tfidf_numbers(texts: Sequence[str], numbers: Sequence[float], params: Mapping[str, Any]) -> Fitted:
    """Ridge regression (strength 1/C) on the same features."""
    from sklearn.linear_model import Ridge

    features, transform, n_words = _words(texts, params)
    regression = Ridge(alpha=1 / float(params["c"])).fit(features, np.asarray(numbers, dtype=np.float64))
    return lambda rows: [
        float(value) for value in regression.predict(transform(rows))
    ], regression.coef_.size + 1 + n_words


def _words(texts: Sequence[str], params: Mapping[str, Any]) -> tuple[Any, Callable[[Sequence[str]], Any], int]:
    """TF-IDF features of texts, what makes those of others, and how many words and word pairs it knows.

    Raises:
        InvalidPipelineError: there are no words in any text.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), max_features=int(params["max_features"]), sublinear_tf=True, dtype=np.float32
    )
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise InvalidPipelineError(str(error).partition(";")[0]) from error
    return features, vectorizer.transform, int(vectorizer.idf_.size)


def _latency_ms(predict: Callable[[Sequence[str]], Sequence[Any]], texts: Sequence[str]) -> float:
    """Median milliseconds of one prediction, over rows spread evenly, after a warm-up."""
    rows = np.linspace(0, len(texts) - 1, min(_LATENCY_ROWS, len(texts))).astype(int).tolist()
    times = []
    for row in [*rows[:_LATENCY_WARM_UP], *rows]:
        began = time.perf_counter()
        predict([texts[row]])
        times.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(times[len(rows[:_LATENCY_WARM_UP]) :])


#: How a baseline (`search.baselines`) is fitted to a kind of task: (texts, targets, settings).
_MAJORITY: Mapping[str, Callable[..., Fitted]] = {
    "text-classification": _fit_majority,
    "multi-label": _fit_common_labels,
    "text-regression": _fit_mean,
    "token-classification": _fit_tags_of_words,
    "question-answering": _fit_common_answer,
    "text-generation": _fit_common_answer,
}
_TFIDF: Mapping[str, Callable[..., Fitted]] = {
    "text-classification": _fit_tfidf,
    "multi-label": _fit_tfidf_labels,
    "text-regression": _fit_tfidf_numbers,
}
#: Name of a baseline -> kind of task -> how it is fitted.
_FITS: Mapping[str, Mapping[str, Callable[..., Fitted]]] = {
    "majority": _MAJORITY,
    "tfidf_logreg": _TFIDF,
}
