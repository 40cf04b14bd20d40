"""Meta-features: what a task and a machine look like as named numbers, so that tasks can be compared.

Every set of features has a versioned name (`classification/2`, `multi-label/1`, `generation/1`, `system/1`). A name
keeps its meaning over all versions, so that profiles of different versions can be compared by the names that both have;
adding, removing or redefining a feature needs a new number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xautolm.metafeatures.generation import embedding_similarity, generation_features
from xautolm.metafeatures.label_sets import (
    label_set_features,
    label_sets,
    linear_landmark_of_sets,
    neighbour_landmark_of_sets,
)
from xautolm.metafeatures.labels import label_features
from xautolm.metafeatures.landmarks import linear_landmark, tree_landmark
from xautolm.metafeatures.scores import (
    linear_correlation,
    neighbour_correlation,
    numbers,
    overlap_correlation,
    score_features,
)
from xautolm.metafeatures.semantic import TaskEmbeddings, mean_embedding, neighbour_landmark
from xautolm.metafeatures.tags import lookup_landmark, tag_features, tags_of
from xautolm.metafeatures.text import documents, text_features
from xautolm.metafeatures.tokens import token_features
from xautolm.metafeatures.words import character_features, duplicate_share, pair_features, word_features
from xautolm.records import Profile, Task
from xautolm.space.catalogue import embedded_folder

CLASSIFICATION_SCHEMA = "classification/2"
MULTI_LABEL_SCHEMA = "multi-label/1"
REGRESSION_SCHEMA = "regression/1"
TOKENS_SCHEMA = "tokens/1"
GENERATION_SCHEMA = "generation/1"
SYSTEM_SCHEMA = "system/2"

#: Names of the published features of a classification task, in the published order (`method.md` section 4).
PUBLISHED_CLASSIFICATION = (
    "n_train",
    "n_classes",
    "label_entropy_bits",
    "min_class_share",
    "max_class_share",
    "imbalance",
    "mean_chars",
    "std_chars",
    "cv_chars",
    "tree_landmark",
)

#: The same of a generation task.
PUBLISHED_GENERATION = (
    *("n_train", "mean_prompt_chars", "std_prompt_chars", "prompt_ttr", "mean_target_chars", "std_target_chars"),
    *("target_ttr", "length_ratio", "vocabulary_novelty", "embedding_similarity", "rouge_l"),
)


_SCHEMAS = {
    "multi-label": MULTI_LABEL_SCHEMA,
    "text-regression": REGRESSION_SCHEMA,
    "token-classification": TOKENS_SCHEMA,
}


def schema_of(task: Task) -> str:
    """Version of the features of a task, by what its rows ask for."""
    if task.train.answers is not None:
        return GENERATION_SCHEMA
    return _SCHEMAS.get(task.kind, CLASSIFICATION_SCHEMA)


def profile_task(
    task: Task, *, embeddings: TaskEmbeddings | None = None, tokenizer_file: Path | None = None, exact: bool = False
) -> Mapping[str, float]:
    """Compute the features of a task from its training split.

    Args:
        task: of any kind; a pair of texts counts as the two joined by a space where one document is needed.
        embeddings: of a sample of the training rows; without them the features that need them are 0.
        tokenizer_file: `tokenizer.json` of the embedded encoder; None = where it is installed.
        exact: compute landmarks and ROUGE-L on all rows, as published, instead of on seeded samples. Lengths in tokens
            come from at most 20,000 rows and 10 million characters in any case, and ROUGE-L from the first 2,000 words
            of a text; the other features always see everything.

    Returns:
        The published names first, in the published order, where the kind has any; then the others. Finite values.
    """
    tokenizer_file = tokenizer_file or embedded_folder() / "tokenizer.json"
    if task.train.answers is not None:
        values = generation_features(task, tokenizer_file, embeddings, exact=exact)
        return _published_first(values, PUBLISHED_GENERATION)
    texts = documents(task.train)
    target = _target_features(task, texts, exact=exact)
    values = {
        **text_features(texts),
        **target.asked,
        "n_validation": float(task.validation.n_rows),
        **token_features(texts, tokenizer_file),
        **word_features(texts),
        **character_features(texts),
        "duplicate_share": duplicate_share(texts),
        **pair_features(task.train.texts, task.train.pairs),
        **target.landmarks,
        **embedding_features(task, embeddings),
    }
    is_classification = schema_of(task) == CLASSIFICATION_SCHEMA
    return _published_first(values, PUBLISHED_CLASSIFICATION) if is_classification else values


@dataclass(frozen=True, slots=True)
class _Target:
    """Features of what the rows of a task ask for: counted, and learned by cheap learners."""

    asked: Mapping[str, float]
    landmarks: Mapping[str, float]


def _target_features(task: Task, texts: Sequence[str], *, exact: bool) -> _Target:
    train = task.train
    if task.kind == "multi-label":
        sets = label_sets(train)
        return _Target(label_set_features(sets), {"linear_landmark": linear_landmark_of_sets(texts, sets, exact=exact)})
    if task.kind == "text-regression":
        values = numbers(train)
        landmarks = {
            "linear_correlation": linear_correlation(texts, values, exact=exact),
            "overlap_correlation": overlap_correlation(train.texts, train.pairs, values),
        }
        return _Target(score_features(values), landmarks)
    if task.kind == "token-classification":
        tags, names = tags_of(train), [str(label) for label in task.labels]
        lookup = lookup_landmark(train.words or (), tags, names, exact=exact)
        return _Target(tag_features(tags, names), {"lookup_landmark": lookup})
    landmarks = {
        "tree_landmark": tree_landmark(texts, train.labels, exact=exact),
        "linear_landmark": linear_landmark(texts, train.labels, exact=exact),
    }
    return _Target(label_features(train.labels), landmarks)


def embedding_features(task: Task, embeddings: TaskEmbeddings | None) -> dict[str, float]:
    """Those features of `profile_task` that need embeddings; 0 without them."""
    if task.train.answers is not None:
        return {"embedding_similarity": embedding_similarity(embeddings)}
    if task.kind == "token-classification":
        return {}
    rows = [] if embeddings is None else embeddings.rows.tolist()
    vectors = np.zeros((0, 1), dtype=np.float32) if embeddings is None else embeddings.texts
    if task.kind == "text-regression":
        values = numbers(task.train)
        return {"neighbour_correlation": neighbour_correlation(vectors, [values[row] for row in rows])}
    if task.kind == "multi-label":
        sets = label_sets(task.train)
        return {"neighbour_landmark": neighbour_landmark_of_sets(vectors, [sets[row] for row in rows])}
    return {"neighbour_landmark": neighbour_landmark(vectors, [task.train.labels[row] for row in rows])}


def _published_first(values: Mapping[str, float], published: tuple[str, ...]) -> dict[str, float]:
    return {name: values[name] for name in published} | dict(values)


def build_profile(
    task: Task,
    machine_features: Mapping[str, float],
    *,
    embeddings: TaskEmbeddings | None = None,
    system_name: str = "",
) -> Profile:
    """Join the features of the task with those of the machine (`machine.system_features`, `speed.MachineSpeed`).

    Args:
        task: the loaded data.
        machine_features: of the machine, schema `SYSTEM_SCHEMA`.
        embeddings: of a sample of the training rows; None = no semantic features.
        system_name: processor and GPU in words.
    """
    return Profile(
        schema=schema_of(task),
        task=profile_task(task, embeddings=embeddings),
        system_schema=SYSTEM_SCHEMA,
        system=dict(machine_features),
        semantic=None if embeddings is None else mean_embedding(embeddings.texts),
        system_name=system_name,
    )


def add_embeddings(profile: Profile, task: Task, embeddings: TaskEmbeddings) -> Profile:
    """The profile that `build_profile` gives with embeddings, from the one that it gave without."""
    features = {**profile.task, **embedding_features(task, embeddings)}
    return replace(profile, task=features, semantic=mean_embedding(embeddings.texts))
