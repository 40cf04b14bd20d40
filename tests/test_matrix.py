"""Every kind of task with every family of models and every method, trained as a trial trains it.

In each cell the loss falls, only what the method trains changes, and the model that is built again from its checkpoint
predicts the same. What is no cell is refused by the space. The fast tests hold every method on every family for one
kind, and every kind on every family with `full` and `lora`; the others, and every architecture, are slow.
"""

import json
import random
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_families import TINY
from tiny_models import BAD, GOOD, NEUTRAL

from xautolm import registry
from xautolm.errors import ModelError
from xautolm.evaluate import training
from xautolm.evaluate.formulations import formulation_of
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.metrics import task_scores
from xautolm.evaluate.rescue import rows_per_prediction
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.classifier import load_trainable_state
from xautolm.methods.method import Facts
from xautolm.methods.structure import head_parameters
from xautolm.prior.encoding import tree_of_space
from xautolm.search.candidates import draw
from xautolm.space.catalogue import read_model
from xautolm.space.families import fitted_to
from xautolm.space.params import Space
from xautolm.suitability import methods_for, suitable_models
from xautolm.tasks import KINDS, why_unsupported

METHODS = ("full", "partial", "lora", "head")
GRADIENT = {
    **{"batch_size": 8, "epochs": 4, "warmup_ratio": 0.06, "weight_decay": 0.01},
    **{"dropout": 0.0, "train_fraction": 1.0, "max_length": 40},
}
PARAMS = {
    "full": GRADIENT | {"learning_rate": 4e-3},
    "partial": GRADIENT | {"learning_rate": 1e-2, "n_layers": 1},
    "lora": GRADIENT | {"learning_rate": 1e-2, "lora_r": 8, "lora_alpha_ratio": 2, "lora_dropout": 0.0},
    "head": {"c": 10.0, "train_fraction": 1.0, "max_length": 40},
}
N_TRAIN, N_VALIDATION = 32, 12
#: One architecture of each family.
USUAL = {"encoder": "bert", "decoder": "llama", "encoder-decoder": "t5"}
#: Random post-norm encoders that are read by their first token alone learn slowly.
SLOW_LEARNERS = {"distilbert", "roberta", "albert"}
NAMES = {
    "text-classification": ["bad", "good"],
    "multi-label": ["bad", "good", "plot"],
    "token-classification": ["O", "B-X", "I-X"],
}


def cells():
    """(kind, name of a tiny model, method) of all that is supported, the rarely run ones marked slow."""
    found = []
    for kind in KINDS:
        for name, family in TINY.items():
            for method in METHODS:
                trains = registry.resolve("methods", method).trains_by_gradient
                model_type = "t5" if name == "flan-t5" else name
                if why_unsupported(kind, family, trains_by_gradient=trains, model_type=model_type) is not None:
                    continue
                is_usual = name == USUAL[family]
                is_fast = is_usual and (method in {"full", "lora"} or kind == "text-classification")
                if is_fast or is_usual or method in {"full", "lora"}:
                    found.append(pytest.param(kind, name, method, marks=[] if is_fast else [pytest.mark.slow]))
    return found


def sentence(rng, *, good):
    return " ".join([rng.choice(GOOD if good else BAD), *rng.choices(NEUTRAL, k=3)])


def write_rows(kind, folder):
    """Rows that a tiny model can learn something from, in the form in which trials read them."""
    rng = random.Random(0)
    folder.mkdir()
    targets = {"kind": kind, "names": NAMES.get(kind, [])}
    for split, n in (("train", N_TRAIN), ("validation", N_VALIDATION)):
        texts = [sentence(rng, good=bool(i % 2)) for i in range(n)]
        words = [text.split() for text in texts]
        rows = {"texts": texts, "pairs": None}
        if kind == "text-classification":
            targets[split] = [i % 2 for i in range(n)]
        elif kind == "multi-label":
            targets[split] = [[i % 2, *([2] if "plot" in w else [])] for i, w in enumerate(words)]
        elif kind == "text-regression":
            targets[split] = [3.0 + 2.0 * (i % 2) + 0.1 * w.count("plot") for i, w in enumerate(words)]
        elif kind == "token-classification":
            rows["words"] = words
            targets[split] = [[1, *(2 if one == "plot" else 0 for one in w[1:])] for w in words]
        elif kind == "question-answering":
            rows |= {"texts": ["very good?"] * n, "pairs": texts}
            targets[split] = [[{"text": w[0], "start": 0}] for w in words]
        else:
            targets[split] = [[{"text": w[0], "start": None}] for w in words]
        (folder / f"{split}.json").write_text(json.dumps(rows))
    (folder / "labels.json").write_text(json.dumps(targets))


