"""Landmarks: how well two cheap learners do on a classification task, a decision tree (published) and a linear one."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xautolm.metafeatures.text import cut_evenly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Largest number of rows that a landmark looks at, unless the published form is asked for.
SAMPLE_ROWS = 4_000
SEED = 42
MAX_FEATURES = 5_000
MAX_COMPONENTS = 100
#: TruncatedSVD refuses a single column; the published landmark is 0 when anything refuses.
MIN_WORDS = 2
MAX_FOLDS = 5
TREE_DEPTH = 5
#: Characters that a landmark reads in all. The longest documents are cut to fit, to 2,500 characters where all 4,000
#: are long: about what a model reads of them.
MAX_CHARS = 10_000_000
LINEAR_FEATURES, LINEAR_FOLDS = 20_000, 3
#: Passes of the linear landmark over its rows; with many classes fewer, since each class costs one.
LINEAR_PASSES, LINEAR_CLASS_PASSES, MIN_LINEAR_PASSES = 20, 1_000, 3


def tree_landmark(texts: Sequence[str], labels: Sequence[int], *, exact: bool = False) -> float:
    """Mean cross-validated accuracy of a decision tree of depth 5 on reduced TF-IDF.

    TF-IDF keeps the min(5000, n // 2) most frequent words without English stop words, truncated SVD reduces
    it to at most 100 components, and stratified folds (at most 5, never more than the smallest class has
    rows, seed 42) score the tree. TF-IDF and SVD see no labels and are fitted once on all rows, not per
    fold: the published description leaves this open.

    Args:
        texts: one document per row, shape (n_rows,).
        labels: label index of each row, shape (n_rows,).
        exact: use every row, as published. Otherwise a seeded sample of at most 4,000 rows, which holds at
            least two rows of each class that has two (as long as there are at most 2,000 classes); n above
            is then the size of the sample. Of long documents it then reads the beginning, 10 million characters
            in all.

    Returns:
        Accuracy in [0, 1]; training accuracy when a class has fewer than two rows; 0 when there are fewer
        than four rows or fewer than two words that are not stop words.
    """
    import numpy as np

    texts, labels = read_part(texts, labels, exact=exact)
    features = _reduced_tfidf(texts)
    if features is None:
        return 0.0
    target = np.asarray(labels)
    smallest = min(Counter(labels).values())
    with warnings.catch_warnings():
        # Many classes with few rows each are a property of the task, not a mistake to warn of.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater", category=UserWarning)
        if smallest < 2:
            return _accuracy(features, target, features, target)
        return _cross_validated_accuracy(features, target, n_folds=min(MAX_FOLDS, smallest))


def linear_landmark(texts: Sequence[str], labels: Sequence[int], *, exact: bool = False) -> float:
    """Cross-validated macro F1 of a linear classifier (hinge loss, averaged SGD) on TF-IDF of words and word pairs.

    Args:
        texts: one document per row, shape (n_rows,).
        labels: label index of each row, shape (n_rows,).
        exact: use every row instead of the sample of `tree_landmark`, and whole documents.

    Returns:
        Macro F1 in [0, 1] over all rows, each predicted by a model that has not seen it (3 folds, seed 42); 1 when
        there is one class; 0 when there are fewer than six rows or no words.
    """
    import numpy as np
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import f1_score

    texts, labels = read_part(texts, labels, exact=exact)
    if len(set(labels)) == 1:
        return 1.0
    features = linear_features(texts)
    if features is None:
        return 0.0
    passes = linear_passes(len(set(labels)))
    truth = np.asarray(labels)
    predicted = np.empty_like(truth)
    for held in deal(labels):
        fit = np.setdiff1d(np.arange(len(truth)), held)
        if len(set(truth[fit].tolist())) == 1:
            predicted[held] = truth[fit[0]]
            continue
        model = SGDClassifier(max_iter=passes, tol=None, average=True, random_state=SEED)
        predicted[held] = model.fit(features[fit], truth[fit]).predict(features[held])
    return float(f1_score(truth, predicted, average="macro", zero_division=0.0))


def linear_passes(n_models: int) -> int:
    """Passes over the rows of each of so many linear models, so that all together have bounded work."""
    return max(MIN_LINEAR_PASSES, min(LINEAR_PASSES, LINEAR_CLASS_PASSES // n_models))


def linear_features(texts: Sequence[str]) -> Any:
    """TF-IDF of words and word pairs, sparse, (n_rows, <= 20,000); None with fewer than six rows or no words."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < 2 * LINEAR_FOLDS:
        return None
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), max_features=LINEAR_FEATURES, sublinear_tf=True, dtype=np.float32)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's "empty vocabulary"
        return None


