"""What the models are asked to predict: batch i of a training is a function of the seed and i alone.

So a stopped training goes on with the batches it would have seen, without any state but their count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.pretraining.questions import Question, ask
from benchmarks.pretraining.wording import END_ID, FIRST_SENTINEL_ID, N_SENTINELS, PAD_ID, Ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = npt.NDArray[np.int64]
#: Labels that no loss is taken of.
IGNORED = -100
#: Share of removed tokens and mean length of a span: BART's text infilling (Lewis et al. 2020, sections 2.2 and 5.1).
NOISE_SHARE, MEAN_SPAN = 0.3, 3.0
#: Passages of questions, in tokens, from and below; at most five eighths of a window, for the question to fit.
PASSAGE_TOKENS = (48, 320)
#: The same for the encoder-decoder, whose encoder sees fewer tokens.
SHORT_PASSAGE_TOKENS = (48, 190)


class Batches(Protocol):
    """Makes training batches."""

    @property
    def n_tokens(self) -> int:
        """Tokens per batch, padding included."""
        ...

    def batch(self, index: int) -> Mapping[str, Array]:
        """Arguments of the model, each of shape (rows, tokens)."""
        ...


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of a fixed length over the row of ids, in a new order, and cut at new places, in every epoch.

    Attributes:
        ids: the corpus, shape (tokens,).
        length: tokens of a window.
        seed: of order and offsets.
    """

    ids: Ids
    length: int
    seed: int

    @property
    def n_windows(self) -> int:
        """Windows of one epoch; the last, incomplete one is left out."""
        return (len(self.ids) - self.length) // self.length

    def window(self, index: int) -> Array:
        """Window number `index` of the training, counted over all epochs."""
        epoch, place = divmod(index, self.n_windows)
        offset, order = _epoch(self.seed, epoch, self.n_windows, self.length)
        start = offset + int(order[place]) * self.length
        return self.ids[start : start + self.length].astype(np.int64)


@lru_cache(maxsize=2)
def _epoch(seed: int, epoch: int, n_windows: int, length: int) -> tuple[int, npt.NDArray[np.int64]]:
    rng = np.random.default_rng((seed, epoch))
    return int(rng.integers(length)), rng.permutation(n_windows)


