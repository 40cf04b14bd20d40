"""Tokenizers as heads need them: padding on the right, and rows that end where a head reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from xautolm.records import Family, ModelSpec


def load_reader(spec: ModelSpec) -> Any:
    """The tokenizer of a model for rows that a head reads, changed by nobody else (a process keeps one)."""
    return _load(spec.path, spec.revision, spec.family)


@lru_cache(maxsize=4)
def _load(path: str, revision: str, family: Family) -> Any:
    return prepare_reader(AutoTokenizer.from_pretrained(path, trust_remote_code=False), family)


def prepare_reader(tokenizer: Any, family: Family) -> Any:
    """Set a tokenizer up for a family; it keeps that when it is saved.

    Decoders read a text off its last token that is no padding, encoder-decoders off the end-of-sequence token that
    closes it (truncation cuts before that one). A tokenizer that closes no row, as some are saved, learns to. Where
    there is no padding token, it is the end of the sequence.

    Args:
        tokenizer: a fast one of transformers, freshly loaded.
        family: of its model.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.padding_side = "right"
    if family == "encoder-decoder" and tokenizer.eos_token_id not in tokenizer("a")["input_ids"]:
        end = tokenizer.eos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
        )
    return tokenizer


def spelled(texts: Sequence[str], tokenizer: Any, family: Family) -> list[str]:
    """Texts in which the name of an end of sequence is no end of sequence: `</s>` becomes `< /s>`.

    Heads of encoder-decoders need the same number of these tokens in every row of a batch (transformers raises
    otherwise), and where a text holds the name, most tokenizers make the token of it.
    """
    end = tokenizer.eos_token
    if family != "encoder-decoder" or not end:
        return list(texts)
    return [text.replace(end, f"{end[:1]} {end[1:]}") for text in texts]
