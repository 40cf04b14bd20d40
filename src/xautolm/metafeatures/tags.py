"""Features of the tags of a token classification task, and how far a lookup of words gets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from xautolm.evaluate.metrics.entities import OUTSIDE, entities, tag_places, tagging_scores
from xautolm.metafeatures.labels import label_features
from xautolm.metafeatures.landmarks import deal, landmark_rows
from xautolm.records import Split

Tags = Sequence[Sequence[int]]


def tags_of(split: Split) -> list[tuple[int, ...]]:
    """The tag indices of each row."""
    return [target for target in split.targets or () if isinstance(target, tuple)]


def tag_features(rows: Tags, names: Sequence[str]) -> dict[str, float]:
    """What words are tagged with.

    Args:
        rows: tag index of each word of each row.
        names: tags of the task.

    Returns:
        `n_classes`, `label_entropy_bits`, `min_class_share`, `max_class_share`, `imbalance` of the tags, a word
        counting as a row does in classification; `words_per_row`; `entity_share`, words inside an entity;
        `entities_per_row`; `words_per_entity`; `n_entity_types` that occur. Without a scheme of tags and without `O`
        every word is an entity (`evaluate.metrics.entities`). 0 where there is nothing to take a mean of.

    >>> tag_features([[0, 1, 2], [2]], ["B-PER", "I-PER", "O"])["words_per_entity"]
    2.0
    """
    places = tag_places(names)
    n_words, n_rows = sum(map(len, rows)), max(len(rows), 1)
    n_inside = sum(places[tag][0] != OUTSIDE for row in rows for tag in row)
    types = Counter(kind for row in rows for kind, _, _ in entities([places[tag] for tag in row]))
    return {
        **label_features([tag for row in rows for tag in row]),
        "words_per_row": n_words / n_rows,
        "entity_share": n_inside / max(n_words, 1),
        "entities_per_row": types.total() / n_rows,
        "words_per_entity": n_inside / max(types.total(), 1),
        "n_entity_types": float(len(types)),
    }


def lookup_landmark(words: Sequence[Sequence[str]], rows: Tags, names: Sequence[str], *, exact: bool = False) -> float:
    """Cross-validated entity F1 of giving each word the tag that it had most often, and a new word the commonest tag.

    Args:
        words: words of each row.
        rows: tag index of each word.
        names: tags of the task.
        exact: use every row instead of at most 4,000.

    Returns:
        F1 in [0, 1] over the rows, each tagged by a lookup that has not seen it (3 folds, seed 42); 0 without rows.
    """
    chosen = range(len(rows)) if exact else landmark_rows([0] * len(rows))
    read, truth = [words[i] for i in chosen], [rows[i] for i in chosen]
    predicted: list[Sequence[int]] = [()] * len(truth)
    for held in deal([0] * len(truth)):
        unseen = set(held)
        fit = [i for i in range(len(truth)) if i not in unseen]
        lookup = _lookup([read[i] for i in fit], [truth[i] for i in fit])
        commonest = _most(Counter(tag for i in fit for tag in truth[i]))
        for i in held:
            predicted[i] = [lookup.get(word, commonest) for word in read[i]]
    return tagging_scores(truth, predicted, names)["f1"]


def _lookup(words: Sequence[Sequence[str]], rows: Tags) -> dict[str, int]:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for row, tags in zip(words, rows, strict=True):
        for word, tag in zip(row, tags, strict=True):
            counts[word][tag] += 1
    return {word: _most(found) for word, found in counts.items()}


def _most(counts: Counter[int]) -> int:
    """The most frequent item, the smallest of several; 0 when there is none."""
    return min(counts, key=lambda item: (-counts[item], item), default=0)
