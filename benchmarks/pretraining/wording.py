"""Text to tokens: a byte-level BPE tokenizer for both models, and the corpus as one long row of ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Half of a larger vocabulary would be rare words, and its table as large as all layers.
N_TOKENS = 4096
PAD, END = "<pad>", "</s>"
PAD_ID, END_ID = 0, 1
#: Marks of removed spans, as in T5, which counts them from the first one.
N_SENTINELS = 32
SENTINELS = tuple(f"<extra_id_{i}>" for i in range(N_SENTINELS))
FIRST_SENTINEL_ID = 2

Ids = npt.NDArray[np.uint16]


def train_tokenizer(texts: Iterable[str], n_tokens: int = N_TOKENS) -> Tokenizer:
    """Byte-level BPE: every text can be written, nothing is unknown.

    A space is put before a text, so that a word is the same token at the start of an answer and inside a passage.

    Args:
        texts: what to learn merges from.
        n_tokens: size of the vocabulary, special tokens included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[PAD, END, *SENTINELS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> Ids:
    """All documents in one row, each ended by `</s>`.

    Returns:
        Ids, shape (tokens,).
    """
    rows = []
    for text in texts:  # one at a time: the encodings of all would need gigabytes
        rows.append(np.asarray([*tokenizer.encode(text, add_special_tokens=False).ids, END_ID], dtype=np.uint16))
    return np.concatenate(rows)


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, max_length: int, ends: bool) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` as `transformers` reads them.

    Args:
        tokenizer: of `train_tokenizer`; not changed.
        folder: must exist.
        max_length: tokens that the model takes.
        ends: put `</s>` behind every text, as encoder-decoders expect.
    """
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokenizer.to_str())
    if ends:
        copy.post_processor = processors.TemplateProcessing(
            single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, END_ID)]
        )
    (folder / "tokenizer.json").write_text(copy.to_str(pretty=False), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "pad_token": PAD,
        "eos_token": END,
        "padding_side": "right" if ends else "left",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
