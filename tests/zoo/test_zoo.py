"""The models that come with the package are found, or it is said what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from xautolm import zoo
from xautolm.errors import ModelError
from xautolm.zoo import CAUSAL, SEQ2SEQ, ZOO_MODELS, zoo_folder


def fill(folder: Path, *left_out: str) -> None:
    folder.mkdir(parents=True)
    for name in {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} - set(left_out):
        (folder / name).write_text("{}")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The zoo's folder is an empty one."""
    monkeypatch.setattr(zoo, "_FOLDER", tmp_path)
    return tmp_path


def test_a_model_of_the_zoo_is_a_folder_of_the_package(elsewhere):
    fill(elsewhere / CAUSAL)

    assert zoo_folder(CAUSAL) == elsewhere / CAUSAL
    assert zoo.folders() == {CAUSAL: elsewhere / CAUSAL}


def test_absent_weights_are_said_with_what_to_do(elsewhere):
    fill(elsewhere / SEQ2SEQ, "model.safetensors")

    with pytest.raises(ModelError, match=r"lacks `model\.safetensors` in .*Install xautolm again"):
        zoo_folder(SEQ2SEQ)
    assert zoo.folders() == {}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=f"{CAUSAL}.*{SEQ2SEQ}.*got 'gpt'"):
        zoo_folder("gpt")


def test_names_of_the_zoo_resolve_to_its_folders_before_folders_of_the_user(elsewhere, monkeypatch, tmp_path):
    from xautolm.space import catalogue

    read = []
    monkeypatch.setattr(catalogue, "read_model", lambda folder, name, **how: read.append((folder, name, how)))
    for name in ZOO_MODELS:
        fill(elsewhere / name)
        catalogue.find_model(f"{name}@1", offline=True)

    assert read == [(elsewhere / name, name, {"keep_layers": 1}) for name in ZOO_MODELS]
