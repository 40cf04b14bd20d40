"""Answers that a model writes: memorised by tiny models, exported, and written again with plain transformers."""

import json
import random
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_families import TINY
from tiny_models import WORDS
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from xautolm import registry
from xautolm.evaluate import training
from xautolm.evaluate.formulations.text import FORMULATION
from xautolm.evaluate.inference import export_model, predict_with_model
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import model_spec
from xautolm.methods.language_model import load_language_model
from xautolm.model_card import usage_of_writer
from xautolm.space.catalogue import read_model
from xautolm.tasks.prompts import make_prompt

N_ROWS = 32
GRADIENT = {"learning_rate": 1e-2, "batch_size": 8, "warmup_ratio": 0.06, "weight_decay": 0.0, "dropout": 0.0}
LORA = {"lora_r": 16, "lora_alpha_ratio": 2, "lora_dropout": 0.0}
SHARED = {"max_length": 48, "train_fraction": 1.0, "class_weighting": False}


def write_questions(folder: Path) -> None:
    """Contexts, questions and answers of random words: nothing to understand, only to remember."""
    rng = random.Random(0)
    rows = {
        "texts": [" ".join(rng.sample(WORDS, 2)) + "?" for _ in range(N_ROWS)],
        "pairs": [" ".join(rng.choices(WORDS, k=8)) for _ in range(N_ROWS)],
    }
    answers = [[{"text": " ".join(rng.choices(WORDS, k=k)), "start": None}] for k in rng.choices((1, 2, 3), k=N_ROWS)]
    answers[3] = []  # a question that has no answer
    folder.mkdir()
    for split in ("train", "validation"):
        (folder / f"{split}.json").write_text(json.dumps(rows))
    targets = {"kind": "question-answering", "names": [], "train": answers, "validation": answers}
    # Short, so that half of each prompt is what tells the rows apart.
    (folder / "labels.json").write_text(json.dumps({**targets, "prompt": "{context} {question} yes"}))


@pytest.fixture
def make_job(tmp_path, tiny_model):
    """Makes the spec and the folder of an `evaluate` job that is to learn the questions by heart."""
    write_questions(tmp_path / "data")

    def make(name, method, **params):
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        path = tiny_model(name)
        spec = {
            "folder": str(folder),
            "device": "cpu",
            "seed": 1,
            "data_seed": 0,
            "kind": "question-answering",
            "data": str(tmp_path / "data"),
            "cache": str(tmp_path / "cache"),
            "model": asdict(replace(read_model(path, name), family=TINY[name])),
            "method_target": registry.target("methods", method),
            "params": {"pooling": "native", **SHARED, **GRADIENT, **LORA, **params},
        }
        return spec, JobFolder(folder)

    return make


