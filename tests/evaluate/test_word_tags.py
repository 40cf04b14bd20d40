"""Tags of words: trained, scored, exported, for every family of models."""

import json
import random

import pytest
import torch
from tiny_models import GOOD, NEUTRAL
from transformers import AutoModelForTokenClassification, AutoTokenizer

from xautolm.evaluate.formulations.tokens import FORMULATION
from xautolm.evaluate.inference import export_model, predict_with_model
from xautolm.evaluate.job_folder import DivergedError
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import model_spec

NAMES = ["B-X", "I-X", "O"]
LEARNED = {"epochs": 4, "learning_rate": 1e-2, "max_length": 64}


def sentence(rng):
    """Words, some of them spelled, and their tags: an entity is a good word, with `yo` where that follows."""
    words, tags = [], []
    for _ in range(rng.randrange(3, 7)):
        if rng.random() < 0.4:
            words.append(rng.choice(GOOD))
            tags.append(0)
            if rng.random() < 0.5:
                words.append("yo")
                tags.append(1)
        words.append(rng.choice([*NEUTRAL, "xq"]))
        tags.append(2)
    return words, tags


@pytest.fixture
def make(make_job, tmp_path):
    def run(model, method="full", *, rows=None, **params):
        found = {"kind": "token-classification", "names": NAMES}
        for split, n in (("train", 64), ("validation", 32)):
            rng = random.Random(split)
            made = rows or [sentence(rng) for _ in range(n)]
            words = [row for row, _ in made]
            texts = {"texts": [" ".join(row) for row in words], "pairs": None, "words": words}
            (tmp_path / "data" / f"{split}.json").write_text(json.dumps(texts))
            found[split] = [tags for _, tags in made]
        (tmp_path / "data" / "labels.json").write_text(json.dumps(found))
        spec, folder = make_job(model, method, **{**LEARNED, **params})
        return {**spec, "kind": "token-classification"}, folder

    return run


@pytest.mark.parametrize(
    ("name", "method"),
    [("bert", "full"), ("bert", "lora"), ("bert", "partial"), ("roberta", "full"), ("gpt2", "full"), ("t5", "full")],
)
def test_entities_are_learned(make, tiny_model, name, method):
    longer = {} if method == "full" and name != "t5" else {"epochs": 8}
    result = evaluate_pipeline(*make(tiny_model(name), method, **longer))

    assert set(result["scores"]) == {"f1", "precision", "recall", "accuracy"}
    assert result["scores"]["f1"] > 0.9
    assert result["curve"][0][2] <= result["curve"][-1][2]


def test_what_was_learned_by_heart_is_said_exactly(make, tiny_bert):
    rng = random.Random(0)
    rows = [(rng.sample([*NEUTRAL, *GOOD], 3), [rng.randrange(3) for _ in range(3)]) for _ in range(32)]
    result = evaluate_pipeline(*make(tiny_bert, rows=rows, epochs=20))

    assert result["scores"]["accuracy"] > 0.98


def test_words_beyond_the_first_window_are_learned_and_predicted(make, tiny_bert):
    rng = random.Random(0)
    rows = []
    for _ in range(16):
        words, tags = zip(*(pair for _ in range(5) for pair in zip(*sentence(rng), strict=True)), strict=True)
        rows.append((list(words), list(tags)))
    result = evaluate_pipeline(*make(tiny_bert, rows=rows, max_length=16, epochs=5))

    assert result["scores"]["accuracy"] > 0.95


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_an_exported_model_predicts_with_plain_transformers(make, tiny_model, tmp_path, name):
    spec, folder = make(tiny_model(name), epochs=1)
    evaluate_pipeline(spec, folder)
    target = tmp_path / "model"
    export_model(
        {**spec, "checkpoint": str(folder.path / "checkpoint"), "labels": NAMES, "target": str(target)}, folder
    )
    asked = {"model_folder": str(target), "rows": str(tmp_path / "data" / "validation.json"), "device": "cpu"}
    job = {**asked, "kind": "token-classification", "family": spec["model"]["family"]}

    predict_with_model(job, folder)
    ours = json.loads((folder.path / "predictions.json").read_text())
    predict_with_model(job, folder)
    assert json.loads((folder.path / "predictions.json").read_text()) == ours

    model = AutoModelForTokenClassification.from_pretrained(target).eval()
    tokenizer = AutoTokenizer.from_pretrained(target)
    assert [model.config.id2label[i] for i in range(3)] == NAMES
    words = json.loads((tmp_path / "data" / "validation.json").read_text())["words"]
    for row, tags in zip(words, ours, strict=True):
        encoded = tokenizer(" ".join(row), return_tensors="pt", return_offsets_mapping=True)
        spans = encoded.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            best = model(**encoded).logits[0].argmax(-1).tolist()
        starts = [len(" ".join(row[:i])) + (i > 0) for i in range(len(row))]
        expected = [next(tag for tag, (a, b) in zip(best, spans, strict=True) if a <= start < b) for start in starts]
        assert tags == expected


def test_rare_tags_can_weigh_more(make, tiny_bert):
    spec, _ = make(tiny_bert, class_weighting=True)
    data = FORMULATION.prepare(spec, model_spec(spec), spec["params"])
    loss = FORMULATION.loss(data, spec["params"], torch.device("cpu"))

    inside, outside = (float(loss.weight_of(torch.tensor([[tag]]))) for tag in (1, 2))
    assert inside > 2 * outside


def test_a_share_of_the_rows_is_a_share_of_the_windows(make, tiny_bert):
    spec, _ = make(tiny_bert, train_fraction=0.25)
    data = FORMULATION.prepare(spec, model_spec(spec), spec["params"])

    assert len(FORMULATION.examples(data)) == len(data.train_rows) < 24


def test_outputs_that_are_not_finite_end_the_trial(make, tiny_bert):
    spec, _ = make(tiny_bert)
    data = FORMULATION.prepare(spec, model_spec(spec), spec["params"])
    module = FORMULATION.load_model(model_spec(spec), spec["params"], 3, 0.0)
    with torch.no_grad():
        module.classifier.bias.fill_(float("nan"))
    with pytest.raises(DivergedError):
        FORMULATION.predict(module, data, torch.device("cpu"), [0, 1], n_at_once=2)


def test_rows_can_be_predicted_in_any_order(make, tiny_bert):
    spec, _ = make(tiny_bert, max_length=16)
    data = FORMULATION.prepare(spec, model_spec(spec), spec["params"])
    module = FORMULATION.load_model(model_spec(spec), spec["params"], 3, 0.0)
    everything = FORMULATION.predict(module, data, torch.device("cpu"), n_at_once=8)

    assert [len(tags) for tags in everything] == [len(tags) for tags in data.targets["validation"]]
    chosen = [7, 2, 30]
    assert FORMULATION.predict(module, data, torch.device("cpu"), chosen, n_at_once=2) == [
        everything[i] for i in chosen
    ]
