"""Features of label sets, scores, tags and texts to be written: counted by hand, and on profiles."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.metafeatures import add_embeddings, build_profile, profile_task, schema_of
from xautolm.metafeatures.label_sets import label_set_features, linear_landmark_of_sets, neighbour_landmark_of_sets
from xautolm.metafeatures.labels import label_features
from xautolm.metafeatures.landmarks import linear_landmark
from xautolm.metafeatures.scores import correlation, linear_correlation, neighbour_correlation, score_features
from xautolm.metafeatures.semantic import TaskEmbeddings, neighbour_landmark
from xautolm.metafeatures.tags import lookup_landmark, tag_features
from xautolm.records import Answer, Split, Task


def make_task(kind, texts, targets, pairs=None, labels=(), **columns) -> Task:
    split = Split(tuple(texts), None if pairs is None else tuple(pairs), (), targets=tuple(targets), **columns)
    return Task("made", kind, labels, split, Split((), None, ()), None, {}, {}, "f", ())


def profile_without_noise(task, **arguments) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = dict(profile_task(task, **arguments))
    assert all(type(value) is float and math.isfinite(value) for value in features.values()), features
    return features


def texts_of(words, n=60, seed=0):
    """Documents that hold their row's words among others."""
    rng = random.Random(seed)
    others = ("alpha", "beta", "gamma", "delta", "epsilon")
    return [" ".join([*words[i % len(words)], *rng.sample(others, 2)]) for i in range(n)]


# ---- label sets


def test_label_sets_counted_by_hand():
    features = label_set_features([(0,), (0, 1), (0, 1, 3), ()])
    assert features["n_classes"] == 3
    assert (features["min_class_share"], features["max_class_share"]) == (0.25, 0.75)
    assert features["imbalance"] == pytest.approx(1 / 3)
    assert features["label_entropy_bits"] == pytest.approx(0.5 + math.log2(3) / 3 + math.log2(6) / 6)
    assert (features["labels_per_row"], features["empty_share"], features["label_set_share"]) == (1.5, 0.25, 1.0)


labels = st.lists(st.integers(0, 4), max_size=30)


@given(labels)
def test_sets_of_one_label_have_the_features_of_classification(found):
    features = label_set_features([(label,) for label in found])
    single = label_features(found)
    assert {name: features[name] for name in single} == pytest.approx(single)


def test_landmarks_of_sets_of_one_label_agree_with_those_of_classification():
    texts, found = texts_of([["red"], ["blue"], ["green"]]), [0, 1, 2] * 20
    sets = [(label,) for label in found]
    assert linear_landmark_of_sets(texts, sets) == pytest.approx(linear_landmark(texts, found), abs=0.05)
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    assert neighbour_landmark_of_sets(vectors, sets) == neighbour_landmark(vectors, found)


def test_words_that_tell_the_labels_are_seen_and_noise_is_not():
    sets = [(0, 1), (1,), (), (0,)] * 15
    told = texts_of([["red", "blue"], ["blue"], ["none"], ["red"]])
    assert linear_landmark_of_sets(told, sets) > 0.95
    assert linear_landmark_of_sets(texts_of([["same"]]), random.Random(1).sample(sets, 60)) < 0.8
    assert linear_landmark_of_sets([""] * 60, sets) == 0.0
    assert linear_landmark_of_sets(told, [()] * 60) == 0.0


def test_neighbours_share_part_of_their_labels():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32)
    assert neighbour_landmark_of_sets(vectors, [(0, 1), (1,), (), ()]) == 0.75
    assert neighbour_landmark_of_sets(vectors[:1], [(0,)]) == 0.0


def test_profile_of_label_sets():
    task = make_task("multi-label", texts_of([["red"], ["blue"]]), [(0, 1), ()] * 30, labels=("x", "y"))
    features = profile_without_noise(task)
    assert schema_of(task) == "multi-label/1"
    assert features["n_train"] == 60
    assert len(features) == 33
    assert features["neighbour_landmark"] == 0.0
    vectors = np.ones((60, 3), dtype=np.float32)
    embedded = profile_without_noise(task, embeddings=TaskEmbeddings(np.arange(60), vectors))
    assert embedded["neighbour_landmark"] > 0
    assert build_profile(task, {}).schema == "multi-label/1"


# ---- scores


def test_scores_counted_by_hand():
    features = score_features([0.0, 0.0, 0.0, 10.0])
    assert features["score_entropy_bits"] == pytest.approx(0.8112781244591328)
    assert features["score_skewness"] == pytest.approx(2 / math.sqrt(3))
    assert features["distinct_score_share"] == 0.5
    assert score_features([]) == score_features([3.0] * 0)


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20),
    st.floats(0.01, 100.0),
    st.integers(-1000, 1000),
)
def test_scores_of_any_size_give_finite_features_without_unit(scores, unit, zero):
    features = score_features(scores)
    assert all(math.isfinite(value) for value in features.values())
    whole = [float(round(min(max(score, -1e3), 1e3))) for score in scores]
    moved = score_features([unit * score + zero for score in whole])
    assert moved["score_skewness"] == pytest.approx(score_features(whole)["score_skewness"], abs=1e-5)