def memorised(name, method, epochs, rate=1e-2, *, slow=False):
    return pytest.param(name, method, epochs, rate, id=f"{name}-{method}", marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize(
    ("name", "method", "epochs", "rate"),
    [
        memorised("gpt2", "full", 20),
        memorised("t5", "full", 40),
        memorised("gpt2", "lora", 40),
        memorised("bart", "lora", 40, slow=True),
        memorised("t5", "lora", 90, 5e-3, slow=True),
        *(memorised(name, "full", 30, slow=True) for name in ("llama", "qwen3", "gemma3_text", "phi3", "bart")),
        memorised("flan-t5", "full", 24, 5e-3, slow=True),
        *(memorised(name, "lora", 60, slow=True) for name in ("llama", "qwen3", "gemma3_text", "phi3")),
        *(memorised(name, "partial", 60, slow=True) for name in ("qwen3", "bart")),
    ],
)
def test_a_tiny_model_learns_answers_by_heart(make_job, name, method, epochs, rate):
    spec, folder = make_job(name, method, epochs=epochs, learning_rate=rate, n_layers=2)
    result = evaluate_pipeline(spec, folder)
    assert result["scores"]["f1"] >= 0.95
    assert set(result["scores"]) == {"f1", "exact_match"}
    assert result["curve"][0][2] < 0.6  # it was learned, not given away


@pytest.mark.parametrize(("name", "method"), [("llama", "lora"), ("t5", "full")])
def test_a_training_in_little_memory_learns_the_same(make_job, name, method, monkeypatch):
    monkeypatch.setattr(training, "has_bf16", lambda device: False)
    monkeypatch.setattr("xautolm.evaluate.generation.has_bf16", lambda device: False)
    states = []
    for rescued in ({}, {"micro_batch_size": 2, "gradient_checkpointing": True}):
        spec, folder = make_job(name, method, epochs=1, **rescued)
        evaluate_pipeline(spec, folder)
        states.append(load_file(folder.path / "checkpoint" / "trained.safetensors"))
    plain, rescued = states
    assert plain.keys() == rescued.keys()
    for key, value in plain.items():
        assert torch.allclose(value, rescued[key], atol=2e-3), key


@pytest.mark.parametrize(("name", "method"), [("gpt2", "lora"), ("bart", "full")])
def test_what_was_learned_is_exported_and_written_with_plain_transformers(
    make_job, tmp_path, monkeypatch, name, method
):
    told = []
    scored = training.task_scores
    monkeypatch.setattr(training, "task_scores", lambda *args: told.append(args[2]) or scored(*args))
    spec, folder = make_job(name, method, epochs=20)
    evaluate_pipeline(spec, folder)
    target = tmp_path / "exported"
    fields = {**spec, "labels": [], "checkpoint": str(folder.path / "checkpoint"), "target": str(target)}
    notes = export_model(fields, folder)["notes"]
    (target / "xautolm.json").write_text(json.dumps({"notes": notes}))
    rows = json.loads((tmp_path / "data" / "validation.json").read_text())
    ours = predicted(target, name, rows, folder, tmp_path)
    assert sum(a == b for a, b in zip(ours, told[-1], strict=True)) >= N_ROWS - 2  # of which some were in 16 bits
    assert plainly_written(target, TINY[name], rows, notes) == ours
    assert as_the_card_says(target, rows, notes) == ours[0]


def as_the_card_says(target, rows, notes):
    """What the code of the model card gives for the first row."""
    code = usage_of_writer(notes).split("```python\n")[1].split("```")[0]
    code = code.replace("path/to/this/folder", str(target))
    for field, column in (("context", "pairs"), ("question", "texts")):
        code = code.replace(f'{field}="..."', f"{field}={rows[column][0]!r}")
    *lines, last = code.strip().splitlines()
    found = {}
    exec("\n".join([*lines, f"answer = {last}"]), found)
    return found["answer"]


def predicted(target, name, rows, folder, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    fields = {"rows": str(tmp_path / "rows.json"), "model_folder": str(target), "device": "cpu"}
    predict_with_model({**fields, "kind": "question-answering", "family": TINY[name]}, folder)
    return json.loads((folder.path / "predictions.json").read_text())


def plainly_written(target, family, rows, notes):
    """As the model card says, row by row."""
    tokenizer = AutoTokenizer.from_pretrained(target)
    auto = AutoModelForCausalLM if family == "decoder" else AutoModelForSeq2SeqLM
    model = auto.from_pretrained(target)
    written = []
    for question, context in zip(rows["texts"], rows["pairs"], strict=True):
        prompt = notes["template"].format(context=context, question=question)
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=notes["adds_special"])
        inputs.pop("token_type_ids", None)
        ids = model.generate(**inputs)[0]
        if family == "decoder":
            ids = ids[inputs["input_ids"].shape[1] :]
        written.append(tokenizer.decode(ids, skip_special_tokens=True).strip())
    return written


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_nothing_is_left_of_how_a_model_came_to_write(make_job, name, tmp_path, caplog):
    spec, _ = make_job(name, "full", epochs=1)
    model = replace(model_spec(spec), path=str(shutil.copytree(model_spec(spec).path, tmp_path / name)))
    habits = {"do_sample": True, "temperature": 0.5, "repetition_penalty": 9.0, "max_length": 20, "top_k": 4}
    GenerationConfig(**habits).save_pretrained(model.path)
    data = FORMULATION.prepare(spec, model, spec["params"])
    module = load_language_model(model, 0.0)
    given = FORMULATION.predict(module, data, torch.device("cpu"), n_at_once=5)
    (Path(model.path) / "generation_config.json").unlink()
    clean = FORMULATION.predict(load_language_model(model, 0.0), data, torch.device("cpu"), n_at_once=5)
    assert given == clean
    assert not [record for record in caplog.records if record.name.startswith("transformers.generation")]
    plain = FORMULATION.to_hugging_face(module, "question-answering", [], 48, dict(data.notes))
    exported = plain.generation_config.to_diff_dict()
    assert exported["max_new_tokens"] == data.habits.n_new
    assert not set(habits) - {"do_sample"} & set(exported)


def test_a_later_trial_reads_the_cache_and_learns_from_its_share(make_job, monkeypatch):
    spec, _ = make_job("llama", "full", epochs=1)
    model = model_spec(spec)
    first = FORMULATION.prepare(spec, model, spec["params"])
    monkeypatch.setattr("xautolm.evaluate.formulations.text._build", None)
    later = FORMULATION.prepare(spec, model, {**spec["params"], "train_fraction": 0.25})
    assert later.habits == first.habits
    assert len(FORMULATION.examples(later)) == N_ROWS // 4
    assert first.cached_s <= 0 < later.cached_s
    longest = max(len(later.answers.row(i)[0]) for i in range(N_ROWS))
    assert longest <= later.habits.n_new <= 1.25 * longest + 1


def test_another_prompt_is_another_entry_of_the_cache(make_job, tmp_path):
    spec, _ = make_job("llama", "full", epochs=1)
    model = model_spec(spec)
    first = FORMULATION.prepare(spec, model, spec["params"])
    file = tmp_path / "data" / "labels.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prompt": None}))
    other = FORMULATION.prepare(spec, model, spec["params"])
    assert first.habits.template == "{context} {question} yes"
    assert other.habits.template == make_prompt("question-answering").template


def test_answers_that_are_too_long_leave_room_for_the_prompt_and_teach_no_early_end(make_job, tmp_path):
    file = tmp_path / "data" / "labels.json"
    spec, _ = make_job("gpt2", "full", epochs=1)
    labels = json.loads(file.read_text())
    labels["train"] = [[{"text": "good " * 80, "start": None}]] * N_ROWS
    file.write_text(json.dumps(labels))
    model = model_spec(spec)
    data = FORMULATION.prepare(spec, model, spec["params"])
    assert data.habits.n_new == model.context // 2
    assert data.habits.n_new + max(data.tokens["train"].lengths()) <= model.context
    answer = data.answers.row(0)[0]
    assert len(answer) == data.habits.n_new
    assert data.habits.end_id not in answer
