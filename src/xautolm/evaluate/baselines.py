"""Classifiers that are no language models, which every search is held against. Runs in a worker process only."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xautolm.evaluate.job_folder import InvalidPipelineError, JobFolder
from xautolm.evaluate.metrics import classification_scores
from xautolm.evaluate.trial_data import stratified_subset

#: Predicts label indices (n_rows,) of texts; with the numbers that it learned.
Fitted = tuple[Callable[[Sequence[str]], NDArray[np.int64]], int]

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
    labels = json.loads((source / "labels.json").read_text())
    rows = stratified_subset(labels["train"], float(params["train_fraction"]), int(spec["data_seed"]))
    texts = _texts(source / "train.json")
    train, truth = [texts[i] for i in rows], [int(labels["train"][i]) for i in rows]
    validation = _texts(source / "validation.json")
    began = time.monotonic()
    folder.report(stage="train", epoch=0.0, n_epochs=1.0)
    predict, n_learned = _FITS[spec["baseline"]](train, truth, params)
    fitted = time.monotonic()
    folder.report(stage="predict")
    scores = classification_scores(labels["validation"], predict(validation).tolist(), int(labels["n_classes"]))
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
    """The text of each row, both texts of a pair one after the other."""
    rows = json.loads(path.read_text())
    pairs = rows["pairs"]
    return rows["texts"] if pairs is None else [f"{a} {b}" for a, b in zip(rows["texts"], pairs, strict=True)]


def _fit_majority(_texts: Sequence[str], labels: Sequence[int], _params: Mapping[str, Any]) -> Fitted:
    """The most frequent class for every row; of equally frequent ones the first."""
    most = int(np.bincount(np.asarray(labels)).argmax())
    return lambda texts: np.full(len(texts), most), 1


def _fit_tfidf(texts: Sequence[str], labels: Sequence[int], params: Mapping[str, Any]) -> Fitted:
    """Logistic regression (L2, strength 1/C) on TF-IDF of words and word pairs, with 1 + log of the frequency."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), max_features=int(params["max_features"]), sublinear_tf=True, dtype=np.float32
    )
    regression = LogisticRegression(C=float(params["c"]), max_iter=500)
    try:
        regression.fit(vectorizer.fit_transform(texts), labels)
    except ValueError as error:  # no words in any text, or one class in all rows
        raise InvalidPipelineError(str(error).partition(";")[0]) from error
    n_learned = int(regression.coef_.size + regression.intercept_.size + vectorizer.idf_.size)
    return lambda texts: np.asarray(regression.predict(vectorizer.transform(texts)), dtype=np.int64), n_learned


def _latency_ms(predict: Callable[[Sequence[str]], NDArray[np.int64]], texts: Sequence[str]) -> float:
    """Median milliseconds of one prediction, over rows spread evenly, after a warm-up."""
    rows = np.linspace(0, len(texts) - 1, min(_LATENCY_ROWS, len(texts))).astype(int).tolist()
    times = []
    for row in [*rows[:_LATENCY_WARM_UP], *rows]:
        began = time.perf_counter()
        predict([texts[row]])
        times.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(times[len(rows[:_LATENCY_WARM_UP]) :])


#: Name of a baseline (`search.baselines`) -> how it is fitted: (texts, labels, settings).
_FITS: Mapping[str, Callable[[Sequence[str], Sequence[int], Mapping[str, Any]], Fitted]] = {
    "majority": _fit_majority,
    "tfidf_logreg": _fit_tfidf,
}