@dataclass(frozen=True, slots=True)
class CausalBatches:
    """Every next token of packed text; a share of the windows is rewritten as questions with answers.

    Attributes:
        windows: where the text comes from.
        tokenizer: of the text.
        n_rows: windows per batch.
        question_share: share of windows that hold questions.
    """

    windows: Windows
    tokenizer: Tokenizer
    n_rows: int
    question_share: float

    @property
    def n_tokens(self) -> int:
        """Tokens per batch."""
        return self.n_rows * self.windows.length

    def batch(self, index: int) -> Mapping[str, Array]:
        """Batch `index`; labels are the tokens themselves (the model shifts them)."""
        rows = np.stack([self._row(index * self.n_rows + i) for i in range(self.n_rows)])
        return {"input_ids": rows, "labels": rows}

    def _row(self, number: int) -> Array:
        window = self.windows.window(number)
        rng = np.random.default_rng((self.windows.seed, 1, number))
        return self._questions(window, rng) if rng.random() < self.question_share else window

    def _questions(self, window: Array, rng: np.random.Generator) -> Array:
        """Questions on successive passages of the window, packed, as many tokens as the window has."""
        packed: list[int] = []
        start = 0
        while len(packed) < len(window) and start < len(window):
            longest = min(PASSAGE_TOKENS[1], len(window) * 5 // 8)
            length = int(rng.integers(min(PASSAGE_TOKENS[0], longest), longest + 1))
            question = ask(self.tokenizer.decode(window[start : start + length].tolist()), rng)
            start += length
            if question is not None:
                packed += [*encode(self.tokenizer, question.prompt), *encode(self.tokenizer, question.answer), END_ID]
        return np.asarray([*packed, *window][: len(window)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Seq2SeqBatches:
    """Texts without some of their spans, to be written out; how texts go on; answers to questions: mixed by row.

    T5's own targets, only the removed spans, are few: in half an hour of one core its decoder hardly learned to write
    (docs/log.md, 2026-11-28). Whole texts as targets are many, and teach to copy.

    Attributes:
        windows: where the text comes from, of at least `n_input - 1 + n_target` tokens.
        tokenizer: of the text.
        n_rows: rows per batch.
        n_input: tokens that the encoder sees.
        n_target: tokens of the decoder.
        question_share: share of rows that are questions.
        continuation_share: share of rows whose target is the next tokens.
    """

    windows: Windows
    tokenizer: Tokenizer
    n_rows: int
    n_input: int
    n_target: int
    question_share: float
    continuation_share: float

    @property
    def n_tokens(self) -> int:
        """Tokens per batch, of encoder and decoder."""
        return self.n_rows * (self.n_input + self.n_target)

    def batch(self, index: int) -> Mapping[str, Array]:
        """Batch `index`."""
        pairs = [self._row(index * self.n_rows + i) for i in range(self.n_rows)]
        return pad_pairs(pairs)

    def _row(self, number: int) -> tuple[Array, Array]:
        window = self.windows.window(number)
        rng = np.random.default_rng((self.windows.seed, 1, number))
        draw = rng.random()
        if draw < self.question_share:
            length = int(rng.integers(*SHORT_PASSAGE_TOKENS))
            question = ask(self.tokenizer.decode(window[:length].tolist()), rng)
            row = None if question is None else question_row(self.tokenizer, question)
            if row is not None and len(row[0]) <= self.n_input and len(row[1]) <= self.n_target:
                return row
        elif draw < self.question_share + self.continuation_share:
            return continuation_row(window, int(rng.integers(16, self.n_input)), self.n_target)
        return remove_spans(window[: self.n_target - 1], rng)


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text, without `</s>`."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def question_row(tokenizer: Tokenizer, question: Question) -> tuple[Array, Array]:
    """Input and target of a question for an encoder-decoder, both ended by `</s>`."""
    source, target = encode(tokenizer, question.prompt), encode(tokenizer, question.answer)
    return np.asarray([*source, END_ID], dtype=np.int64), np.asarray([*target, END_ID], dtype=np.int64)


def continuation_row(window: Array, n_source: int, n_target: int) -> tuple[Array, Array]:
    """The first tokens of a window, ended by `</s>`, and those that follow (not ended: the text goes on)."""
    return np.append(window[:n_source], END_ID), window[n_source : n_source + n_target]


def remove_spans(window: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Text infilling: spans of a text become marks, and the target is the text.

    Spans and the text between them are cut at random, as T5's `random_spans_noise_mask` does.

    Returns:
        Input and target, both ended by `</s>`.

    >>> source, target = remove_spans(np.arange(100, 110), np.random.default_rng(0))
    >>> source.tolist(), target.tolist()
    ([100, 101, 102, 103, 104, 105, 106, 2, 1], [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 1])
    """
    n_noise = max(1, round(len(window) * NOISE_SHARE))
    n_spans = min(max(1, round(n_noise / MEAN_SPAN)), N_SENTINELS)
    removed = _cut(n_noise, n_spans, rng)
    kept = _cut(len(window) - n_noise, n_spans, rng)
    source: list[int] = []
    place = 0
    for i, (n_kept, n_removed) in enumerate(zip(kept, removed, strict=True)):
        source += [*window[place : place + n_kept], FIRST_SENTINEL_ID + i]
        place += n_kept + n_removed
    return np.asarray([*source, END_ID], dtype=np.int64), np.append(window, END_ID)


def _cut(n: int, n_pieces: int, rng: np.random.Generator) -> list[int]:
    """Random positive lengths of `n_pieces` pieces that sum to n."""
    cuts = np.sort(rng.choice(n - 1, n_pieces - 1, replace=False)) + 1
    return [int(length) for length in np.diff([0, *cuts, n])]


def pad_pairs(pairs: list[tuple[Array, Array]]) -> dict[str, Array]:
    """Rows of different lengths as arguments of an encoder-decoder."""
    width = max(len(source) for source, _ in pairs)
    n_target = max(len(target) for _, target in pairs)
    input_ids = np.full((len(pairs), width), PAD_ID, dtype=np.int64)
    labels = np.full((len(pairs), n_target), IGNORED, dtype=np.int64)
    for i, (source, target) in enumerate(pairs):
        input_ids[i, : len(source)] = source
        labels[i, : len(target)] = target
    return {"input_ids": input_ids, "attention_mask": (input_ids != PAD_ID).astype(np.int64), "labels": labels}
