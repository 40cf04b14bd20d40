"""The folder of a pretrained model: bf16 weights, tokenizer, settings, model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from benchmarks.pretraining.architectures import Recipe
from benchmarks.pretraining.corpus import PARTS
from benchmarks.pretraining.loop import Progress
from benchmarks.pretraining.wording import END_ID, PAD_ID, write_tokenizer
from xautolm.errors import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

#: Of weights and tokenizer together.
MAX_BYTES = 6_000_000
_TEMPLATES = Path(__file__).parent


def write_model(model: PreTrainedModel, tokenizer: Tokenizer, recipe: Recipe, folder: Path) -> int:
    """Write what plain `transformers` loads.

    The model itself is rounded to bf16, so that what is scored afterwards is what was written.

    Returns:
        Bytes of the folder.

    Raises:
        UsageError: it is larger than `MAX_BYTES`.
    """
    import torch
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        pad_token_id=PAD_ID,
        bos_token_id=None if recipe.kind == "seq2seq" else END_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=PAD_ID if recipe.kind == "seq2seq" else None,
    )
    if recipe.kind == "seq2seq":
        model.config.dropout_rate = 0.1  # pretraining without, fine-tuning with: T5 v1.1's advice
    model.save_pretrained(folder)
    write_tokenizer(tokenizer, folder, max_length=recipe.max_length, ends=recipe.kind == "seq2seq")
    model.float()
    size = sum(file.stat().st_size for file in folder.iterdir() if file.name != "README.md")
    if size > MAX_BYTES:
        raise UsageError(f"expected a model of at most {MAX_BYTES} bytes in `{folder}`, wrote {size}; make it smaller")
    return size


def corpus_facts(
    n_bytes: Mapping[str, int], n_corpus_tokens: int, n_params: int, size: int, progress: Progress
) -> dict[str, str]:
    """What a card says besides figures.

    Args:
        n_bytes: of the training text, per part.
        n_corpus_tokens: of the training text.
        n_params: of the model.
        size: of its folder, in bytes.
        progress: of the training.
    """
    parts = [f"- {PARTS[part]}: {n_bytes[part] / 1e6:.1f} MB" for part in PARTS if part in n_bytes]
    return {
        "parts": "\n".join(parts),
        "corpus_mb": f"{sum(n_bytes.values()) / 1e6:.0f}",
        "corpus_tokens": f"{n_corpus_tokens / 1e6:.1f}",
        "params": f"{n_params / 1e6:.2f}",
        "megabytes": f"{size / 1e6:.2f}",
        "steps": str(progress.step),
        "minutes": f"{progress.seconds / 60:.0f}",
        "seen_tokens": f"{progress.tokens / 1e6:.1f}",
    }


def write_card(folder: Path, recipe: Recipe, facts: Mapping[str, str], figures: Mapping[str, float]) -> None:
    """Write `README.md`, and the figures once more in `figures.json`, for the test that measures them again.

    Args:
        folder: of the model.
        recipe: how it was trained.
        facts: what the template `card_<kind>.md` asks for.
        figures: what was measured.
    """
    template = Template((_TEMPLATES / f"card_{recipe.kind}.md").read_text(encoding="utf-8"))
    rounded = {name: f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}" for name, value in figures.items()}
    (folder / "README.md").write_text(template.substitute(facts, **rounded), encoding="utf-8")
    text = json.dumps(dict(figures), indent=2, sort_keys=True)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
