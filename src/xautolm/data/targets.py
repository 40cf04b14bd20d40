"""What the rows of a task ask for, in one line of the data summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from xautolm.data.wording import count, listing
from xautolm.records import Label, Split, Task

_SHOWN = 8


def label_shares(task: Task) -> tuple[tuple[Label, float], ...]:
    """Each label with the share of the training rows that have it, largest first; empty where there are no labels."""
    if not task.labels:
        return ()
    rows: Sequence[Sequence[int]]
    if task.train.targets is None:
        rows = [(label,) for label in task.train.labels]
    else:
        rows = [sorted(set(_indices(target))) for target in task.train.targets]
    return _shares(task.labels, rows, task.train.n_rows)


def target_line(task: Task) -> str:
    """The line: its title in ten columns, then what is asked for.

    >>> split = Split(("a", "b"), None, (), targets=(0.5, 1.5))
    >>> target_line(Task("x", "text-regression", (), split, split, None, {}, {}, "", ()))
    'Scores    from 0.5 to 1.5: mean 1, standard deviation 0.5, 2 distinct'
    """
    train = task.train
    if task.kind == "question-answering":
        return _answers(train)
    if task.kind == "text-generation":
        return _texts(train)
    if task.kind == "text-regression":
        return _scores(train)
    if task.kind == "token-classification":
        return _tags(task)
    shares = label_shares(task)
    if task.kind == "multi-label":
        per_row = sum(share for _, share in shares)
        return f"Labels    {count(len(shares), 'label')}, {per_row:.2f} per row: {_listed(shares)}"
    return f"Classes   {count(len(shares), 'class')}: {_listed(shares)}"


def _indices(target: object) -> Sequence[int]:
    return target if isinstance(target, tuple) else ()


def _shares(labels: Sequence[Label], rows: Sequence[Sequence[int]], n: int) -> tuple[tuple[Label, float], ...]:
    counts = Counter(label for row in rows for label in row)
    order = sorted(range(len(labels)), key=lambda i: (-counts[i], i))
    return tuple((labels[i], counts[i] / max(n, 1)) for i in order)


def _tags(task: Task) -> str:
    words = Counter(tag for target in task.train.targets or () for tag in _indices(target))
    order = sorted(range(len(task.labels)), key=lambda i: (-words[i], i))
    shares = [(task.labels[i], words[i] / max(words.total(), 1)) for i in order]
    return f"Tags      {count(len(shares), 'tag')} of {words.total():,} words: {_listed(shares)}"


def _listed(shares: Sequence[tuple[Label, float]]) -> str:
    return listing((f"{label} {100 * share:.1f} %" for label, share in shares), at_most=_SHOWN)


def _scores(train: Split) -> str:
    scores = np.asarray(train.targets, dtype=float)
    return (
        f"Scores    from {scores.min():g} to {scores.max():g}: mean {scores.mean():.4g}, standard deviation "
        f"{scores.std():.4g}, {len(np.unique(scores)):,} distinct"
    )


def _texts(train: Split) -> str:
    words = np.asarray([len(answers[0].text.split()) for answers in train.answers or ()])
    p50, p90 = np.percentile(words, [50, 90], method="higher")
    per_row = sum(map(len, train.answers or ())) / max(train.n_rows, 1)
    lengths = f"words per text: median {p50:,}, 90 % up to {p90:,}, longest {words.max():,}"
    return f"Targets   {lengths}; {per_row:.2f} texts per row"


def _answers(train: Split) -> str:
    main = [answers[0] for answers in train.answers or () if answers]
    n_spans = sum(answer.start is not None for answer in main)
    found = f"{len(main):,} of {train.n_rows:,} training rows have one"
    return f"Answers   {found}, {n_spans:,} of them as a span of the context"
