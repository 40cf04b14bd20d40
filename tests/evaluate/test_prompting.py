"""Prompts and answers as tokens: cut where they may be, framed as chats, ended as models expect."""

import pytest
from transformers import AutoTokenizer

from xautolm.evaluate.job_folder import InvalidPipelineError
from xautolm.evaluate.prompting import make_scribe
from xautolm.tasks.prompts import make_prompt

DECODERS = ("gpt2", "llama", "qwen3", "gemma3_text", "phi3")
WRITERS = (*DECODERS, "t5", "bart")
CONTEXT = "the film was good today and the plot was a very nice plot for the happy actor yes no maybe"
QUESTION = "was the river train ugly?"
ROWS = [{"context": CONTEXT, "question": QUESTION}, {"context": "good film", "question": QUESTION}]


@pytest.fixture
def scribe_of(tiny_model):
    def make(name, template=None):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model(name))
        return make_scribe(tokenizer, make_prompt("question-answering", template), is_decoder=name in DECODERS)

    return make


def text_of(scribe, ids):
    return scribe.tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", WRITERS)
def test_the_passage_is_cut_and_the_question_survives(scribe_of, name):
    scribe = scribe_of(name)
    whole = [len(ids) for ids in scribe.read(ROWS, 1000, 1000)]
    for budget in range(whole[1], whole[0]):
        long, short = scribe.read(ROWS, budget, 1000)
        assert len(long) <= budget
        assert len(long) >= budget - 4  # nothing more is cut than has to be, up to what one word is spelled in
        assert QUESTION in text_of(scribe, long)
        assert "Answer:" in text_of(scribe, long)
        assert len(short) <= budget
        kept = text_of(scribe, long).split("Context: ")[1].split("Question:")[0].strip()
        assert CONTEXT.startswith(kept)


@pytest.mark.parametrize("name", WRITERS)
def test_a_question_longer_than_the_budget_keeps_all_of_itself_and_none_of_the_passage(scribe_of, name):
    scribe = scribe_of(name)
    [ids] = scribe.read(ROWS[:1], 3, 1000)
    assert QUESTION in text_of(scribe, ids)
    assert CONTEXT[:8] not in text_of(scribe, ids)
    [shortest] = scribe.read(ROWS[:1], 3, 10)
    assert shortest == ids[-10:]


def test_the_order_of_the_template_does_not_change_what_is_cut(scribe_of):
    scribe = scribe_of("llama", "{question} | {context} | yes")
    [ids] = scribe.read(ROWS[:1], 60, 1000)
    assert len(ids) <= 60
    assert text_of(scribe, ids).startswith(f"{QUESTION} | {CONTEXT[:4]}")
    assert text_of(scribe, ids).endswith(" | yes")


def test_prompts_do_not_depend_on_the_rows_beside_them(scribe_of):
    scribe = scribe_of("qwen3")
    together = list(scribe.read(ROWS * 700, 60, 1000))
    alone = [next(scribe.read([row], 60, 1000)) for row in ROWS]
    assert together == alone * 700


def test_an_instruction_model_is_asked_in_its_chat(scribe_of):
    scribe = scribe_of("qwen3")
    [ids] = scribe.read(ROWS[1:], 1000, 1000)
    asked = make_prompt("question-answering").render(ROWS[1])
    chat = [{"role": "user", "content": asked}]
    expected = scribe.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert scribe.tokenizer.decode(ids) == expected
    assert ids.count(scribe.end) == 1  # of the user's turn: the model's is still to be written


def test_a_chat_that_has_no_room_for_a_message_is_left_out(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("qwen3"))
    tokenizer.chat_template = "{{ messages[0]['content'] | upper }}"
    scribe = make_scribe(tokenizer, make_prompt("question-answering"), is_decoder=True)
    assert scribe.prompt == make_prompt("question-answering")
    assert scribe.adds_special


@pytest.mark.parametrize("name", WRITERS)
def test_an_answer_ends_once_and_is_read_back_as_it_was(scribe_of, name):
    scribe = scribe_of(name)
    answers = ["the good film", " 42. ", "", "a"]
    for answer, ids in zip(answers, scribe.write(answers), strict=True):
        assert ids[-1] == scribe.end
        assert ids.count(scribe.end) == 1
        assert scribe.decode([*ids, 5, 6, 7]) == answer.strip()


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "qwen3"])  # which begins a line in a chat
def test_an_answer_continues_its_prompt(scribe_of, name):
    scribe = scribe_of(name, "yes {context} {question} the answer is")
    [prompt] = scribe.read(ROWS[1:], 1000, 1000)
    [answer] = scribe.write(["good film"])
    assert text_of(scribe, [*prompt, *answer]).strip().endswith("the answer is good film")


@pytest.mark.parametrize("name", DECODERS)
def test_no_prompt_of_a_decoder_ends_with_the_end_token(scribe_of, name):
    scribe = scribe_of(name)
    assert all(ids[-1] != scribe.end for ids in scribe.read(ROWS, 1000, 1000))


def test_a_tokenizer_that_ends_texts_by_itself_does_not_end_prompts(tiny_model):
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(tiny_model("llama"))
    end = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    scribe = make_scribe(tokenizer, make_prompt("question-answering"), is_decoder=True)
    [ids] = scribe.read(ROWS[1:], 1000, 1000)
    assert scribe.end not in ids


def test_a_model_that_cannot_end_a_text_is_an_invalid_pipeline(scribe_of):
    scribe = scribe_of("llama")
    scribe.tokenizer.eos_token = None
    with pytest.raises(InvalidPipelineError, match="no token for the end"):
        scribe.write(["yes"])
