"""Teaching models to write: the loss is that of the answers alone, and what is written is what the model would say."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from xautolm.evaluate.generation import AnswerLoss, TextCollator, greedy, write_answers
from xautolm.evaluate.job_folder import DivergedError

DECODERS = ("gpt2", "llama", "qwen3", "gemma3_text", "phi3")
WRITERS = (*DECODERS, "t5", "bart")
PROMPTS = [[20, 21, 22, 23, 24, 25, 26, 27], [30, 31], [40, 41, 42, 43], [50, 51, 52]]
ANSWERS = [[60, 2], [61, 62, 63, 64, 2], [2], [65, 66, 2]]


@pytest.fixture
def loaded(tiny_model):
    """A model in evaluation mode and its collator."""

    def load(name):
        auto = AutoModelForCausalLM if name in DECODERS else AutoModelForSeq2SeqLM
        model = auto.from_pretrained(tiny_model(name)).eval()
        model.generation_config = GenerationConfig()
        is_decoder = name in DECODERS
        return model, TextCollator(2, None if is_decoder else 0, with_positions=is_decoder, keeps_logits=is_decoder)

    return load


def examples(collator, rows):
    is_decoder = collator.start_id is None
    return [{"input_ids": PROMPTS[i] + ANSWERS[i] if is_decoder else PROMPTS[i], "labels": ANSWERS[i]} for i in rows]


def loss_of(model, collator, rows, total=None):
    batch = collator(examples(collator, rows))
    labels = batch.pop("labels")
    return AnswerLoss(is_decoder=collator.start_id is None)(model(**batch), labels, total)


def log_probabilities(model, collator, row):
    """Of the tokens of an answer, from one unpadded text and with all logits."""
    prompt, answer = PROMPTS[row], ANSWERS[row]
    if collator.start_id is None:
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    else:
        given = torch.tensor([[collator.start_id, *answer[:-1]]])
        logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=given).logits[0]
    return logits.log_softmax(-1)[range(len(answer)), answer]


@pytest.mark.parametrize("name", WRITERS)
def test_the_loss_is_the_mean_over_the_tokens_of_answers_whatever_the_padding(loaded, name):
    model, collator = loaded(name)
    with torch.inference_mode():
        expected = -torch.cat([log_probabilities(model, collator, row) for row in range(4)])
        assert float(loss_of(model, collator, range(4))) == pytest.approx(float(expected.mean()), rel=1e-4)
        alone = loss_of(model, collator, [1])
        beside = loss_of(model, collator, [1, 0], total=torch.tensor(5.0)) - loss_of(
            model, collator, [0], total=torch.tensor(5.0)
        )
    assert float(beside) == pytest.approx(float(alone), rel=1e-4)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_more_padding_than_a_batch_needs_changes_nothing(loaded, name):
    model, collator = loaded(name)
    loss = AnswerLoss(is_decoder=collator.start_id is None)
    batch = collator(examples(collator, range(4)))
    with torch.inference_mode():
        expected = loss(model(**{k: v for k, v in batch.items() if k != "labels"}), batch["labels"])
        side = (7, 0) if collator.start_id is None else (0, 7)
        values = {"input_ids": 2, "attention_mask": 0, "position_ids": 0, "labels": -100, "decoder_input_ids": 2}
        padded = {k: torch.nn.functional.pad(batch[k], side, value=v) for k, v in values.items() if k in batch}
        if collator.start_id is None:
            padded["logits_to_keep"] = padded["labels"].shape[1] + 1
        labels = padded.pop("labels")
        assert float(loss(model(**padded), labels)) == pytest.approx(float(expected), rel=1e-5)


def test_micro_batches_have_the_gradient_of_their_batch(loaded):
    model, collator = loaded("llama")
    weight = model.get_input_embeddings().weight
    loss_of(model, collator, range(4)).backward()
    expected, weight.grad = weight.grad.clone(), None
    total = torch.tensor(float(sum(map(len, ANSWERS))))
    for rows in ([0, 1], [2], [3]):
        loss_of(model, collator, rows, total).backward()
    assert torch.allclose(weight.grad, expected, atol=1e-6)


def test_the_end_is_learned_although_it_pads_too():
    collator = TextCollator(2, None, with_positions=True, keeps_logits=True)
    batch = collator(examples(collator, [0, 1]))
    assert batch["labels"].tolist() == [[-100, -100, -100, 60, 2], [61, 62, 63, 64, 2]]
    assert batch["input_ids"].tolist()[1] == [2, 2, 2, *PROMPTS[1], *ANSWERS[1]]
    assert batch["attention_mask"].sum(1).tolist() == [10, 7]
    assert batch["position_ids"].tolist()[1] == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert AnswerLoss(is_decoder=True).weight_of(batch["labels"]) == 7


def test_a_loss_that_is_not_finite_ends_the_trial(loaded):
    model, collator = loaded("llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = math.nan
    with pytest.raises(DivergedError, match="became nan"):
        loss_of(model, collator, [0])
    with pytest.raises(DivergedError, match="not a number"):
        write_answers(model, [[60, 20]], collator, settings(collator), str, n_at_once=4)


def settings(collator, n_new=6, end=-1):
    return greedy(n_new, end_id=end, pad_id=collator.pad_id, start_id=collator.start_id)


def most_probable(model, collator, prompt, n_new):
    """What the model writes, one unpadded text at a time and everything computed anew for each token."""
    written = [] if collator.start_id is None else [collator.start_id]
    for _ in range(n_new):
        if collator.start_id is None:
            logits = model(input_ids=torch.tensor([prompt + written])).logits
        else:
            logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([written])).logits
        written.append(int(logits[0, -1].argmax()))
    return written[-n_new:]


@pytest.mark.parametrize("name", WRITERS)
def test_batches_write_what_the_model_would_write_alone_and_nothing_of_the_prompt(loaded, name, monkeypatch):
    monkeypatch.setattr("xautolm.evaluate.generation.has_bf16", lambda device: False)
    model, collator = loaded(name)
    done = []
    written = write_answers(
        model,
        PROMPTS,
        collator,
        settings(collator),
        lambda ids: " ".join(map(str, ids)),
        n_at_once=3,
        report=lambda *progress: done.append(progress),
    )
    with torch.inference_mode():
        expected = [most_probable(model, collator, prompt, 6) for prompt in PROMPTS]
    assert written == [" ".join(map(str, ids)) for ids in expected]
    assert done == [(3, 4), (4, 4)]


def test_generation_ends_with_the_end_token_and_warns_of_nothing(loaded, caplog, monkeypatch, recwarn):
    model, collator = loaded("llama")
    steps = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *args, **kwargs: steps.append(1) or forward(*args, **kwargs))
    ends = most_probable(model, collator, PROMPTS[0], 1)[0]
    write_answers(model, PROMPTS[:1], collator, settings(collator, 50, end=ends), str, n_at_once=1)
    assert len(steps) == 2  # one of `most_probable`, one of the token that ended the text
    assert not caplog.records
    assert not recwarn.list


def test_an_exported_model_writes_in_32_bits_and_a_trial_in_16_where_there_are(loaded, monkeypatch):
    """Or plain transformers, which loads 32 bits, would write something else where two tokens are nearly as likely."""
    monkeypatch.setattr("xautolm.evaluate.generation.has_bf16", lambda device: True)
    model, collator = loaded("gpt2")
    seen = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for is_exact in (False, True):
        write_answers(model, PROMPTS[:1], collator, settings(collator, 1), str, n_at_once=1, is_exact=is_exact)

    assert seen == [torch.bfloat16, torch.float32]
