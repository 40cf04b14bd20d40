"""Task features: published definitions, real data, robustness."""

from __future__ import annotations

import gzip
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.metafeatures import PUBLISHED_CLASSIFICATION, SYSTEM_SCHEMA, build_profile, profile_task
from xautolm.metafeatures.landmarks import SAMPLE_ROWS, linear_landmark, sample_rows, tree_landmark
from xautolm.metafeatures.semantic import TaskEmbeddings
from xautolm.records import DataSource, Split, Task

#: Features of `classification/2`; another number is another schema.
N_FEATURES = 31
SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def make_task(texts, labels, pairs=None) -> Task:
    names = tuple(f"label{index}" for index in range(max(labels, default=0) + 1))
    empty = Split((), None, ())
    return Task(
        dataset_id="made",
        kind="text-classification",
        labels=names,
        train=Split(tuple(texts), None if pairs is None else tuple(pairs), tuple(labels)),
        validation=empty,
        test=None,
        columns={"text": "text", "target": "label"},
        sources={"train": DataSource("made.csv", "0" * 64)},
        fingerprint="f" * 64,
        sketch=(),
    )


def load_shared_task(name: str) -> Task:
    path = SHARED_DATA / name / "train.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the shared data set {name} is not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    names = sorted({row["label"] for row in rows})
    pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
    return make_task([row["text"] for row in rows], [names.index(row["label"]) for row in rows], pairs)


def profile_without_noise(task: Task) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = dict(profile_task(task))
    assert tuple(features)[:10] == PUBLISHED_CLASSIFICATION
    assert len(features) == N_FEATURES
    assert all(type(value) is float and math.isfinite(value) for value in features.values()), features
    return features


def test_features_of_a_task_counted_by_hand():
    features = profile_without_noise(make_task(["aa", "bbbb", "", "cc cc"], [0, 0, 0, 1]))
    assert features["n_train"] == 4
    assert features["n_classes"] == 2
    assert features["label_entropy_bits"] == pytest.approx(0.8112781244591328)
    assert (features["min_class_share"], features["max_class_share"]) == (0.25, 0.75)
    assert features["imbalance"] == pytest.approx(1 / 3)
    assert features["mean_chars"] == 2.75
    assert features["std_chars"] == pytest.approx(math.sqrt((0.75**2 + 1.25**2 + 2.75**2 + 2.25**2) / 4))
    assert features["cv_chars"] == pytest.approx(features["std_chars"] / 2.75)


def test_label_entropy_agrees_with_the_published_value_to_1e_6():
    labels = [0, 1, 2, 3] * 30
    features = profile_without_noise(make_task(["word"] * 120, labels))
    assert features["label_entropy_bits"] == pytest.approx(1.9999999994229218, abs=1e-6)


def test_pair_counts_as_both_texts_joined_by_a_space():
    joined = profile_without_noise(make_task(["ab cde", "x y"] * 4, [0, 1] * 4))
    paired = profile_without_noise(make_task(["ab", "x"] * 4, [0, 1] * 4, pairs=["cde", "y"] * 4))
    of_pairs = ("is_pair", "pair_overlap", "pair_length_ratio")
    assert {name: paired[name] for name in paired if name not in of_pairs} == {
        name: joined[name] for name in joined if name not in of_pairs
    }
    assert (joined["is_pair"], paired["is_pair"], paired["pair_length_ratio"]) == (0.0, 1.0, 5 / 6)


def test_ag_news_features_are_near_the_published_ones():
    features = profile_without_noise(load_shared_task("ag_news"))
    assert features["n_train"] == 3999
    assert features["n_classes"] == 4
    assert features["label_entropy_bits"] == pytest.approx(2.0, abs=0.01)
    assert features["min_class_share"] == pytest.approx(0.25, abs=0.02)
    assert features["mean_chars"] == pytest.approx(236.48, rel=0.02)
    assert features["std_chars"] == pytest.approx(66.51, rel=0.05)
    assert features["tree_landmark"] == pytest.approx(0.747, abs=0.06)


def test_liar_landmark_is_near_the_published_one():
    features = profile_without_noise(load_shared_task("liar"))
    assert features["tree_landmark"] == pytest.approx(0.2245, abs=0.03)
    assert features["label_entropy_bits"] == pytest.approx(2.5353, abs=0.02)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ([""] * 10, [0, 1] * 5),
        (["\N{PILE OF POO} \N{ZERO WIDTH JOINER}"] * 10, [0, 1] * 5),
        (["the same text"] * 10, [0, 1] * 5),
        (["red blue", "red green", "blue", "green"], [0, 0, 0, 0]),
        (["alone"], [0]),
        ([], []),
        (["the", "of", "and", "is"], [0, 1, 0, 1]),
        ([f"word{index}" for index in range(50)], list(range(50))),
        ([f"word{index} word{index % 25}" for index in range(50)], [index % 25 for index in range(50)]),
        (["lone surrogate \ud800 here"] * 6, [0, 1] * 3),
        (["long " * 200_000, "short", "long " * 200_000, "brief"], [0, 1, 0, 1]),
    ],
    ids=[
        *("empty", "emoji", "identical", "one class", "one row", "no rows", "stop words only"),
        *("a class per row", "two rows per class", "surrogate", "1 MB documents"),
    ],
)
def test_odd_tasks_give_finite_features_and_no_warnings(texts, labels):
    profile_without_noise(make_task(texts, labels))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=30), st.integers(0, 4)), max_size=30), st.booleans())
