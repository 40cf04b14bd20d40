"""Scores of predictions on a split, all in [0, 1] and to be maximised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

#: Keys that `classification_scores` returns, the default objective first.
CLASSIFICATION_METRICS = ("f1", "accuracy")


def classification_scores(truth: Sequence[int], predicted: Sequence[int], n_classes: int) -> dict[str, float]:
    """Macro F1 over all classes of the task (an absent, never predicted class counts 0) and accuracy.

    Args:
        truth: label indices, shape (n_rows,).
        predicted: label indices, shape (n_rows,).
        n_classes: number of classes of the task.

    >>> classification_scores([0, 0, 1, 1], [0, 1, 1, 1], 2)["accuracy"]
    0.75
    """
    labels = list(range(n_classes))
    f1 = f1_score(truth, predicted, labels=labels, average="macro", zero_division=0.0)
    return {"f1": float(f1), "accuracy": float(accuracy_score(truth, predicted))}


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Row-wise probabilities (n_rows, n_classes) of logits of the same shape.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float64)
