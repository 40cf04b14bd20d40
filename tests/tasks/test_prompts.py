"""Templates of prompts: what they accept, and what users are told."""

import pytest

from xautolm.errors import UsageError
from xautolm.tasks import KINDS
from xautolm.tasks.prompts import asks_for_text, default_template, fields_of, make_prompt, rows_of

ROW = {"context": "Anna {came} home.", "question": "Who came?"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if asks_for_text(kind)])
def test_the_default_prompt_is_one_that_a_user_could_give(kind):
    assert make_prompt(kind) == make_prompt(kind, default_template(kind))


def test_the_kinds_with_prompts_are_those_whose_answers_can_be_written():
    assert {name for name in KINDS if asks_for_text(name)} == {
        name for name, kind in KINDS.items() if "text" in kind.formulations.values()
    }


def test_a_prompt_of_the_user_holds_the_texts_of_a_row_as_they_are():
    prompt = make_prompt("question-answering", "{{json}} {question}\n\n{context}!")
    assert prompt.render(ROW) == "{json} Who came?\n\nAnna {came} home.!"


def test_a_frame_with_braces_does_not_become_a_field():
    prompt = make_prompt("question-answering").within("{{ user }}<", ">{")
    assert prompt.render(ROW) == "{{ user }}<" + make_prompt("question-answering").render(ROW) + ">{"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{context}", "`{question}` is missing"),
        ("no field at all", "`{context}` is missing, `{question}` is missing"),
        ("{passage} {context} {question}", "`{passage}` is unknown"),
        ("{context} {question} {question}", "`{question}` is there 2 times"),
        ("{context.__class__} {context} {question}", "`{context.__class__}` is unknown"),
        ("{context:>9} {context} {question}", "`{context:>9}` is unknown"),
        ("{context!r} {context} {question}", "`{context!r}` is unknown"),
        ("{} {context} {question}", "`{}` is unknown"),
        ("{context} {question", "braces of the text itself are doubled"),
        ("{context} {question} }", "braces of the text itself are doubled"),
    ],
)
def test_a_wrong_prompt_is_one_error_that_names_what_is_known(template, reason):
    with pytest.raises(UsageError) as caught:
        make_prompt("question-answering", template)
    message = str(caught.value)
    assert reason in message
    assert "`{context}`, `{question}`" in message
    assert repr(template) in message


def test_a_prompt_for_a_task_of_labels_is_refused():
    with pytest.raises(UsageError, match="not for `text-classification`; leave it out"):
        make_prompt("text-classification", "{text}")


@pytest.mark.parametrize(
    ("kind", "texts", "pairs"), [("question-answering", ["a?"], ["b"]), ("text-generation", ["a"], None)]
)
def test_rows_have_the_fields_of_their_prompts(kind, texts, pairs):
    assert tuple(rows_of(kind, texts, pairs)[0]) == fields_of(kind)
