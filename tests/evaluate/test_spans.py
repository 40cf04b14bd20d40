"""Answers that stand in their contexts: trained, scored, exported."""

import json
import random

import numpy as np
import pytest
import torch
from tiny_models import BAD, NEUTRAL
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from xautolm.evaluate.formulations.contexts import NO_ANSWER, STARTS
from xautolm.evaluate.formulations.spans import FORMULATION
from xautolm.evaluate.inference import export_model, predict_with_model
from xautolm.evaluate.job_folder import DivergedError, InvalidPipelineError
from xautolm.evaluate.spotting import answer_form
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import model_spec

LEARNED = {"epochs": 5, "learning_rate": 1e-2, "max_length": 64}


def question(rng, *, n_words=6, share_without=0.0, with_start=True):
    """A question, a context whose one bad word (with `yo` where that follows) answers it, and the answer."""
    words = [rng.choice(NEUTRAL) for _ in range(n_words)]
    if rng.random() < share_without:
        return "what?", " ".join(words), []
    place = rng.randrange(n_words)
    answer = [rng.choice(BAD), *(["yo"] if rng.random() < 0.5 else [])]
    context = " ".join([*words[:place], *answer, *words[place:]])
    text = " ".join(answer)
    return "what?", context, [{"text": text, "start": context.index(text) if with_start else None}]


@pytest.fixture
def make(make_job, tmp_path):
    def run(model, method="full", *, rows=None, made=None, n=64, **params):
        found = {"kind": "question-answering", "names": []}
        for split in ("train", "validation"):
            rng = random.Random(split)
            own = rows or [question(rng, **(made or {})) for _ in range(n)]
            texts = {"texts": [q for q, _, _ in own], "pairs": [context for _, context, _ in own]}
            (tmp_path / "data" / f"{split}.json").write_text(json.dumps(texts))
            found[split] = [answers for _, _, answers in own]
        (tmp_path / "data" / "labels.json").write_text(json.dumps(found))
        spec, folder = make_job(model, method, **{**LEARNED, **params})
        return {**spec, "kind": "question-answering"}, folder

    return run


def prepared(made):
    spec, _ = made
    model = model_spec(spec)
    return FORMULATION.prepare(spec, model, spec["params"]), FORMULATION.load_model(model, spec["params"], 0, 0.0)


@pytest.mark.parametrize(("name", "method"), [("bert", "full"), ("bert", "lora"), ("roberta", "partial")])
def test_answers_are_learned(make, tiny_model, name, method):
    longer = {"epochs": 10} if method == "lora" else {}
    result = evaluate_pipeline(*make(tiny_model(name), method, **longer))

    assert set(result["scores"]) == {"f1", "exact_match"}
    assert result["scores"]["exact_match"] > 0.9
    assert result["curve"][0][2] <= result["curve"][-1][2]


def test_what_was_learned_by_heart_is_answered_exactly(make, tiny_bert):
    rng = random.Random(0)
    rows = []
    for _ in range(32):
        words = rng.sample([*NEUTRAL, *BAD], 4)
        answer = rng.choice(words)
        rows.append((rng.choice(NEUTRAL), " ".join(words), [{"text": answer, "start": " ".join(words).index(answer)}]))
    result = evaluate_pipeline(*make(tiny_bert, rows=rows, epochs=25))

    assert result["scores"]["exact_match"] > 0.95


def test_answers_are_found_in_any_window_and_without_positions(make, tiny_bert):
    made = {"n_words": 16, "with_start": False}
    result = evaluate_pipeline(*make(tiny_bert, made=made, n=48, max_length=16, epochs=4))

    assert result["scores"]["exact_match"] > 0.9


def test_questions_without_answer_are_told_from_others(make, tiny_bert):
    result = evaluate_pipeline(*make(tiny_bert, made={"share_without": 0.5}))

    assert result["scores"]["exact_match"] > 0.9


def test_answers_that_stand_nowhere_are_not_trained_on_but_scored(make, tiny_bert):
    rng = random.Random(0)
    rows = [question(rng, with_start=False) for _ in range(6)]
    rows += [("how many?", "the film was good", [{"text": "17", "start": None}]), ("who?", "the film", [])]
    data, module = prepared(make(tiny_bert, rows=rows))

    assert list(data.train_rows) == [0, 1, 2, 3, 4, 5, 7]
    examples = FORMULATION.examples(data)
    assert len(examples) == 7
    assert examples[6]["labels"][NO_ANSWER] & STARTS  # unanswerable
    assert len(FORMULATION.predict(module, data, torch.device("cpu"), n_at_once=4)) == 8


