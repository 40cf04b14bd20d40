"""Run folders of the Hugging Face Trainer as experiences. The fixtures are files of transformers 5.24 and PEFT 0.21."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from xautolm.errors import DataError
from xautolm.experience.importers import read as read_form
from xautolm.experience.importers.hugging_face import read
from xautolm.experience.store import ExperienceStore

FIXTURES = Path(__file__).parents[1] / "fixtures/import_corpus/trainer"


@pytest.fixture
def run(tmp_path) -> Path:
    return Path(shutil.copytree(FIXTURES / "trainer_run", tmp_path / "reviews" / "run-1"))


def change(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def only(imported):
    assert imported.rejected == []
    (experience,) = imported.experiences
    return experience


def state_of(run: Path) -> dict:
    return json.loads((run / "trainer_state.json").read_text())


def test_a_run_becomes_an_experience(run) -> None:
    experience = only(read(str(run.parent)))

    assert experience.dataset_id == "reviews"
    assert (experience.kind, experience.source) == ("text-classification", "import")
    result = experience.result
    assert (result.status, result.seed) == ("ok", 42)
    assert result.scores == {"accuracy": 0.5, "f1": 0.5, "loss": 0.6970937252044678}
    assert (result.cost.train_s, result.cost.predict_s) == (1.1491, 0.0663)
    assert result.cost.time_s == pytest.approx(1.2154)
    assert result.curve == ((2, 0.57455, 0.5), (4, 1.1491, 0.5))
    assert experience.versions == {"transformers": "5.24.0"}


def test_settings_become_hyperparameters_without_bookkeeping(run) -> None:
    params = dict(only(read(str(run))).result.pipeline.params)

    assert (
        params
        | {
            "learning_rate": 5e-05,
            "epochs": 2,
            "batch_size": 8,
            "lr_scheduler": "linear",
            "optimizer": "adamw_torch_fused",
            "weight_decay": 0.0,
            "gradient_accumulation_steps": 1,
            "max_grad_norm": 1.0,
            "bf16": False,
        }
        == params
    )
    bookkeeping = {
        "output_dir",
        "run_name",
        "logging_steps",
        "eval_steps",
        "save_steps",
        "hub_token",
        "seed",
        "max_steps",
    }
    assert bookkeeping & params.keys() == set()


def test_without_training_arguments_the_state_tells_what_it_can(run) -> None:
    (run / "training_args.json").unlink()

    assert only(read(str(run))).result.pipeline.params == {"epochs": 2, "batch_size": 8}


def test_pickles_are_never_opened(run, monkeypatch) -> None:
    (run / "training_args.bin").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    opened = []
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: opened.append(self.name) or original(self, *args, **kw))

    read(str(run))

    assert "trainer_state.json" in opened
    assert "training_args.bin" not in opened


def test_an_adapter_makes_it_lora(tmp_path) -> None:
    shutil.copytree(FIXTURES / "adapter_run", tmp_path / "run")

    experience = only(read_form(str(tmp_path), "hf", name="letters"))

    pipeline = experience.result.pipeline
    assert (experience.dataset_id, pipeline.model, pipeline.method) == ("letters", "roberta-base", "lora")
    expected = {
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "lora_bias": "none",
        "lora_target_modules": "query,value",
        "init_lora_weights": True,
        "fan_in_fan_out": False,
    }
    assert dict(pipeline.params) | expected == pipeline.params
    assert experience.versions == {"peft": "0.21.2"}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"_name_or_path": "google-t5/t5-small"}, "google-t5/t5-small"),
        ({"_name_or_path": "/home/anna/secret/my-bert"}, "my-bert"),
        ({}, "bert-L2-H32"),  # transformers 5 does not write the name
    ],
)
def test_the_name_of_the_model(changes, name, run) -> None:
    change(run / "config.json", **changes)

    assert only(read(str(run))).result.pipeline.model == name


def test_the_model_card_names_the_model(run) -> None:
    (run / "README.md").write_text("---\nlibrary_name: transformers\nbase_model: distilbert-base-cased\n---\nText.")

    assert only(read(str(run))).result.pipeline.model == "distilbert-base-cased"


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"problem_type": "regression"}, "text-regression"),
        ({"problem_type": "multi_label_classification"}, "multi-label"),
        ({"architectures": ["BertForQuestionAnswering"]}, "question-answering"),
        ({"architectures": ["BertForTokenClassification"]}, "token-classification"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "text-generation"),
        ({"architectures": None}, "text-classification"),
    ],
)
def test_the_task_kind_is_that_of_the_model_class(config, kind, run) -> None:
    change(run / "config.json", **config)

    assert only(read(str(run))).kind == kind


def test_without_an_evaluation_after_the_training_the_best_one_counts(run) -> None:
    log = state_of(run)["log_history"][:-1]
    log[1] |= {"eval_f1": 0.9}
    change(run / "trainer_state.json", log_history=log)
    assert only(read(str(run))).result.scores["f1"] == 0.9

    change(run / "trainer_state.json", best_global_step=None)
    assert only(read(str(run))).result.scores["f1"] == 0.5


def test_a_loss_that_is_no_number_is_a_diverged_run(run) -> None:
    log = state_of(run)["log_history"]
    log[-1]["eval_loss"] = float("nan")
    change(run / "trainer_state.json", log_history=log)

    result = only(read(str(run))).result

    assert (result.status, result.scores) == ("diverged", {})


def test_choices_of_a_hyperparameter_search_count(run) -> None:
    change(run / "trainer_state.json", trial_params={"learning_rate": 3e-4, "per_device_train_batch_size": 64})

    params = only(read(str(run))).result.pipeline.params

    assert (params["learning_rate"], params["batch_size"]) == (3e-4, 64)


def test_no_path_and_no_text_of_a_user_gets_in(run, tmp_path, own_store) -> None:
    shutil.copytree(FIXTURES / "adapter_run", run.parent / "run-2")
    change(run / "config.json", id2label={"0": "anna"}, _name_or_path="C:\\Users\\anna\\bert")
    change(run / "training_args.json", custom_prompt="Dear anna, how are you?")
    with ExperienceStore(own_store) as store:
        assert store.add(read(str(run.parent)).experiences) == 2

    content = Path(own_store.removeprefix("sqlite:///")).read_bytes()
    assert b"bert" in content
    assert b"anna" not in content
    assert b"letters" not in content


def test_a_second_import_adds_nothing_wherever_the_folder_lies(run, tmp_path, own_store) -> None:
    with ExperienceStore(own_store) as store:
        assert store.add(read(str(run.parent)).experiences) == 1
        shutil.move(run, tmp_path / "moved")
        assert store.add(read(str(tmp_path / "moved"), "reviews").experiences) == 0


def rejected(run: Path) -> str:
    imported = read(str(run))
    assert imported.experiences == []
    return imported.rejected[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"log_history": None}, "`log_history`"),
        ({"log_history": [3]}, "`log_history`"),
        ({"log_history": []}, "did not end"),
        ({"log_history": [{"train_runtime": 1.0, "step": 4}]}, "an evaluation"),
        ({"log_history": [{"eval_runtime": 1.0, "train_runtime": 1.0}]}, "a metric or a loss"),
        ({"log_history": [{"eval_f1": 0.5, "train_runtime": -1.0}]}, "`train_runtime`"),
        ({"log_history": [{"eval_f1": 0.5, "train_runtime": "long"}]}, "`train_runtime`"),
        ({"trial_params": {"a b": 1}}, "plain name"),
        ({"trial_params": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, "nested"),
    ],
)
def test_a_state_that_cannot_be_used_is_reported(changes, reason, run) -> None:
    change(run / "trainer_state.json", **changes)

    assert reason in rejected(run)


def test_a_run_that_did_not_end_is_reported(run) -> None:
    (run / "all_results.json").unlink()
    change(run / "trainer_state.json", log_history=state_of(run)["log_history"][:4])
    assert "did not end" in rejected(run)

    (run / "checkpoint-4").mkdir()
    shutil.move(run / "trainer_state.json", run / "checkpoint-4" / "trainer_state.json")
    assert "only checkpoints" in rejected(run)


@pytest.mark.parametrize("name", ["trainer_state.json", "config.json", "training_args.json"])
@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b'{"a": "\xff"}', b"[]"])
def test_a_damaged_file_rejects_its_run(name, content, run) -> None:
    (run / name).write_bytes(content)

    assert "must be" in rejected(run)


def test_a_run_without_any_sign_of_its_model_is_reported(run) -> None:
    (run / "config.json").unlink()

    assert "pretrained model" in rejected(run)


def test_links_are_not_followed_into_circles(run) -> None:
    (run / "loop").symlink_to(run.parent)
    (run / "all_results.json").unlink()
    os.mkfifo(run / "all_results.json")

    assert "regular file" in rejected(run.parent)


@pytest.mark.parametrize("what", ["missing", "a file", "empty"])
def test_a_source_without_runs_is_one_error(what, tmp_path) -> None:
    source = tmp_path / "source"
    if what == "a file":
        source.write_text("{}")
    elif what == "empty":
        source.mkdir()

    with pytest.raises(DataError, match="Expected"):
        read(str(source))
