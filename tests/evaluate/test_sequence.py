"""Label sets and numbers as answers to whole texts: training, the head method, export, baselines."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from xautolm.evaluate.baselines import score_baseline
from xautolm.evaluate.formulations.sequence import FORMULATION
from xautolm.evaluate.inference import export_model, predict_with_model
from xautolm.evaluate.job_folder import DivergedError, JobFolder
from xautolm.evaluate.loss import BinaryCrossEntropy, SquaredError, positive_weights
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import read_targets

WORDS = ("apple", "river", "stone")
KINDS = ("multi-label", "text-regression")


def rows(n, seed):
    """Texts of three words that may occur, which of them do, and a number that they add up to."""
    rng = random.Random(seed)
    has = [[i for i in range(3) if rng.random() < 0.5] for _ in range(n)]
    texts = [" ".join(["the", *(WORDS[i] for i in labels), "film"]) for labels in has]
    return texts, has, [1000.0 + 300.0 * (0 in labels) - 200.0 * (2 in labels) for labels in has]


@pytest.fixture
def make(make_job, tmp_path, tiny_bert):
    def run(kind, method, *, n_train=96, **params):
        data = tmp_path / "data"
        found = {"kind": kind, "names": list(WORDS) if kind == "multi-label" else []}
        for split, n in (("train", n_train), ("validation", 32)):
            texts, has, numbers = rows(n, split)
            (data / f"{split}.json").write_text(json.dumps({"texts": texts, "pairs": None}))
            found[split] = has if kind == "multi-label" else numbers
        (data / "labels.json").write_text(json.dumps(found))
        spec, folder = make_job(tiny_bert, method, **params)
        return {**spec, "kind": kind}, folder

    return run


@pytest.mark.parametrize("method", ["head", "full", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_label_sets_and_numbers_are_learned(make, kind, method):
    longer = {"c": 100.0} if method == "head" else {"epochs": 12, "learning_rate": 1e-2}
    result = evaluate_pipeline(*make(kind, method, **longer))
    scores = result["scores"]
    if kind == "multi-label":
        assert set(scores) == {"f1", "micro_f1", "accuracy"}
        assert scores["f1"] > 0.9
    else:
        assert set(scores) == {"pearson", "spearman", "rmse"}
        assert scores["pearson"] > 0.9
        assert scores["rmse"] < 150.0  # the numbers spread over 500
    assert result["curve"][-1][2] == pytest.approx(next(iter(scores.values())), abs=0.2)


@pytest.mark.parametrize("method", ["head", "full", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_predicts_with_plain_transformers(make, kind, method, tmp_path):
    spec, folder = make(kind, method, **({} if method == "head" else {"epochs": 2}))
    result = evaluate_pipeline(spec, folder)
    names = read_targets(tmp_path / "data")["names"]
    target = tmp_path / "model"
    fields = {"checkpoint": str(folder.path / "checkpoint"), "labels": names, "target": str(target)}
    export_model({**spec, **fields}, folder)
    texts, _, numbers = rows(32, "validation")
    (folder.path / "rows.json").write_text(json.dumps({"texts": texts, "pairs": None}))
    asked = {"model_folder": str(target), "rows": str(folder.path / "rows.json"), "device": "cpu", "family": "encoder"}
    predict_with_model({**asked, "kind": kind}, folder)
    ours = json.loads((folder.path / "predictions.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(target).eval()
    tokenizer = AutoTokenizer.from_pretrained(target)
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts]).numpy()
    if kind == "multi-label":
        assert model.config.problem_type == "multi_label_classification"
        assert ours == [np.flatnonzero(row > 0).tolist() for row in logits]
        assert np.load(folder.path / "probabilities.npy").shape == (32, 3)
    else:
        assert model.config.problem_type == "regression"
        assert ours == pytest.approx(logits[:, 0].tolist(), rel=1e-3)
        rmse = float(np.sqrt(np.mean((np.asarray(ours) - numbers) ** 2)))
        assert rmse == pytest.approx(result["scores"]["rmse"], abs=5.0)  # of 500; scored in bf16
        assert not (folder.path / "probabilities.npy").exists()


def test_numbers_are_learned_on_a_scale_that_the_head_undoes(make, tmp_path):
    spec, folder = make("text-regression", "full", epochs=1)
    result = evaluate_pipeline(spec, folder)
    saved = load_file(folder.path / "checkpoint" / "trained.safetensors")
    assert saved["classifier.bias"].item() == pytest.approx(1000.0, abs=300.0)
    assert result["scores"]["rmse"] < 400.0


def test_losses_of_micro_batches_add_up_to_that_of_the_batch():
    torch.manual_seed(0)
    logits, has = torch.randn(6, 3), torch.randint(0, 2, (6, 3)).float()
    numbers, values = torch.randn(6), torch.randn(6, 1)
    for loss, outputs, labels in (
        (BinaryCrossEntropy(torch.tensor([1.0, 2.0, 5.0])), logits, has),
        (SquaredError(), values, numbers),
    ):
        whole = loss({"logits": outputs}, labels)
        total = loss.weight_of(labels)
        parts = [loss({"logits": outputs[p]}, labels[p], total) for p in (slice(0, 2), slice(2, 6))]
        assert torch.stack(parts).sum() == pytest.approx(float(whole))
        with pytest.raises(DivergedError):
            loss({"logits": outputs * float("nan")}, labels)


def test_rare_labels_weigh_more_within_bounds():
    weights = positive_weights([[0], [0, 1], [0], [0]] + [[]] * 96, 3)
    assert weights.tolist() == [10.0, 10.0, 10.0]
    assert positive_weights([[0], []], 1).tolist() == [1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["majority", "tfidf_logreg"])
def test_baselines_know_label_sets_and_numbers(make, kind, name, tmp_path):
    make(kind, "full")
    job = tmp_path / "baseline"
    job.mkdir()
    params = {"c": 10.0, "max_features": 100, "train_fraction": 1.0}
    spec = {"baseline": name, "data": str(tmp_path / "data"), "params": params, "data_seed": 0}
    scores = score_baseline(spec, JobFolder(job))["scores"]
    first = next(iter(scores.values()))
    assert first > 0.95 if name == "tfidf_logreg" else first < 0.7


def test_outputs_that_are_not_finite_end_the_trial(make, tmp_path):
    spec, _ = make("text-regression", "full")
    from xautolm.evaluate.trial_data import model_spec

    data = FORMULATION.prepare(spec, model_spec(spec), spec["params"])
    with pytest.raises(DivergedError):
        FORMULATION.decide(np.asarray([[np.nan]], dtype=np.float32), data)
