"""Scores of each kind of task, at the edges of the rules."""

import math

import numpy as np
import pytest

from xautolm.evaluate.metrics import task_scores
from xautolm.evaluate.metrics.entities import entities, tag_places, tagging_scores
from xautolm.evaluate.metrics.sequence import multi_label_scores, regression_scores
from xautolm.tasks import KINDS

#: A row that is entirely right, for every kind: target, prediction, names.
RIGHT = {
    "text-classification": (0, 0, ["a"]),
    "multi-label": ([0, 1], [1, 0], ["a", "b"]),
    "text-regression": (1.5, 1.5, []),
    "token-classification": ([0, 1], [0, 1], ["B-X", "O"]),
    "question-answering": ([{"text": "a cat", "start": 0}], "cat", []),
    "text-generation": ([{"text": "cat", "start": None}], "Cat", []),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_of_a_kind_are_its_metrics_in_order(kind):
    target, prediction, names = RIGHT[kind]

    scores = task_scores(kind, [target], [prediction], names)

    assert tuple(scores) == KINDS[kind].metrics
    assert all(type(value) is float for value in scores.values())
    if kind != "text-regression":
        assert set(scores.values()) == {1.0}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text-classification"])
def test_no_rows_score_nothing(kind):
    assert set(task_scores(kind, [], [], RIGHT[kind][2]).values()) == {0.0}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text-classification"])
def test_a_missing_prediction_is_refused(kind):
    target, prediction, names = RIGHT[kind]
    with pytest.raises(ValueError):
        task_scores(kind, [target, target], [prediction], names)


def test_a_label_that_no_row_has_and_none_is_given_counts_0():
    assert multi_label_scores([[0]], [[0]], 2) == {"f1": 0.5, "micro_f1": 1.0, "accuracy": 1.0}


def test_a_single_label_is_not_two_classes():
    scores = multi_label_scores([[0], [], []], [[], [], []], 1)

    assert scores == {"f1": 0.0, "micro_f1": 0.0, "accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [([1, 2, 3], [0.1, 0.1, 0.1]), ([0.1, 0.1, 0.1], [1, 2, 3]), ([2, 2], [2, 2]), ([1], [3]), ([1e-9] * 3, [1, 2, 3])],
)
def test_constant_numbers_correlate_with_nothing(truth, predicted):
    scores = regression_scores(truth, predicted)

    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)
    assert math.isfinite(scores["rmse"])


def test_correlations_do_not_depend_on_the_scale():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(50)
    predicted = truth + rng.standard_normal(50)
    plain = regression_scores(truth, predicted)

    for scale in (1e-200, 1e150):
        assert regression_scores(truth, predicted * scale)["pearson"] == pytest.approx(plain["pearson"])
    assert regression_scores(truth, -predicted)["spearman"] == pytest.approx(-plain["spearman"])
    assert regression_scores([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])["rmse"] == pytest.approx(3**-0.5)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-A I-A O", [("A", 0, 1)]),
        ("I-A I-A O", [("A", 0, 1)]),  # IOB1: no B at the start
        ("B-A B-A", [("A", 0, 0), ("A", 1, 1)]),
        ("I-A I-B", [("A", 0, 0), ("B", 1, 1)]),
        ("B-A I-B I-B", [("A", 0, 0), ("B", 1, 2)]),
        ("S-A S-A", [("A", 0, 0), ("A", 1, 1)]),
        ("B-A E-A I-A", [("A", 0, 1), ("A", 2, 2)]),
        ("B-A L-A U-A", [("A", 0, 1), ("A", 2, 2)]),  # BILOU
        ("B-A M-A E-A W-A", [("A", 0, 2), ("A", 3, 3)]),  # BMEWO
        ("B I O I", [("", 0, 1), ("", 3, 3)]),
        ("B-A-1 I-A-1", [("A-1", 0, 1)]),
        ("A A O B B", [("A", 0, 1), ("B", 3, 4)]),
        ("NOUN NOUN VERB", [("NOUN", 0, 0), ("NOUN", 1, 1), ("VERB", 2, 2)]),
    ],
)
def test_entities_are_read_in_every_scheme(tags, expected):
    row = tags.split()
    names = sorted({*row, "O"} if "NOUN" not in row else set(row))
    places = dict(zip(names, tag_places(names), strict=True))

    assert list(entities([places[tag] for tag in row])) == expected


def test_an_entity_counts_only_with_its_exact_words_and_type():
    names = ["O", "B-A", "I-A", "B-B"]
    truth = [[1, 2, 0, 3], [0]]

    assert tagging_scores(truth, [[1, 2, 0, 1], [0]], names)["f1"] == 0.5  # another type
    scores = tagging_scores(truth, [[1, 0, 0, 3], [1]], names)  # a word too few, and one entity too many
    assert scores == {"f1": 0.4, "precision": pytest.approx(1 / 3), "recall": 0.5, "accuracy": pytest.approx(3 / 5)}


def test_entities_of_different_rows_do_not_meet():
    names = ["O", "B-A", "I-A"]

    assert tagging_scores([[1], [2]], [[1], [2]], names)["f1"] == 1.0
    assert tagging_scores([[1], [2]], [[1], [0]], names)["recall"] == 0.5
    assert tagging_scores([[0, 0]], [[0, 0]], names) == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": 1.0}


def test_where_every_word_is_tagged_all_scores_are_the_accuracy():
    scores = tagging_scores([[0, 0, 1]], [[0, 1, 1]], ["NOUN", "VERB"])

    assert set(scores.values()) == {2 / 3}


def test_words_of_a_row_must_all_be_predicted():
    with pytest.raises(ValueError):
        tagging_scores([[0, 0]], [[0]], ["O", "B-A"])
