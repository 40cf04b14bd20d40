"""Scores where each text has one answer: a class, a set of labels or a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def classification_scores(truth: Sequence[int], predicted: Sequence[int], n_classes: int) -> dict[str, float]:
    """Macro F1 over all classes of the task (an absent, never predicted class counts 0) and accuracy.

    Args:
        truth: label indices, shape (n_rows,).
        predicted: label indices, shape (n_rows,).
        n_classes: number of classes of the task.

    >>> classification_scores([0, 0, 1, 1], [0, 1, 1, 1], 2)["accuracy"]
    0.75
    """
    from sklearn.metrics import accuracy_score, f1_score

    labels = list(range(n_classes))
    f1 = f1_score(truth, predicted, labels=labels, average="macro", zero_division=0.0)
    return {"f1": float(f1), "accuracy": float(accuracy_score(truth, predicted))}


def multi_label_scores(
    truth: Sequence[Sequence[int]], predicted: Sequence[Sequence[int]], n_labels: int
) -> dict[str, float]:
    """Macro F1 over all labels of the task (`f1`), F1 of all labels together, and the share of rows entirely right.

    A label that no row has and none is given counts 0 in the macro F1. (scikit-learn would read the table of a single
    label as two classes.)

    Args:
        truth: label indices of each row.
        predicted: label indices of each row.
        n_labels: number of labels of the task.

    >>> multi_label_scores([[0, 1], []], [[0], []], 2)
    {'f1': 0.5, 'micro_f1': 0.6666666666666666, 'accuracy': 0.5}
    """
    pairs = [(set(row), set(given)) for row, given in zip(truth, predicted, strict=True)]
    wanted = np.bincount([label for row, _ in pairs for label in row], minlength=n_labels)
    given = np.bincount([label for _, row in pairs for label in row], minlength=n_labels)
    right = np.bincount([label for row, other in pairs for label in row & other], minlength=n_labels)
    f1 = 2 * right / np.maximum(wanted + given, 1)
    return {
        "f1": float(f1.mean()) if n_labels else 0.0,
        "micro_f1": 2 * int(right.sum()) / max(int(wanted.sum() + given.sum()), 1),
        "accuracy": sum(row == other for row, other in pairs) / max(len(pairs), 1),
    }


def regression_scores(truth: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Correlations, 0 where either side is constant, and the root of the mean squared error, in the data's units.

    Args:
        truth: numbers, shape (n_rows,).
        predicted: numbers, shape (n_rows,).

    >>> regression_scores([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])
    {'pearson': 0.0, 'spearman': 0.0, 'rmse': 3.1091263510296048}
    """
    from scipy.stats import rankdata

    a, b = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected as many predictions as rows, got {b.shape} for {a.shape}")
    if not len(a):
        return {"pearson": 0.0, "spearman": 0.0, "rmse": 0.0}
    return {
        "pearson": _correlation(a, b),
        "spearman": _correlation(rankdata(a), rankdata(b)),
        "rmse": float(np.sqrt(np.mean((a - b) ** 2))),
    }


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's; equal values are compared as such, for their distance from their own mean may be rounding alone."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # squares of tiny numbers would vanish
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Row-wise probabilities (n_rows, n_classes) of logits of the same shape.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float64)
