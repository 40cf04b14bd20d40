"""From a checkpoint to an exported folder to predictions: the same probabilities, whatever the texts are."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import LAYERS
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from xautolm import registry
from xautolm.evaluate.batches import collator_for, predict_logits
from xautolm.evaluate.inference import export_model, predict_with_model
from xautolm.evaluate.metrics import softmax
from xautolm.evaluate.tokens import load_rows, tokenise
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_classifier, load_trainable_state
from xautolm.methods.readers import load_reader, spelled
from xautolm.methods.structure import head_parameters
from xautolm.space.catalogue import read_model

TEXTS = ["good film", "", "bad " * 40, "the plot was ugly and SAD!", " \t\n", "zebra", "happy today", "Größe 漢字 🙂"]
# No empty second texts: training drops such rows, and prediction reads them as `transformers.pipeline` does.
PAIRS = ["nice", "poor " * 40, "bad", "train", "was", "x", "good", "the"]


@pytest.fixture
def export(make_job, tmp_path):
    """Evaluates a pipeline and exports it; returns the job's spec and the exported folder."""

    def run(model, method, *, keep_layers=None, **params):
        spec, folder = make_job(model, method, **params)
        spec["model"] = asdict(read_model(model, model.name, keep_layers=keep_layers))
        evaluate_pipeline(spec, folder)
        target = tmp_path / f"model-{folder.path.name}"
        fields = {"checkpoint": str(folder.path / "checkpoint"), "labels": ["neg", "pos"], "target": str(target)}
        export_model({**spec, **fields}, folder)
        return spec, target

    return run


def predict(target, folder, texts, pairs):
    (folder.path / "rows.json").write_text(json.dumps({"texts": texts, "pairs": pairs}))
    rows = {"rows": str(folder.path / "rows.json"), "kind": "text-classification", "family": "encoder"}
    predict_with_model({"model_folder": str(target), "device": "cpu", **rows}, folder)
    names = json.loads((target / "config.json").read_text())["id2label"]
    return [names[str(i)] for i in range(len(names))], np.load(folder.path / "probabilities.npy")


def classifier_probabilities(spec, texts, pairs, folder):
    """What the trained classifier itself says in fp32, read from its checkpoint as the Trainer left it."""
    params = spec["params"]
    model = model_spec(spec)
    torch.manual_seed(99)
    module = load_classifier(model, params["pooling"], 2, 0.0)
    method = registry.load_target(spec["method_target"])
    module = method.prepare(module, params)
    if not method.trains_by_gradient:
        for parameter in head_parameters(module):
            parameter.requires_grad_(True)
    load_trainable_state(module, load_file(f"{spec['folder']}/checkpoint/trained.safetensors"))
    reader = load_reader(model)
    texts, pairs = (rows and spelled(rows, reader, model.family) for rows in (texts, pairs))
    tokenise(reader, texts, pairs, params["max_length"], folder)
    return softmax(predict_logits(module, load_rows(folder), collator_for(model), torch.device("cpu")))


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    monkeypatch.setattr("xautolm.evaluate.batches.has_bf16", lambda device: False)


