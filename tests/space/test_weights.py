import json
from pathlib import Path

import pytest
from model_folders import write_safetensors

from xautolm.errors import ModelError
from xautolm.space.weights import count_layers, count_params, find_weights, read_header, weight_hash


def test_buffers_integers_and_task_heads_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    shapes = {
        "transformer.wte.weight": (10, 4),
        "transformer.h.0.attn.bias": (1, 1, 6, 6),
        "transformer.h.0.attn.c_attn.bias": (12,),
        "bert.embeddings.position_ids": (1, 6),
        "cls.predictions.decoder.weight": (10, 4),
        "classifier.weight": (2, 4),
        "lm_head.weight": (10, 4),
    }
    write_safetensors(path, shapes, dtypes={"bert.embeddings.position_ids": "I64"})
    assert count_params(read_header(path)) == (40 + 12, 40)


def test_layers_are_counted_across_naming_families(tmp_path: Path) -> None:
    for i, pattern in enumerate(
        ("bert.encoder.layer.{}.x", "model.layers.{}.x", "h.{}.x", "encoder.block.{}.layer.0.x")
    ):
        path = tmp_path / f"{i}.safetensors"
        write_safetensors(path, {pattern.format(k): (2,) for k in range(3)})
        assert count_layers(read_header(path)) == 3, pattern


def test_shards_are_read_through_the_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"embeddings.word_embeddings.weight": (3, 2)})
    write_safetensors(tmp_path / "b.safetensors", {"encoder.layer.0.w": (5,)})
    index = {"weight_map": {"embeddings.word_embeddings.weight": "a.safetensors", "encoder.layer.0.w": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    files = find_weights(tmp_path)
    assert count_params(tensor for file in files for tensor in read_header(file)) == (11, 6)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks 1 of the 2 weight files .*'b\.safetensors'"):
        find_weights(tmp_path)


def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "../secret.safetensors"}}))
    with pytest.raises(ModelError, match="of its own folder"):
        find_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, (10).to_bytes(8, "little") + b"{not json}"])
def test_damaged_weights_are_an_error_with_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        read_header(path)


def test_a_truncated_download_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"w": (1000,)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="is cut short"):
        read_header(path)


def test_weight_hash_changes_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"w": (1000,)})
    before = weight_hash([path])
    assert weight_hash([path]) == before
    assert len(before) == 16
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert weight_hash([path]) != before
