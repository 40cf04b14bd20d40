"""Features of the scores of a regression task; none depends on the unit or the zero of the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xautolm.metafeatures.landmarks import MAX_CHARS, deal, landmark_rows, linear_features
from xautolm.metafeatures.semantic import nearest_rows
from xautolm.metafeatures.text import cut_evenly
from xautolm.metafeatures.words import word_overlaps
from xautolm.records import Split

#: Equal intervals between the smallest and the largest score, over which the entropy is taken.
N_BINS = 10
#: Strength of the ridge, scikit-learn's default.
RIDGE = 1.0

Array = npt.NDArray[np.float64]


def numbers(split: Split) -> list[float]:
    """The score of each row."""
    return [target for target in split.targets or () if isinstance(target, float)]


def score_features(scores: Sequence[float]) -> dict[str, float]:
    """How scores are distributed.

    Args:
        scores: finite, one per row.

    Returns:
        `score_entropy_bits` over ten equal intervals of their range; `score_skewness` (Fisher's, of the population;
        above 0 = few high ones); `distinct_score_share`, distinct scores per row. All 0 without rows.

    >>> score_features([1.0, 1.0, 2.0, 2.0])
    {'score_entropy_bits': 1.0, 'score_skewness': 0.0, 'distinct_score_share': 0.5}
    """
    values = _scaled(scores)
    if not len(values):
        return {"score_entropy_bits": 0.0, "score_skewness": 0.0, "distinct_score_share": 0.0}
    counts = np.histogram(values, bins=N_BINS, range=(0.0, 1.0))[0].tolist()
    entropy = -math.fsum(n / len(values) * math.log2(n / len(values)) for n in counts if n)
    gaps = values - values.mean()
    spread = float(np.sqrt((gaps**2).mean()))
    return {
        "score_entropy_bits": entropy + 0.0,  # no negative zero
        "score_skewness": float((gaps**3).mean()) / spread**3 if spread > 0 else 0.0,
        "distinct_score_share": len(set(scores)) / len(values),
    }


def linear_correlation(texts: Sequence[str], scores: Sequence[float], *, exact: bool = False) -> float:
    """Cross-validated correlation (Pearson) of a ridge regression on TF-IDF of words and word pairs with the scores.

    Args:
        texts: one document per row.
        scores: one per row.
        exact: use every row and whole documents instead of at most 4,000 rows and 10 million characters.

    Returns:
        In [-1, 1], over the rows, each predicted by a model that has not seen it (3 folds, seed 42); 0 when there are
        fewer than six rows, no words, or nothing varies.
    """
    from sklearn.linear_model import Ridge

    strata = [0] * len(scores)
    rows = range(len(scores)) if exact else landmark_rows(strata)
    read = [texts[row] for row in rows]
    features = linear_features(read if exact else cut_evenly(read, MAX_CHARS))
    if features is None:
        return 0.0
    truth = _scaled([scores[row] for row in rows])
    predicted = np.zeros(len(truth))
    for held in deal([0] * len(truth)):
        fit = np.setdiff1d(np.arange(len(truth)), held)
        model = Ridge(RIDGE, solver="sparse_cg")
        predicted[held] = model.fit(features[fit], truth[fit]).predict(features[held])
    return correlation(predicted, truth)


def neighbour_correlation(embeddings: npt.NDArray[np.float32], scores: Sequence[float]) -> float:
    """Correlation of each row's score with that of its nearest neighbour by cosine similarity, in [-1, 1].

    Args:
        embeddings: (n, d).
        scores: one per row, (n,).
    """
    if len(embeddings) < 2:
        return 0.0
    values = _scaled(scores)
    return correlation(values[nearest_rows(embeddings)], values)


def overlap_correlation(first: Sequence[str], second: Sequence[str] | None, scores: Sequence[float]) -> float:
    """Correlation of the word overlap of the two texts of a row with its score, in [-1, 1]; 0 for single texts.

    >>> overlap_correlation(["a b", "a b", "a b"], ["a b", "a c", "c d"], [5.0, 2.0, 0.0]) > 0.9
    True
    """
    if second is None:
        return 0.0
    return correlation(np.asarray(word_overlaps(first, second)), _scaled(scores))


def correlation(a: Array, b: Array) -> float:
    """Pearson's correlation of paired values; 0 when either does not vary, or there are fewer than two.

    >>> correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), correlation(np.ones(3), np.arange(3.0))
    (1.0, 0.0)
    """
    if len(a) < 2:
        return 0.0
    x, y = a - a.mean(), b - b.mean()
    size = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return min(1.0, max(-1.0, float((x * y).sum()) / size)) if size > 1e-12 else 0.0


def _scaled(scores: Sequence[float]) -> Array:
    """Scores between 0 and 1, so that huge ones do not overflow; all 0 when they do not vary."""
    values = np.asarray(scores, dtype=float)
    if not len(values):
        return values
    largest = max(float(np.abs(values).max()), 1e-300)
    values = values / largest
    low, high = values.min(), values.max()
    return np.zeros_like(values) if high <= low else np.asarray((values - low) / (high - low))