def deal(labels: Sequence[int]) -> list[list[int]]:
    """Rows of each fold: dealt out class by class in a seeded order, so that every class is spread as far as it goes.

    >>> [len(fold) for fold in deal([0] * 7 + [1])]
    [3, 3, 2]
    """
    order = list(range(len(labels)))
    random.Random(SEED).shuffle(order)
    order.sort(key=lambda row: labels[row])
    return [sorted(order[fold::LINEAR_FOLDS]) for fold in range(LINEAR_FOLDS)]


def read_part(texts: Sequence[str], labels: Sequence[int], *, exact: bool) -> tuple[Sequence[str], Sequence[int]]:
    """The rows that a landmark looks at, and the part of each that it reads."""
    if exact:
        return texts, labels
    rows = landmark_rows(labels)
    return cut_evenly([texts[row] for row in rows], MAX_CHARS), [labels[row] for row in rows]


def landmark_rows(labels: Sequence[int]) -> Sequence[int]:
    """Numbers of the rows that a landmark looks at."""
    return sample_rows(labels, SAMPLE_ROWS) if len(labels) > SAMPLE_ROWS else range(len(labels))


def sample_rows(labels: Sequence[int], n_rows: int) -> list[int]:
    """Draw `n_rows` row numbers without replacement, seed 42, two of each class first so that none is lost.

    >>> labels = [0] * 50 + [1] * 2
    >>> rows = sample_rows(labels, 10)
    >>> len(rows), sum(labels[row] for row in rows)
    (10, 2)
    """
    order = list(range(len(labels)))
    random.Random(SEED).shuffle(order)
    taken: Counter[int] = Counter()
    first: list[int] = []
    rest: list[int] = []
    for row in order:
        taken[labels[row]] += 1
        (first if taken[labels[row]] <= 2 else rest).append(row)
    return sorted((first + rest)[:n_rows])


def _reduced_tfidf(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Dense document vectors, shape (n_rows, <= 100); None when too few words are usable."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    max_features = min(MAX_FEATURES, len(texts) // 2)
    if max_features < MIN_WORDS:
        return None
    vectorizer = TfidfVectorizer(max_features=max_features, stop_words="english")
    try:
        tfidf = vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's "empty vocabulary"
        return None
    if tfidf.shape[1] < MIN_WORDS:
        return None
    n_components = min(MAX_COMPONENTS, tfidf.shape[1])
    # The explained variance of identical documents is 0/0; it is not used.
    with np.errstate(divide="ignore", invalid="ignore"):
        reduced: NDArray[np.float64] = TruncatedSVD(n_components, random_state=SEED).fit_transform(tfidf)
    return reduced


def _cross_validated_accuracy(features: NDArray[np.float64], target: NDArray[Any], *, n_folds: int) -> float:
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=SEED).split(features, target)
    scores = [_accuracy(features[fit], target[fit], features[held], target[held]) for fit, held in folds]
    return sum(scores) / len(scores)


def _accuracy(
    fit_features: NDArray[np.float64],
    fit_target: NDArray[Any],
    features: NDArray[np.float64],
    target: NDArray[Any],
) -> float:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=TREE_DEPTH, random_state=SEED).fit(fit_features, fit_target)
    return float((tree.predict(features) == target).mean())
