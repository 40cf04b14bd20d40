"""Accepted answers are found in their contexts, whole and exactly."""

import pytest

from xautolm.evaluate.spotting import AnswerForm, answer_form, find_answer


def found(context, *texts):
    return [context[a:b] for a, b in find_answer(context, [{"text": text, "start": None} for text in texts])]


@pytest.mark.parametrize(
    ("context", "answer", "expected"),
    [
        ("The cat sat", "cat", ["cat"]),
        ("The cat sat", " cat\n", ["cat"]),
        ("concatenate cats", "cat", []),  # no part of a word
        ("A Cat", "cat", ["Cat"]),
        ("A Cat, a cat", "cat", ["cat"]),  # its own case first
        ("in 2012, 12 men", "12", ["12"]),
        ("1.5 and 1,500 and 5", "5", ["5"]),  # no part of a number
        ("at 5.", "5", ["5"]),
        ("a (x+y)* b", "(x+y)*", ["(x+y)*"]),
        ("👩\u200d🔬 and 👩", "👩", ["👩"]),  # no part of a joined emoji
        ("cafe\u0301 cafe", "cafe", ["cafe"]),  # nor a letter without its accent
        ("एक की", "क", []),  # nor without its vowel
        ("ภาษาไทย", "ไทย", ["ไทย"]),
        ("Слово словом", "слово", ["Слово"]),
        ("我住在北京市。", "北京", ["北京"]),  # scripts without spaces
        ("a\r\nb c", "a\r\nb", ["a\r\nb"]),
        ("İstanbul'da", "istanbul", ["İstanbul"]),
        ("anything", "  ", []),
    ],
)
def test_answers_without_a_position_are_looked_for(context, answer, expected):
    assert found(context, answer) == expected


def test_the_first_accepted_answer_that_is_there_is_taken():
    assert found("one two two", "three", "two", "one") == ["two", "two"]
    assert found("one two", "three") == []


def test_a_stated_position_is_believed():
    context = "two and two"
    assert find_answer(context, [{"text": "three", "start": None}, {"text": "two", "start": 8}]) == [(8, 11)]
    assert find_answer(context, [{"text": " and ", "start": 3}]) == [(4, 7)]


def test_the_form_of_answers_comes_from_the_main_ones():
    rows = [[{"text": "a" * 10}, {"text": "b" * 900}]] * 99 + [[{"text": "c" * 500}]]
    assert answer_form(rows) == AnswerForm(may_be_missing=False, max_tokens=30)
    assert answer_form([*rows, [], *rows[-1:] * 5]).max_tokens == 167
    assert answer_form([[]]).may_be_missing