@pytest.fixture
def run_cell(tmp_path, tiny_model, monkeypatch):
    """Runs a trial; returns its job, its result, the losses of its steps, and names: (trained, changed)."""

    def run(kind, name, method):
        write_rows(kind, tmp_path / "data")
        family = TINY[name]
        model = fitted_to(read_model(tiny_model(name), name), KINDS[kind].formulations[family])
        spec = {
            **{"folder": str(tmp_path), "data": str(tmp_path / "data"), "cache": str(tmp_path / "cache")},
            **{"device": "cpu", "seed": 1, "data_seed": 0, "kind": kind, "model": asdict(model)},
            "method_target": registry.target("methods", method),
            "params": {"pooling": model.poolings[0], **PARAMS[method]}
            | ({"epochs": 25} if name in SLOW_LEARNERS else {}),
        }
        losses, trained, changed = [], set(), set()

        class Watched(training.BatchTrainer):
            def compute_loss(self, *args, **options):
                loss = super().compute_loss(*args, **options)
                losses.append(float(loss.detach()))
                return loss

            def train(self):
                before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
                trained.update(n for n, p in self.model.named_parameters() if p.requires_grad)
                done = super().train()
                changed.update(n for n, p in self.model.named_parameters() if not torch.equal(p, before[n]))
                return done

        monkeypatch.setattr(training, "BatchTrainer", Watched)
        result = training.evaluate_pipeline(spec, JobFolder(tmp_path))
        return spec, result, losses, (trained, changed)

    return run


def rebuilt_scores(spec):
    """Scores of the model that the checkpoint and the pretrained weights make, with another fresh head before."""
    torch.manual_seed(99)
    model, params = model_spec(spec), spec["params"]
    formulation = formulation_of(spec["kind"], model.family)
    data = formulation.prepare(spec, model, params)
    method = registry.load_target(spec["method_target"])
    module = method.prepare(formulation.load_model(model, params, len(data.names), 0.0), params)
    if not method.trains_by_gradient:
        for parameter in head_parameters(module):
            parameter.requires_grad_(True)
    state = load_file(f"{spec['folder']}/checkpoint/trained.safetensors")
    assert state.keys() == {n for n, p in module.named_parameters() if p.requires_grad}
    load_trainable_state(module, state)
    if spec["kind"] == "text-regression":  # numbers are on their own scale in a checkpoint
        data = replace(data, shift=0.0, scale=1.0)
    how = {"n_at_once": rows_per_prediction(params)}
    predictions = formulation.predict(module, data, torch.device("cpu"), **how)
    return task_scores(data.kind, data.targets["validation"], predictions, data.names)


@pytest.mark.parametrize(("kind", "name", "method"), cells())
def test_a_cell_learns_only_with_what_it_trains_and_is_rebuilt_from_its_checkpoint(kind, name, method, run_cell):
    spec, result, losses, (trained, changed) = run_cell(kind, name, method)
    if method != "head":
        part = len(losses) // 4
        assert np.mean(losses[-part:]) < 0.95 * np.mean(losses[:part])
        assert changed
        assert changed <= trained
    assert set(result["scores"]) == set(KINDS[kind].metrics)
    exact = kind != "text-regression"
    assert rebuilt_scores(spec) == (result["scores"] if exact else pytest.approx(result["scores"], abs=1e-4))


@pytest.mark.parametrize("kind", KINDS)
def test_the_space_holds_the_supported_cells_and_no_other(kind, tiny_model):
    every = [read_model(tiny_model(name), name) for name in TINY]
    models, dropped = suitable_models(every, kind)
    by_name = {model.name: model for model in models}
    parts = [
        registry.resolve("methods", name).space(Facts(able, (16, 32), 100, kind))
        for name, able in methods_for(None, models, kind).items()
    ]
    space = Space(models=by_name, methods={part.method: part for part in parts})

    def reason(model, method):
        trains = registry.resolve("methods", method).trains_by_gradient
        return why_unsupported(kind, model.family, trains_by_gradient=trains, model_type=model.model_type)

    offered = {(model, part.method) for part in parts for model in part.models}
    assert offered == {(m.name, method) for m in every for method in METHODS if reason(m, method) is None}
    assert {item.what for item in dropped} == {model.name for model in every if reason(model, "full")}
    assert all(item.reason for item in dropped)
    drawn = draw(tree_of_space(space), np.random.default_rng(0), 300)
    assert {(point["model"], point["method"]) for point in drawn} <= offered
    assert {point["method"] for point in drawn} == set(space.methods)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("text-generation", "bert", "an encoder writes no text"),
        ("token-classification", "bart", "no `bart` with a head for `token-classification`"),
        ("token-classification", "gemma3_text", "no `gemma3_text` with a head"),
    ],
)
def test_a_model_without_a_head_for_the_task_is_refused_by_name(kind, name, said, tiny_model):
    with pytest.raises(ModelError, match=said):
        suitable_models([read_model(tiny_model(name), name)], kind)
