"""Features of the label sets of a multi-label task; where each row has one label, those of classification."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xautolm.metafeatures.landmarks import (
    MAX_CHARS,
    SEED,
    deal,
    landmark_rows,
    linear_features,
    linear_passes,
)
from xautolm.metafeatures.semantic import nearest_rows
from xautolm.metafeatures.text import cut_evenly
from xautolm.records import Split

#: Labels that the linear landmark looks at, the most frequent ones.
MOST_LABELS = 50

Sets = Sequence[tuple[int, ...]]


def label_sets(split: Split) -> Sets:
    """The label indices of each row."""
    return [target for target in split.targets or () if isinstance(target, tuple)]


def label_set_features(sets: Sets) -> dict[str, float]:
    """Number of labels, entropy, extreme shares, imbalance, and how many labels rows have.

    Args:
        sets: label indices of each row. Labels without a row do not count.

    Returns:
        `n_classes`; `label_entropy_bits` of all labels of all rows; `min_class_share`, `max_class_share`, the shares of
        the rows that have the rarest and the most frequent label, `imbalance`, the one over the other;
        `labels_per_row`; `empty_share` of the rows; `label_set_share`, distinct sets per row. Always finite.

    >>> label_set_features([(0,), (0, 1), ()])["labels_per_row"], label_set_features([(0,), (1,)])["label_entropy_bits"]
    (1.0, 1.0)
    """
    counts = sorted(Counter(label for found in sets for label in found).values()) or [0]
    n_labels, n_rows = sum(counts), max(len(sets), 1)
    entropy = -math.fsum(n / n_labels * math.log2(n / n_labels) for n in counts if n)
    return {
        "n_classes": float(len(counts) if n_labels else 0),
        "label_entropy_bits": entropy + 0.0,  # no negative zero
        "min_class_share": counts[0] / n_rows,
        "max_class_share": counts[-1] / n_rows,
        "imbalance": counts[0] / counts[-1] if n_labels else 0.0,
        "labels_per_row": n_labels / n_rows,
        "empty_share": sum(not found for found in sets) / n_rows,
        "label_set_share": len(set(sets)) / n_rows,
    }


def linear_landmark_of_sets(texts: Sequence[str], sets: Sets, *, exact: bool = False) -> float:
    """The linear landmark, one model per label: cross-validated macro F1 over the 50 most frequent labels.

    Args:
        texts: one document per row.
        sets: label indices of each row.
        exact: use every row and whole documents instead of a sample.

    Returns:
        Macro F1 in [0, 1] over the rows, each predicted by models that have not seen it (3 folds, seed 42); 0 when
        there are fewer than six rows, no words or no labels.
    """
    from sklearn.metrics import f1_score

    counts = Counter(label for found in sets for label in found)
    labels = [label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_LABELS]]
    rarest = [min(found, key=lambda label: (counts[label], label), default=-1) for found in sets]
    rows = range(len(sets)) if exact else landmark_rows(rarest)
    read = [texts[row] for row in rows]
    features = linear_features(read if exact else cut_evenly(read, MAX_CHARS))
    if features is None or not labels:
        return 0.0
    truth = np.asarray([[label in sets[row] for label in labels] for row in rows])
    predicted = np.zeros_like(truth)
    for held in deal([rarest[row] for row in rows]):
        fit = np.setdiff1d(np.arange(len(truth)), held)
        for j in range(len(labels)):
            predicted[held, j] = _predicted(features[fit], truth[fit, j], features[held], len(labels))
    return float(f1_score(truth, predicted, average="macro", zero_division=0.0))


def _predicted(fit: Any, truth: npt.NDArray[np.bool_], held: Any, n_models: int) -> Any:
    """What a model of one label says of the held rows."""
    from sklearn.linear_model import SGDClassifier

    if truth.all() or not truth.any():
        return bool(truth[0])
    model = SGDClassifier(max_iter=linear_passes(n_models), tol=None, average=True, random_state=SEED)
    return model.fit(fit, truth).predict(held)


def neighbour_landmark_of_sets(embeddings: npt.NDArray[np.float32], sets: Sets) -> float:
    """Mean Jaccard index of each row's labels and those of its nearest neighbour; 0 with fewer than two rows.

    Of rows with one label it is the accuracy of the nearest neighbour; two empty sets are alike.

    Args:
        embeddings: (n, d).
        sets: label indices of each row, (n,).
    """
    if len(embeddings) < 2:
        return 0.0
    total = 0.0
    for row, other in enumerate(nearest_rows(embeddings).tolist()):
        a, b = set(sets[row]), set(sets[other])
        total += len(a & b) / len(a | b) if a or b else 1.0
    return total / len(embeddings)