@pytest.mark.parametrize(
    ("family", "pooling", "method", "pairs"),
    [
        *(("tiny_bert", "mean", method, None) for method in ("full", "lora", "head", "partial")),
        *(("tiny_distilbert", "native", method, None) for method in ("full", "lora", "head")),
        ("tiny_bert", "first", "full", None),
        ("tiny_bert", "first", "head", PAIRS),
        ("tiny_bert", "mean", "lora", PAIRS),
        ("tiny_distilbert", "native", "full", PAIRS),
    ],
)
def test_export_predicts_what_was_trained(export, request, tmp_path, make_job, family, pooling, method, pairs):
    model = request.getfixturevalue(family)
    spec, target = export(model, method, pooling=pooling, epochs=1)
    labels, found = predict(target, make_job(model, method)[1], TEXTS, pairs)
    assert labels == ["neg", "pos"]
    (tmp_path / "tokens").mkdir()
    expected = classifier_probabilities(spec, TEXTS, pairs, tmp_path / "tokens")
    assert np.abs(found - expected).max() < 1e-3
    assert found.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "method", "pairs"),
    [
        *[("t5", "lora", None), ("t5", "head", PAIRS), ("bart", "full", PAIRS), ("llama", "lora", None)],
        *[("qwen3", "partial", PAIRS), ("modernbert", "lora", PAIRS), ("deberta-v2", "full", None)],
    ],
)
def test_every_family_is_exported_as_it_was_trained(export, tiny_model, tmp_path, make_job, name, method, pairs):
    """Also where a text names the end of a sequence, and where rows are cut."""
    model = tiny_model(name)
    spec, target = export(model, method, epochs=1)
    texts = [*TEXTS[:-1], "good </s> film </s>"]
    _, found = predict(target, make_job(model, method)[1], texts, pairs)
    (tmp_path / "tokens").mkdir()
    assert np.abs(found - classifier_probabilities(spec, texts, pairs, tmp_path / "tokens")).max() < 1e-3


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_cut_encoder_is_exported_cut(export, tiny_bert, tmp_path, make_job, method):
    spec, target = export(tiny_bert, method, keep_layers=1, epochs=1)
    assert AutoConfig.from_pretrained(target).num_hidden_layers == 2  # one kept, one that takes the mean
    _, found = predict(target, make_job(tiny_bert, method)[1], TEXTS, None)
    (tmp_path / "tokens").mkdir()
    assert np.abs(found - classifier_probabilities(spec, TEXTS, None, tmp_path / "tokens")).max() < 1e-3


def test_the_folder_is_plain_hugging_face(export, tiny_bert):
    _, target = export(tiny_bert, "lora", pooling="mean", max_length=12, epochs=1)
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["num_hidden_layers"] == LAYERS + 1
    assert config["id2label"] == {"0": "neg", "1": "pos"}
    assert "auto_map" not in config
    tokenizer = AutoTokenizer.from_pretrained(target)
    assert tokenizer.model_max_length == 12
    assert len(tokenizer("good " * 100, truncation=True)["input_ids"]) == 12
    assert len(tokenizer("good " * 30)["input_ids"]) == 32  # the file's own truncation to 24 is gone
    assert (target / "model.safetensors").is_file()
    assert not list(target.glob("*.bin"))
    model = AutoModelForSequenceClassification.from_pretrained(target)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


def test_transformers_pipeline_gives_the_same_scores(export, tiny_bert, make_job):
    _, target = export(tiny_bert, "full", epochs=1)
    _, found = predict(target, make_job(tiny_bert, "full")[1], TEXTS, None)
    classify = pipeline("text-classification", model=str(target), truncation=True, top_k=None)
    for row, scores in zip(found, classify(TEXTS), strict=True):
        assert {s["label"]: s["score"] for s in scores} == pytest.approx({"neg": row[0], "pos": row[1]}, abs=1e-4)


def test_a_decoder_without_a_padding_token_is_exported_with_one(export, tiny_gpt2, tmp_path, make_job):
    spec, target = export(tiny_gpt2, "full", epochs=1)
    texts = [text for text in TEXTS if text.strip()]
    _, found = predict(target, make_job(tiny_gpt2, "full")[1], texts, None)
    (tmp_path / "tokens").mkdir()
    assert np.abs(found - classifier_probabilities(spec, texts, None, tmp_path / "tokens")).max() < 1e-3


@pytest.mark.parametrize("texts", [["", ""], ["", "good film"]])
def test_a_decoder_predicts_empty_texts_too(export, tiny_gpt2, make_job, texts):
    """Its tokenizer adds no special tokens, so that an empty text has no token at all."""
    _, target = export(tiny_gpt2, "full", epochs=1)
    _, found = predict(target, make_job(tiny_gpt2, "full")[1], texts, None)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)


def test_no_rows_give_no_predictions(export, tiny_bert, make_job):
    _, target = export(tiny_bert, "head")
    labels, found = predict(target, make_job(tiny_bert, "head")[1], [], None)
    assert (labels, found.shape) == (["neg", "pos"], (0, 2))


def test_probabilities_are_in_the_order_of_the_rows(export, tiny_bert, make_job):
    _, target = export(tiny_bert, "full", epochs=1)
    texts = [f"good {'film ' * (i % 7)}{i}" for i in range(70)]
    together = predict(target, make_job(tiny_bert, "full")[1], texts, None)[1]
    for i in (0, 1, 35, 69):
        alone = predict(target, make_job(tiny_bert, "full")[1], [texts[i]], None)[1]
        assert together[i] == pytest.approx(alone[0], abs=1e-5)
