"""Which rows were answered worst."""

import pytest

from xautolm.evaluate.metrics.rows import row_scores, worst_rows


def answers(*texts):
    return [{"text": text, "start": None} for text in texts]


@pytest.mark.parametrize(
    ("kind", "targets", "predictions", "expected"),
    [
        ("text-classification", [0, 1], [0, 0], [1.0, 0.0]),
        ("question-answering", [answers("the cat"), answers("two dogs")], ["a cat", "dogs"], [1.0, 2 / 3]),
        ("text-generation", [answers("red car")], ["red bus"], [0.5]),
        ("token-classification", [[0, 1, 1, 0], []], [[0, 1, 0, 0], []], [0.75, 1.0]),
        ("text-regression", [5.0, 5.0], [5.0, 4.0], [1.0, 0.0]),
    ],
)
def test_a_row_is_scored_by_its_kind(kind, targets, predictions, expected):
    assert row_scores(kind, targets, predictions, ["O", "B-x"]) == pytest.approx(
        expected, abs=0.005
    )  # DROP's F1 has two digits


def test_the_worst_come_first_and_right_ones_not_at_all():
    targets, predictions = [0.0, 10.0, 5.0, 1.0], [0.0, 4.0, 6.0, 3.0]
    found = worst_rows("text-regression", targets, predictions, [], n=2)
    assert [row for row, _ in found] == [1, 3]
    assert worst_rows("text-classification", [1], [1], ["a", "b"]) == []