def test_data_without_any_answer_in_a_context_are_refused(make, tiny_bert):
    with pytest.raises(InvalidPipelineError, match="none of 4 training rows"):
        prepared(make(tiny_bert, rows=[("how many?", "the film", [{"text": "17", "start": None}])] * 4))


def test_where_every_question_has_an_answer_one_is_always_given(make, tiny_bert):
    data, module = prepared(make(tiny_bert, n=16))
    with torch.no_grad():  # sure that nothing is there
        module.qa_outputs.weight.zero_()
        module.bert.embeddings.token_type_embeddings.weight[0] += 50

    answers = FORMULATION.predict(module, data, torch.device("cpu"), n_at_once=8)

    assert all(answers)
    assert all(answer in context for answer, context in zip(answers, data.contexts, strict=True))


def test_rows_can_be_predicted_in_any_order(make, tiny_bert):
    data, module = prepared(make(tiny_bert, made={"n_words": 20}, n=16, max_length=16))
    everything = FORMULATION.predict(module, data, torch.device("cpu"), n_at_once=8)

    assert len(data.windows["validation"].rows) > 32
    chosen = [7, 2, 12]
    assert FORMULATION.predict(module, data, torch.device("cpu"), chosen, n_at_once=2) == [
        everything[i] for i in chosen
    ]


@pytest.mark.parametrize("share_without", [0.0, 0.5])
def test_an_exported_model_predicts_with_plain_transformers(make, tiny_bert, tmp_path, share_without):
    spec, folder = make(tiny_bert, made={"share_without": share_without}, n=32, epochs=3)
    evaluate_pipeline(spec, folder)
    target = tmp_path / "model"
    fields = {"checkpoint": str(folder.path / "checkpoint"), "labels": [], "target": str(target)}
    notes = export_model({**spec, **fields}, folder)["notes"]
    (target / "xautolm.json").write_text(json.dumps({"notes": notes}))
    form = answer_form(json.loads((tmp_path / "data" / "labels.json").read_text())["train"])
    rows_file = tmp_path / "data" / "validation.json"
    job = {"model_folder": str(target), "rows": str(rows_file), "device": "cpu", "family": "encoder"}

    def predict():
        predict_with_model({**job, "kind": "question-answering"}, folder)
        return json.loads((folder.path / "predictions.json").read_text())

    ours = predict()
    assert predict() == ours
    assert ("" in ours) == (share_without > 0)
    rows = json.loads(rows_file.read_text())
    model, tokenizer = (
        AutoModelForQuestionAnswering.from_pretrained(target).eval(),
        AutoTokenizer.from_pretrained(target),
    )
    expected = [plain_answer(model, tokenizer, *row, form) for row in zip(rows["texts"], rows["pairs"], strict=True)]
    assert ours == expected


def plain_answer(model, tokenizer, asked, context, form):
    """The best span of a context that fits into one window, with transformers alone."""
    encoded = tokenizer(asked, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    is_context = np.array([part == 1 for part in encoded.sequence_ids(0)])
    with torch.inference_mode():
        outputs = model(**encoded)
    scores = np.add.outer(outputs.start_logits[0].numpy(), outputs.end_logits[0].numpy())
    spans = np.where(np.outer(is_context, is_context), np.triu(scores) - np.tril(np.full_like(scores, 1e9), -1), -1e9)
    start, end = np.unravel_index(spans.argmax(), spans.shape)
    if form.may_be_missing and scores[0, 0] > spans.max():
        return ""
    return context[offsets[start][0] : offsets[end][1]]


def test_outputs_that_are_not_finite_end_the_trial(make, tiny_bert):
    data, module = prepared(make(tiny_bert, n=8))
    with torch.no_grad():
        module.qa_outputs.bias.fill_(float("nan"))
    with pytest.raises(DivergedError):
        FORMULATION.predict(module, data, torch.device("cpu"), [0], n_at_once=1)