def test_words_that_tell_the_score_are_seen():
    texts, scores = texts_of([["bad"], ["fair"], ["good"]]), [1.0, 3.0, 5.0] * 20
    assert linear_correlation(texts, scores) > 0.9
    assert abs(linear_correlation(texts, random.Random(0).sample(scores, 60))) < 0.5
    assert linear_correlation([""] * 60, scores) == 0.0
    assert linear_correlation(texts[:4], scores[:4]) == 0.0


def test_neighbours_with_like_scores_correlate():
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32)
    assert neighbour_correlation(vectors, [1.0, 1.0, 5.0, 5.0]) == pytest.approx(1.0)
    assert neighbour_correlation(vectors[:1], [1.0]) == 0.0
    assert correlation(np.zeros(0), np.zeros(0)) == 0.0


def test_profile_of_scores():
    pairs = ["red", "red alpha", "blue"] * 20
    task = make_task("text-regression", ["red alpha", "red alpha", "red"] * 20, [2.0, 5.0, 0.0] * 20, pairs)
    features = profile_without_noise(task)
    assert schema_of(task) == "regression/1"
    assert features["overlap_correlation"] == pytest.approx(0.9933992677987828)
    assert features["is_pair"] == 1.0
    assert "n_classes" not in features
    single = profile_without_noise(make_task("text-regression", ["a b"] * 9, [1.0] * 9))
    assert single["overlap_correlation"] == single["linear_correlation"] == single["score_skewness"] == 0.0


# ---- tags


NAMES = ["B-LOC", "B-PER", "I-PER", "O"]


def test_tags_counted_by_hand():
    features = tag_features([[1, 2, 3, 0], [3, 3]], NAMES)
    assert features["n_classes"] == 4
    assert (features["min_class_share"], features["max_class_share"]) == (pytest.approx(1 / 6), 0.5)
    assert features["words_per_row"] == 3
    assert (features["entity_share"], features["entities_per_row"], features["words_per_entity"]) == (0.5, 1.0, 1.5)
    assert features["n_entity_types"] == 2
    parts_of_speech = tag_features([[0, 1], [1]], ["NOUN", "VERB"])
    assert (parts_of_speech["entity_share"], parts_of_speech["words_per_entity"]) == (1.0, 1.0)
    assert all(value == 0 for value in tag_features([], NAMES).values())


def test_a_lookup_knows_words_that_keep_their_tag_and_nothing_of_new_ones():
    words, tags = [["Anna", "came"], ["Rome", "fell"]] * 9, [[1, 3], [0, 3]] * 9
    assert lookup_landmark(words, tags, NAMES) == 1.0
    assert lookup_landmark([[f"{i}{word}" for word in row] for i, row in enumerate(words)], tags, NAMES) == 0.0
    assert lookup_landmark([], [], NAMES) == 0.0


def test_profile_of_tags():
    words = (("Anna", "Berg", "came"), ("Rome", "fell")) * 10
    split = {"words": words, "labels": tuple(NAMES)}
    task = make_task("token-classification", map(" ".join, words), [(1, 2, 3), (0, 3)] * 10, **split)
    features = profile_without_noise(task)
    assert schema_of(task) == "tokens/1"
    assert features["lookup_landmark"] == 1.0
    assert "tree_landmark" not in features
    profile = add_embeddings(build_profile(task, {}), task, TaskEmbeddings(np.arange(20), np.ones((20, 2))))
    assert profile.task == features
    assert profile.semantic == (1.0, 1.0)


# ---- texts to be written


def test_profile_of_texts_to_be_written_has_the_published_features():
    texts, answers = (
        ("a long story told", "another story") * 9,
        ((Answer("story"), Answer("tale")), (Answer("new"),)) * 9,
    )
    split = Split(texts, None, (), answers)
    task = Task("made", "text-generation", (), split, split, None, {}, {}, "f", ())
    features = profile_without_noise(task)
    assert schema_of(task) == "generation/1"
    assert list(features)[:2] == ["n_train", "mean_prompt_chars"]
    assert features["mean_prompt_chars"] == 15.0
    assert features["mean_references"] == 1.5
    assert features["vocabulary_novelty"] == 0.5
    assert features["span_share"] == 0.5
    assert features["context_tokens_mean"] == 3.0
    assert features["question_tokens_max"] == 0.0
