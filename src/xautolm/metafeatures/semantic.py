"""Features of text embeddings: where they lie on average, and how well the nearest neighbour knows the label.

The embeddings come from a worker (`evaluate/embedding.py`); what is here is arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xautolm.metafeatures.landmarks import sample_rows
from xautolm.metafeatures.prompts import prompts, targets
from xautolm.metafeatures.text import documents
from xautolm.records import Task

#: Training rows that are embedded at most.
SAMPLE_ROWS = 1_000

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TaskEmbeddings:
    """Embeddings of a sample of the training rows.

    Attributes:
        rows: numbers of the sampled rows, ascending, (n,).
        texts: embedding of each row's document or prompt, (n, d).
        targets: embedding of each row's main answer, (n, d); None for tasks with labels.
    """

    rows: npt.NDArray[np.int64]
    texts: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32] | None = None


def embedding_sample(task: Task, n_rows: int = SAMPLE_ROWS) -> npt.NDArray[np.int64]:
    """Numbers of the training rows to embed: all, or a seeded sample that keeps every class while there is room."""
    if task.train.n_rows <= n_rows:
        return np.arange(task.train.n_rows)
    labels = task.train.labels or (0,) * task.train.n_rows
    return np.asarray(sample_rows(labels, n_rows))


def sample_texts(task: Task, rows: npt.NDArray[np.int64]) -> tuple[list[str], list[str] | None]:
    """The texts to embed: documents or prompts of the rows, and the main answers of tasks that have answers."""
    if task.train.answers is None:
        texts = documents(task.train)
        return [texts[i] for i in rows.tolist()], None
    asked, given = prompts(task.train), targets(task.train)
    return [asked[i] for i in rows.tolist()], [given[i] for i in rows.tolist()]


def mean_embedding(embeddings: npt.NDArray[np.float32]) -> tuple[float, ...] | None:
    """Mean of the embeddings (published semantic feature, `method.md` section 4); None without rows.

    >>> mean_embedding(np.array([[1.0, 0.0], [0.0, 0.5]], dtype=np.float32))
    (0.5, 0.25)
    """
    if len(embeddings) == 0:
        return None
    return tuple(np.asarray(embeddings, dtype=float).mean(axis=0).tolist())


def neighbour_landmark(embeddings: npt.NDArray[np.float32], labels: Sequence[int]) -> float:
    """Leave-one-out accuracy of the nearest neighbour by cosine similarity, in [0, 1]; 0 with fewer than two rows.

    Args:
        embeddings: (n, d); n is at most some thousands, all pairs are compared.
        labels: label index of each row, (n,).

    >>> neighbour_landmark(np.array([[1, 0], [2, 0.1], [0, 1]], dtype=np.float32), [0, 0, 1])
    0.6666666666666666
    """
    if len(embeddings) < 2:
        return 0.0
    truth = np.asarray(labels)
    return float((truth[nearest_rows(embeddings)] == truth).mean())


def nearest_rows(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Number of the other row that is nearest to each row by cosine similarity; two rows at least."""
    unit = _unit(embeddings)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.asarray(similarity.argmax(axis=1))


def mean_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Mean cosine similarity of paired rows, in [-1, 1]; a zero vector is similar to nothing (0).

    >>> mean_cosine(np.array([[1, 0], [0, 2]]), np.array([[3, 0], [1, 0]]))
    0.5
    """
    if len(a) == 0:
        return 0.0
    return float((_unit(a) * _unit(b)).sum(axis=1).mean())


def _unit(rows: npt.NDArray[np.float32]) -> Array:
    """Rows of length 1, in double precision so that huge values do not overflow; zero rows stay zero."""
    table = np.nan_to_num(np.asarray(rows, dtype=float))
    length = np.sqrt((table**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(table, length, out=np.zeros_like(table), where=length > 0))
