"""Facts about safetensors weights, read from their headers without loading them (and without torch).

A safetensors file starts with the length of its header (8 bytes, little-endian) and the header, a JSON
object: tensor name -> dtype, shape and byte offsets. Pickled weights (`pytorch_model.bin`) are refused:
loading them can run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xautolm.errors import ModelError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_MIB = 2**20
#: The format's own limit for headers.
_MAX_HEADER_BYTES = 100 * 10**6
#: Heads that a checkpoint may hold besides the encoder; a classifier replaces them.
_HEAD = re.compile(
    r"^(?:\w+\.)?(?:cls|lm_head|classifier|pre_classifier|score|qa_outputs|qa_classifier|predictions"
    r"|vocab_transform|vocab_layer_norm|vocab_projector|discriminator_predictions|generator_predictions"
    r"|generator_lm_head|lm_predictions|mask_predictions|classification_head|seq_relationship|embed_out|head)\."
    r"|^decoder\.(?:weight|bias)$"  # ModernBERT
)
_LM_HEAD = re.compile(r"^(?:\w+\.)?(?:lm_head|embed_out)\.")
#: Towers of models that also see or hear.
_OTHER_SENSES = re.compile(r"(?:^|\.)(?:vision_tower|vision_model|visual|audio_tower|multi_modal_projector)\.")
_EMBEDDING = re.compile(r"embeddings?\b|\bwte\b|\bwpe\b|embed_tokens|embed_positions|\bshared\b")
_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h|block|blocks)\.(\d+)\.")
_DECODER = re.compile(r"(?:^|\.)decoder\.")
#: Layers that ALBERT uses again and again.
_SHARED_LAYER = re.compile(r"\balbert_layers\.(\d+)\.")
#: Matrices within layers that no linear layer owns: tables of relative positions, experts (kept as one tensor).
_NO_LINEAR = re.compile(r"relative_attention_bias|rel_embeddings|\.experts\.|norm", re.IGNORECASE)
#: Copies of the shared embeddings that some checkpoints of two stacks hold.
_COPY = re.compile(r"\b(?:encoder|decoder)\.embed_tokens\.weight$")
#: Constants that old checkpoints store beside the parameters (GPT-2's causal mask, rotary frequencies).
_BUFFER = re.compile(r"(?:\.attn\.(?:masked_)?bias|inv_freq|position_ids|final_logits_bias)$")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a safetensors header."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_parameter(self) -> bool:
        """Whether it is a weight of the language model: no integer, no buffer, no head."""
        is_number = self.dtype.startswith(("F", "BF"))
        others = (_BUFFER.search(self.name), _HEAD.match(self.name), _OTHER_SENSES.search(self.name))
        return is_number and not any(others)

    @property
    def is_embedding(self) -> bool:
        """Whether it is an embedding table.

        >>> Tensor("embeddings.word_embeddings.weight", "F32", (30522, 384)).is_embedding
        True
        >>> Tensor("embeddings.LayerNorm.weight", "F32", (384,)).is_embedding
        False
        """
        return len(self.shape) == 2 and _EMBEDDING.search(self.name) is not None

    @property
    def layer(self) -> int | None:
        """Index of the transformer layer it belongs to, None outside the layers.

        >>> Tensor("encoder.layer.4.output.dense.weight", "F32", (384, 1536)).layer
        4
        """
        found = _LAYER.search(self.name)
        return int(found[1]) if found else None

    @property
    def is_decoder(self) -> bool:
        """Whether it stands in something that is called decoder.

        >>> Tensor("decoder.block.0.layer.1.EncDecAttention.q.weight", "F32", (8, 8)).is_decoder
        True
        """
        return _DECODER.search(self.name) is not None

    @property
    def adapter_width(self) -> int:
        """Rows + columns where it is the matrix of a linear layer within a transformer layer, else 0.

        >>> Tensor("h.0.mlp.c_fc.weight", "F32", (8, 32)).adapter_width
        40
        >>> Tensor("wte.weight", "F32", (10, 4)).adapter_width
        0
        """
        is_inside = self.layer is not None or _SHARED_LAYER.search(self.name) is not None
        is_matrix = len(self.shape) == 2 and self.name.endswith(".weight") and not _NO_LINEAR.search(self.name)
        return sum(self.shape) if is_inside and is_matrix and self.is_parameter else 0


def find_weights(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder: one file, or the shards named by the index.

    Raises:
        ModelError: no safetensors weights, or shards are missing.
    """
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,)
    if not (folder / INDEX_FILE).is_file():
        raise ModelError(_describe_missing(folder))
    index = load_json(folder / INDEX_FILE)
    names = sorted(set(index["weight_map"].values())) if isinstance(index.get("weight_map"), dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ModelError(
            f"Expected `{folder / INDEX_FILE}` to map tensors to files of its own folder; it does not. "
            "Copy or download the model again."
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"`{folder}` lacks {len(missing)} of the {len(names)} weight files that its index names, e.g. "
            f"{missing[0]!r}; copy or download the model again."
        )
    return tuple(folder / name for name in names)


def read_header(path: Path) -> tuple[Tensor, ...]:
    """Read the tensor table of one safetensors file.

    Raises:
        ModelError: the file is no safetensors file, or shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise ModelError(
                f"Expected a safetensors file; `{path}` ({size} bytes) is none. Copy or download it again."
            )
        header = file.read(length)
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        tensors = tuple(
            Tensor(name, str(entry["dtype"]), tuple(int(n) for n in entry["shape"])) for name, entry in entries.items()
        )
        promised = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f"The safetensors header of `{path}` is damaged; download it again.") from error
    if promised > size:
        raise ModelError(
            f"`{path}` is cut short: its header promises {promised} bytes, the file has {size}; "
            "copy or download it again."
        )
    return tensors


def count_params(tensors: Iterable[Tensor], n_layers: int | None = None) -> tuple[int, int]:
    """Count the parameters of a model, exactly.

    Args:
        tensors: from `read_header`, all shards.
        n_layers: layers that are kept; None = all.

    Returns:
        All parameters (heads excluded) and those of the embedding tables.

    >>> table = Tensor("embeddings.word_embeddings.weight", "F32", (10, 4))
    >>> layers = [Tensor(f"encoder.layer.{i}.output.dense.weight", "F32", (4, 4)) for i in range(3)]
    >>> count_params([table, *layers]), count_params([table, *layers], n_layers=1)
    ((88, 40), (56, 40))
    """
    kept = [tensor for tensor in keep_layers(tensors, n_layers) if tensor.is_parameter]
    if any(tensor.name.endswith("shared.weight") for tensor in kept):
        kept = [tensor for tensor in kept if not _COPY.search(tensor.name)]
    return (
        sum(math.prod(tensor.shape) for tensor in kept),
        sum(math.prod(tensor.shape) for tensor in kept if tensor.is_embedding),
    )


def keep_layers(tensors: Iterable[Tensor], n_layers: int | None) -> list[Tensor]:
    """The tensors of the first layers, and those outside the layers; None = all."""
    return [t for t in tensors if n_layers is None or t.layer is None or t.layer < n_layers]


def count_lm_head(tensors: Iterable[Tensor]) -> int:
    """Parameters of a language-model head that is stored beside the embeddings.

    >>> count_lm_head([Tensor("lm_head.weight", "F32", (10, 4)), Tensor("wte.weight", "F32", (10, 4))])
    40
    """
    return sum(math.prod(tensor.shape) for tensor in tensors if _LM_HEAD.match(tensor.name))


def count_layers(tensors: Iterable[Tensor]) -> int:
    """Layers that the weights hold; 0 when the names do not tell (ALBERT shares one).

    >>> count_layers([Tensor("h.0.ln_1.weight", "F32", (8,)), Tensor("h.1.ln_1.weight", "F32", (8,))])
    2
    """
    return 1 + max((tensor.layer for tensor in tensors if tensor.layer is not None), default=-1)


def weight_hash(files: Sequence[Path]) -> str:
    """A cheap identity of weights: 16 hex digits of sha256 over each file's size, first and last MiB.

    The first MiB holds the header. Reading gigabytes at every start would cost more than it gives: this tells
    models and training states apart, it is no protection against tampering.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(_MIB))
            file.seek(-min(_MIB, size), os.SEEK_END)
            digest.update(file.read(_MIB))
    return digest.hexdigest()[:16]


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ModelError: the file cannot be read or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"Expected `{path}` to hold a JSON object; it cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"Expected `{path}` to hold a JSON object; it holds a {type(value).__name__}.")
    return value


def _describe_missing(folder: Path) -> str:
    expected = f"Expected `{SINGLE_FILE}` or `{INDEX_FILE}` in the model folder `{folder}`"
    if (folder / "adapter_model.safetensors").is_file():
        return f"{expected}; it holds a PEFT adapter. Merge it (`merge_and_unload`) and save the whole model."
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt"})
    if pickled:
        return (
            f"{expected}; it holds {pickled[0]!r}, a pickle, which can run code when it is loaded. "
            "Convert it: `AutoModel.from_pretrained(folder).save_pretrained(new_folder)` writes safetensors."
        )
    found = ", ".join(repr(path.name) for path in sorted(folder.iterdir())[:8])
    return f"{expected}; found {found or 'nothing'}. Name a folder written by `save_pretrained`."
