"""ZOO: small language models that come with the package, so that generation works without a network.

Each is a folder beside this file, as plain `transformers` writes and loads it, with a model card (`README.md`) that
says what it learned from, its licence, its perplexity and how to make it again (`python -m benchmarks.pretrain`).
Weights are safetensors.
"""

from __future__ import annotations

from pathlib import Path

from xautolm.errors import ModelError

#: Decoder-only, 5 layers.
CAUSAL = "xautolm-causal-3m"
#: Encoder-decoder, 3 + 2 layers.
SEQ2SEQ = "xautolm-seq2seq-3m"
#: All of them, the one to start with first.
ZOO_MODELS = (CAUSAL, SEQ2SEQ)

_FOLDER = Path(__file__).parent
#: What a model cannot be loaded without.
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def zoo_folder(name: str) -> Path:
    """The folder of a model.

    Args:
        name: one of `ZOO_MODELS`.

    Raises:
        ModelError: there is no such model, or files of it are missing.
    """
    if name not in ZOO_MODELS:
        raise ModelError(f"Expected one of {', '.join(map(repr, ZOO_MODELS))}; got {name!r}.")
    folder = _FOLDER / name
    missing = _missing(folder)
    if missing:
        raise ModelError(
            f"The model {name!r} that comes with the package lacks {', '.join(f'`{file}`' for file in missing)} in "
            f"`{folder}`. Install xautolm again, or name other models with `--models`."
        )
    return folder


def folders() -> dict[str, Path]:
    """The models that are here, by name: what a run can use offline besides the embedded encoder."""
    return {name: _FOLDER / name for name in ZOO_MODELS if not _missing(_FOLDER / name)}


def _missing(folder: Path) -> list[str]:
    return [file for file in _FILES if not (folder / file).is_file()]
