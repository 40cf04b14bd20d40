"""Answers are scored by the official rules of SQuAD and DROP; expected values come from the official scripts."""

import pytest

from xautolm.evaluate.metrics.answers import generation_scores, normalised, question_scores, squad_scores
from xautolm.evaluate.metrics.drop import drop_scores, span_scores


def answers(*texts, start=None):
    return [{"text": text, "start": start} for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat", "cat"),
        ("a b an c the d", "b c d"),
        ("then another theatre", "then another theatre"),  # articles only as words
        ("A.B.C.", "abc"),
        ("the-cat", "thecat"),  # punctuation goes first, so no article is left
        ("  two\n\twords ", "two words"),
        ("“quoted”", "“quoted”"),  # punctuation is that of ASCII
        ("Él dijo: ¡sí!", "él dijo ¡sí"),
        ("1,000.5", "10005"),
        ("the", ""),
    ],
)
def test_texts_are_compared_in_squads_normal_form(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("predicted", "accepted", "f1", "exact"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1, 1),
        ("the denver broncos!", ["Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos"], 2 / 3, 0),
        ("Panthers", ["Denver Broncos"], 0, 0),
        ("Broncos", ["Denver Broncos", "the Broncos"], 1, 1),  # the best reference counts
        ("New York City", ["New York", "City of New York"], 6 / 7, 0),
        ("cat cat", ["cat"], 2 / 3, 0),  # words are counted, not only seen
        ("cat cat dog", ["cat dog dog"], 2 / 3, 0),
        ("b a c", ["c b"], 1, 0),  # order matters to the exact match alone
        ("", ["cat"], 0, 0),
        ("the", ["cat"], 0, 0),
        ("", [], 1, 1),  # unanswerable
        ("the", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["the", "?"], 1, 1),  # no accepted answer has a word
        ("cat", ["the", "cat"], 1, 1),
        ("", ["the", "cat"], 0, 0),
    ],
)
def test_squads_rules(predicted, accepted, f1, exact):
    assert squad_scores(predicted, accepted) == (pytest.approx(f1), exact)


@pytest.mark.parametrize(
    ("predicted", "accepted", "f1", "exact"),
    [
        # numbers
        (["4"], ["4.0"], 1, 1),
        (["1,000"], ["1000"], 1, 1),
        (["$5"], ["5"], 1, 1),
        (["5%"], ["5 percent"], 0.67, 0),
        (["5"], ["6"], 0, 0),
        (["6 yards"], ["5 yards"], 0, 0),  # another number, so the shared word is worth nothing
        (["yards"], ["5 yards"], 0, 0),
        (["5 yards"], ["yards"], 0.67, 0),  # a number too many costs only its share
        (["5 of 6"], ["6"], 0.5, 0),
        (["four"], ["4"], 0, 0),
        (["5.5%"], ["5.5"], 0, 0),  # officially the percent sign takes the point with it: 55
        # articles, hyphens, punctuation, case
        (["the Rams"], ["Rams"], 1, 1),
        (["23-yard"], ["23 yard"], 1, 1),
        (["U.S."], ["us"], 1, 1),
        (["the"], ["a"], 1, 1),
        (["cat cat"], ["cat"], 1, 0),  # sets of words: a repeated word counts once
        # several spans
        (["Rams", "Bears"], ["Bears", "Rams"], 1, 1),
        (["Rams"], ["Bears", "Rams"], 0.5, 0),
        (["Rams", "Bears", "Lions"], ["Bears", "Rams"], 0.67, 0),
        (["Rams", "Rams"], ["Rams", "Bears"], 0.5, 0),
        (["St. Louis Rams", "Rams"], ["Rams", "St Louis"], 0.9, 0),  # paired for the largest sum
        (["8-yard", "7-yard"], ["7-yard", "8-yard"], 1, 1),
        # dates
        (["3 March 1912"], ["3 March 1912"], 1, 1),
        (["March 1912"], ["3 March 1912"], 0.8, 0),  # one of the numbers is there
        (["3 March"], ["4 March"], 0, 0),
        (["March"], [" March "], 1, 1),
        # empty
        ([""], ["Rams"], 0, 0),
        ([""], ["the"], 1, 1),
    ],
)
def test_drops_rules_for_the_spans_of_one_answer(predicted, accepted, f1, exact):
    assert span_scores(predicted, accepted) == (pytest.approx(f1), exact)


@pytest.mark.parametrize(
    ("predicted", "accepted", "f1", "exact"),
    [
        ("4", ["3", "4"], 1, 1),
        ("Bears and Rams", ["Rams and Bears"], 1, 1),  # the same spans in another order
        ("Bears", ["Rams and Bears"], 0.5, 0),
        ("Rams and Bears", ["Rams"], 0.5, 0),
        ("20 and 24 years", ["between 20 and 24 years"], 0.89, 0),  # better read as one span
        ("Sand and Anderson", ["Anderson and Sand"], 1, 1),  # only the word separates
        ("", [], 1, 1),
        ("the", [" "], 1, 1),
        ("4", [], 0, 0),
        ("4", ["", "4"], 1, 1),
        ("", ["", "4"], 0, 0),
    ],
)
def test_drops_rules_over_references(predicted, accepted, f1, exact):
    assert drop_scores(predicted, accepted) == (pytest.approx(f1), exact)


def test_positions_decide_whose_rules_score_a_question():
    # A bag of words against a set of words.
    assert question_scores([answers("cat", start=3)], ["cat cat"])["f1"] == pytest.approx(2 / 3)
    assert question_scores([answers("cat")], ["cat cat"])["f1"] == 1.0


def test_one_position_makes_all_rows_squads():
    rows = [answers("5 yards"), answers("cat", start=0), []]

    assert question_scores(rows, ["6 yards", "cat", ""]) == {"f1": pytest.approx(2.5 / 3), "exact_match": 2 / 3}


def test_generated_texts_are_scored_against_their_best_reference():
    scores = generation_scores([answers("a big red house", "house")], ["The House"])

    assert scores == {"f1": 1.0, "exact_match": 1.0, "rouge_l": pytest.approx(2 / 3)}


def test_generated_texts_in_other_alphabets_have_words_but_no_rouge():
    assert generation_scores([answers("красный дом")], ["дом"]) == {
        "f1": pytest.approx(2 / 3),
        "exact_match": 0.0,
        "rouge_l": 0.0,
    }
    assert generation_scores([answers("cat")], [""]) == {"f1": 0.0, "exact_match": 0.0, "rouge_l": 0.0}
