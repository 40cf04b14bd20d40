"""Tiny model folders for tests, written by hand; the weights are zeros."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MakeModel = Callable[..., Path]

BERT_CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "vocab_size": 20,
}


def bert_shapes(n_layers: int) -> dict[str, tuple[int, ...]]:
    layer = {
        "attention.self.query.weight": (8, 8),
        "attention.output.LayerNorm.bias": (8,),
        "output.dense.weight": (8, 16),
    }
    return {
        "embeddings.word_embeddings.weight": (20, 8),
        "embeddings.position_embeddings.weight": (64, 8),
        "embeddings.LayerNorm.weight": (8,),
        **{f"encoder.layer.{i}.{name}": shape for i in range(n_layers) for name, shape in layer.items()},
    }


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str] | None = None
) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        n_values = 1
        for n in shape:
            n_values *= n
        header[name] = {
            "dtype": (dtypes or {}).get(name, "F32"),
            "shape": list(shape),
            "data_offsets": [end, end + 4 * n_values],
        }
        end += 4 * n_values
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
