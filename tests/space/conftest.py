import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from model_folders import BERT_CONFIG, MakeModel, bert_shapes, write_safetensors


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a tiny model folder (weights are zeros); config keys can be changed, None removes one."""

    def make(name: str = "tiny", *, shapes: Mapping[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        merged = {key: value for key, value in {**BERT_CONFIG, **config}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(merged))
        (folder / "tokenizer.json").write_text("{}")
        write_safetensors(folder / "model.safetensors", shapes or bert_shapes(4))
        return folder

    return make