def test_arbitrary_text_gives_finite_features(rows, are_pairs):
    texts, pairs, labels = ([row[part] for row in rows] for part in range(3))
    features = profile_without_noise(make_task(texts, labels, pairs if are_pairs else None))
    shares = (name for name in features if name.endswith(("_share", "_overlap", "_ratio", "_landmark", "_growth")))
    assert {name: features[name] for name in shares if not 0 <= features[name] <= 1} == {}
    assert 0 <= features["tree_landmark"] <= 1
    assert 0 <= features["min_class_share"] <= features["max_class_share"] <= 1


def test_landmark_sees_what_words_tell_about_labels():
    texts = [f"{'good' if row % 2 else 'awful'} film number {row % 7}" for row in range(80)]
    told = tree_landmark(texts, [row % 2 for row in range(80)])
    untold = tree_landmark(texts, [(row // 2) % 2 for row in range(80)])
    assert told == 1.0
    assert untold < 0.8


def test_class_with_one_row_gives_training_accuracy():
    texts = [f"{'good' if row % 2 else 'awful'} film" for row in range(20)] + ["strange object"]
    assert tree_landmark(texts, [row % 2 for row in range(20)] + [2]) == 1.0


def test_landmark_without_usable_words_is_zero():
    assert tree_landmark(["the", "of"] * 4, [0, 1] * 4) == 0.0


def test_landmark_looks_at_a_seeded_sample_unless_asked_for_the_published_form():
    n_rows = SAMPLE_ROWS + 400
    texts = [f"word{row % 11} other{row % 13} third{row % 17}" for row in range(n_rows)]
    labels = [row % 3 for row in range(n_rows)]
    sampled = tree_landmark(texts, labels)
    assert sampled == tree_landmark(texts, labels)
    rows = sample_rows(labels, SAMPLE_ROWS)
    assert sampled == tree_landmark([texts[row] for row in rows], [labels[row] for row in rows], exact=True)
    assert sampled != tree_landmark(texts, labels, exact=True)


def test_sample_keeps_two_rows_of_every_class():
    labels = [0] * 5000 + [1, 1, 2, 2, 3]
    rows = sample_rows(labels, SAMPLE_ROWS)
    assert len(rows) == len(set(rows)) == SAMPLE_ROWS
    assert [sum(labels[row] == label for row in rows) for label in (1, 2, 3)] == [2, 2, 1]


def test_linear_landmark_sees_what_words_tell_about_labels():
    texts = [f"{'good' if row % 2 else 'awful'} film number {row % 7}" for row in range(80)]
    assert linear_landmark(texts, [row % 2 for row in range(80)]) == 1.0
    assert linear_landmark(texts, [(row // 2) % 2 for row in range(80)]) < 0.8


def test_linear_landmark_with_a_class_of_one_row_and_with_one_class():
    texts = [f"{'good' if row % 2 else 'awful'} film" for row in range(20)] + ["strange object"]
    assert 0.5 < linear_landmark(texts, [row % 2 for row in range(20)] + [2]) < 0.7  # that class is never right
    assert linear_landmark(texts, [0] * 21) == 1.0


def test_the_linear_landmark_of_real_data_is_above_the_trees_and_below_a_transformers():
    features = profile_without_noise(load_shared_task("sst2"))
    assert features["tree_landmark"] < features["linear_landmark"] < 0.85


def test_a_thousand_classes_take_no_special_path():
    texts = [f"word{row % 1000} and word{row % 17}" for row in range(2000)]
    features = profile_without_noise(make_task(texts, [row % 1000 for row in range(2000)]))
    assert features["n_classes"] == 1000


def test_embeddings_give_the_neighbour_landmark_and_the_semantic_features():
    task = make_task(["a", "b", "c", "d"], [0, 1, 0, 1])
    vectors = np.asarray([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
    profile = build_profile(task, {}, embeddings=TaskEmbeddings(np.arange(4), vectors), system_name="a machine")
    assert profile.task["neighbour_landmark"] == 1.0
    assert profile.semantic == pytest.approx((0.525, 0.525))
    assert profile.system_name == "a machine"


def test_profile_names_its_schemas():
    profile = build_profile(make_task(["a b", "c d"] * 4, [0, 1] * 4), {"ram_gib": 8.0})
    assert (profile.schema, profile.system_schema) == ("classification/2", SYSTEM_SCHEMA)
    assert profile.system == {"ram_gib": 8.0}
    assert profile.semantic is None
    assert tuple(profile.task)[:10] == PUBLISHED_CLASSIFICATION
