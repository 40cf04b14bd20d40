"""Lengths in tokens of the embedded encoder's tokenizer: what training costs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

SEED = 42
#: Rows that are tokenised at most; the total is scaled up from them.
SAMPLE_ROWS = 20_000
#: Characters that are tokenised at most, some 3 seconds of one core: of longer data fewer rows are taken.
SAMPLE_CHARS = 10_000_000
#: Characters of a row that are tokenised: no model here reads further, and a document may have a megabyte.
MAX_CHARS = 50_000
_BATCH = 1_000
_PERCENTILES = (10, 50, 90, 99)


def token_features(texts: Sequence[str], tokenizer_file: Path, *, prefix: str = "tokens") -> dict[str, float]:
    """Percentiles and mean of the tokens per row (special tokens left out), and their total over all rows.

    Beyond 20,000 rows or 10 million characters rows are sampled (seed 42) and the total is scaled; a row counts with
    its first 50,000 characters.

    Args:
        texts: one document per row.
        tokenizer_file: `tokenizer.json`.
        prefix: of the names.

    Returns:
        `<prefix>_p10`, `_p50`, `_p90`, `_p99`, `_max`, `_mean`, `_total`; 0 without rows.
    """
    n_rows = len(texts)
    texts = _sample(texts)
    tokenizer = _tokenizer(str(tokenizer_file))
    lengths: list[int] = []
    for start in range(0, len(texts), _BATCH):
        # Lone surrogates, which a file may hold and UTF-8 may not, become question marks.
        batch = [text.encode(errors="replace").decode() for text in texts[start : start + _BATCH]]
        encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        lengths.extend(len(encoding.ids) for encoding in encoded)
    counts = np.asarray(lengths or [0], dtype=float)
    values = np.percentile(counts, _PERCENTILES, method="higher")
    named = {f"{prefix}_p{q}": float(value) for q, value in zip(_PERCENTILES, values, strict=True)}
    mean = float(counts.mean())
    return named | {f"{prefix}_max": float(counts.max()), f"{prefix}_mean": mean, f"{prefix}_total": mean * n_rows}


def _sample(texts: Sequence[str]) -> list[str]:
    """The rows to tokenise, each cut: all of them, or in a seeded order as many as both limits allow (one at least)."""
    order = list(range(len(texts)))
    if len(texts) > SAMPLE_ROWS or sum(min(len(text), MAX_CHARS) for text in texts) > SAMPLE_CHARS:
        random.Random(SEED).shuffle(order)
    taken: list[str] = []
    left = SAMPLE_CHARS
    for row in order[:SAMPLE_ROWS]:
        text = texts[row][:MAX_CHARS]
        left -= len(text)
        if left < 0 and taken:
            break
        taken.append(text)
    return taken


@lru_cache(maxsize=2)
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
