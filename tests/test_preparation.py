"""What a resumed run reads is what was written before its first trial, also by an earlier version."""

import json
from dataclasses import replace

import pytest

from xautolm.config import make_settings
from xautolm.data.load import load_task
from xautolm.data.summary import DataSummary
from xautolm.errors import UsageError
from xautolm.evaluate.fake import analytic_space
from xautolm.experience.run_folder import RunFolder
from xautolm.planning import whole_space
from xautolm.preparation import Prepared, describe, prompt_tokens, read_preparation, with_sources, write_preparation
from xautolm.prior.reference import cold_prior
from xautolm.recording import Silent
from xautolm.records import Profile
from xautolm.search.plan import Plan
from xautolm.space.catalogue import embedded_folder, read_model
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize


@pytest.fixture
def settings(opinions):
    return make_settings({"data": str(opinions)})


@pytest.fixture
def prepare(settings, opinions, tmp_path):
    """Writes a preparation with the given profile; returns it and the run folder."""
    task = load_task(str(opinions))

    def write(**semantic):
        profile = Profile("classification/2", {"n_train": 1 / 3}, "system/2", {"ram_gib": 23.540584564}, **semantic)
        plan = Plan(analytic_space(), TaskSize(8, 4, 2, (1,) * 101), Limits(60.0, 512.0), DEFAULT_SPEED, ())
        prepared = Prepared(settings, task, profile, plan, cold_prior(), "run-1")
        write_preparation(folder, prepared, DataSummary("x", {}, {}, (), {}, 1.0))
        return prepared, folder

    folder = RunFolder.create(tmp_path / "run")
    yield write
    folder.close()


@pytest.mark.parametrize("semantic", [{}, {"semantic": (1 / 3, -0.1, 5e-324), "system_name": "Größe CPU, GPU"}])
def test_a_resumed_run_has_the_identical_profile(prepare, settings, semantic):
    prepared, folder = prepare(**semantic)
    read = read_preparation(folder, settings, prepared.task, "run-1")
    assert read.profile == prepared.profile
    assert read.profile.semantic == semantic.get("semantic")


def test_a_folder_of_an_earlier_version_has_neither_embedding_nor_name(prepare, settings):
    prepared, folder = prepare(semantic=(0.5,), system_name="CPU")
    data = json.loads((folder.path / "data.json").read_text())
    for field in ("semantic", "system_name"):
        del data["profile"][field]
    (folder.path / "data.json").write_text(json.dumps(data))
    read = read_preparation(folder, settings, prepared.task, "run-1").profile
    assert (read.semantic, read.system_name) == (None, "")
    assert (read.task, read.system) == (prepared.profile.task, prepared.profile.system)


@pytest.mark.parametrize(
    ("given", "kept"), [(r"{text}\nSum:\t", "{text}\nSum:\t"), ("{text}\nSum:", "{text}\nSum:"), (None, None)]
)
def test_line_breaks_of_a_prompt_may_be_spelled_as_shells_pass_them_on(opinions, given, kept):
    assert make_settings({"data": str(opinions), "prompt": given}).prompt == kept


def test_a_prompt_that_cannot_be_used_is_refused_before_anything_is_written(opinions):
    with pytest.raises(UsageError, match="leave it out"):
        describe(make_settings({"data": str(opinions), "prompt": "{text}"}), Silent())


def test_settings_of_a_run_name_the_kind_that_was_guessed(settings, opinions):
    assert settings.task is None
    assert with_sources(settings, load_task(str(opinions))).task == "text-classification"


def test_what_models_read_of_a_row_includes_the_prompt_where_they_write():
    encoder = read_model(embedded_folder(), "m")
    writer = replace(encoder, family="decoder")
    assert prompt_tokens(None, "question-answering", [encoder]) == 0
    assert prompt_tokens(None, "text-classification", [writer]) == 0
    # Context, question and answer, each with a colon.
    assert prompt_tokens(None, "question-answering", [encoder, writer]) == 6
    assert prompt_tokens("{text} in short", "text-generation", [writer]) == 2


@pytest.mark.parametrize("space", ["usual", "wide"])
def test_more_hyperparameters_are_offered_on_request_only(tiny_bert, opinions, space):
    settings = make_settings({"data": str(opinions), "models": (str(tiny_bert),), "threads": 1, "space": space})
    found = whole_space(settings, describe(settings, Silent()))
    assert {name: "optimizer" in part.params for name, part in found.methods.items()} == {
        name: space == "wide" and name != "head" for name in ("full", "head", "lora", "partial")
    }
