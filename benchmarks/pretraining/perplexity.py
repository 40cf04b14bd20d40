"""How well a model predicts text it has not seen: per token, per byte, and on questions about their own text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.pretraining.objectives import (
    IGNORED,
    PASSAGE_TOKENS,
    SHORT_PASSAGE_TOKENS,
    Array,
    Windows,
    continuation_row,
    encode,
    pad_pairs,
    question_row,
    remove_spans,
)
from benchmarks.pretraining.questions import ask
from benchmarks.pretraining.wording import END_ID, Ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

_N_AT_ONCE = 16
_EVALUATION_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Sums over the scored tokens.

    Attributes:
        nats: minus the logarithm of what the model gave the tokens.
        n_tokens: tokens scored.
        n_bytes: bytes of UTF-8 that these tokens stand for.
    """

    nats: float
    n_tokens: int
    n_bytes: int

    @property
    def per_token(self) -> float:
        """Perplexity per token.

        >>> round(Perplexity(nats=2 * math.log(8), n_tokens=2, n_bytes=6).per_token, 6)
        8.0
        """
        return math.exp(self.nats / self.n_tokens)

    @property
    def per_byte(self) -> float:
        """Perplexity per byte, which compares tokenizers.

        >>> round(Perplexity(nats=2 * math.log(8), n_tokens=2, n_bytes=6).per_byte, 6)
        2.0
        """
        return math.exp(self.nats / self.n_bytes)


def score_text(model: PreTrainedModel, tokenizer: Tokenizer, ids: Ids, *, length: int, stride: int) -> Perplexity:
    """A decoder-only model on a text, each token scored once.

    Windows of `length` tokens start every `stride` tokens; only their last `stride` tokens are scored, so that all but
    the first ones have at least `length - stride` tokens before them. The first token is not scored.

    Args:
        model: decoder-only.
        tokenizer: of the text.
        ids: the text, shape (tokens,).
        length: tokens of a window, at most what the model was trained on.
        stride: 1 to `length`.
    """
    rows: list[tuple[Array, Array]] = []
    for start in range(0, max(len(ids) - 1 - (length - stride), 1), stride):
        window = ids[start : start + length].astype(np.int64)
        labels = window.copy()
        labels[: 1 if start == 0 else length - stride] = IGNORED
        rows.append((window, labels))
    nats = sum(_judge(model, group)[0] for group in _groups(rows))
    return Perplexity(nats, len(ids) - 1, _count_bytes(tokenizer, ids[1:]))


def score_continuations(
    model: PreTrainedModel, tokenizer: Tokenizer, ids: Ids, *, n_input: int, n_target: int
) -> Perplexity:
    """An encoder-decoder on how texts go on: of each window of `n_input - 1 + n_target` tokens the last ones."""
    step = n_input - 1 + n_target
    starts = range(0, len(ids) - step + 1, step)
    rows = [continuation_row(ids[start : start + step].astype(np.int64), n_input - 1, n_target) for start in starts]
    return _score_rows(model, tokenizer, rows)


def score_restored(model: PreTrainedModel, tokenizer: Tokenizer, ids: Ids, *, n_target: int) -> Perplexity:
    """An encoder-decoder on texts without some of their spans, which is what it mostly learned; `</s>` counts."""
    step = n_target - 1
    rng = np.random.default_rng(_EVALUATION_SEED)
    starts = range(0, len(ids) - step + 1, step)
    return _score_rows(
        model, tokenizer, [remove_spans(ids[start : start + step].astype(np.int64), rng) for start in starts]
    )


def score_questions(model: PreTrainedModel, tokenizer: Tokenizer, ids: Ids, n_questions: int) -> float:
    """Share of questions on their own text (`questions.py`) that greedy decoding answers to the letter.

    Greedy decoding writes the reference exactly if each of its tokens, `</s>` included, is the likeliest one after
    those before it, so one pass over the reference tells.
    """
    limits = SHORT_PASSAGE_TOKENS if model.config.is_encoder_decoder else PASSAGE_TOKENS
    windows = Windows(ids, max(limits), _EVALUATION_SEED)
    rng = np.random.default_rng(_EVALUATION_SEED)
    rows = []
    for i in range(min(n_questions, windows.n_windows)):
        passage = tokenizer.decode(windows.window(i)[: int(rng.integers(*limits))].tolist())
        question = ask(passage, rng)
        if question is None:
            continue
        if model.config.is_encoder_decoder:
            rows.append(question_row(tokenizer, question))
            continue
        prompt, answer = encode(tokenizer, question.prompt), [*encode(tokenizer, question.answer), END_ID]
        labels = [IGNORED] * len(prompt) + answer
        rows.append((np.asarray([*prompt, *answer], dtype=np.int64), np.asarray(labels, dtype=np.int64)))
    return float(np.concatenate([_judge(model, group)[1] for group in _groups(rows)]).mean())


def _score_rows(model: PreTrainedModel, tokenizer: Tokenizer, rows: Sequence[tuple[Array, Array]]) -> Perplexity:
    nats = sum(_judge(model, group)[0] for group in _groups(rows))
    targets = np.concatenate([target for _, target in rows])
    return Perplexity(nats, len(targets), _count_bytes(tokenizer, targets))


def _groups(rows: Sequence[tuple[Array, Array]]) -> Iterator[list[tuple[Array, Array]]]:
    for start in range(0, len(rows), _N_AT_ONCE):
        yield list(rows[start : start + _N_AT_ONCE])


def _count_bytes(tokenizer: Tokenizer, ids: Ids | Array) -> int:
    """Bytes that ids stand for: a symbol of the byte-level alphabet is one byte, a special token none."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    lengths = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for token, index in tokenizer.get_vocab().items():
        lengths[index] = 0 if token in special else len(token)
    return int(lengths[ids].sum())


def _judge(model: PreTrainedModel, rows: list[tuple[Array, Array]]) -> tuple[float, npt.NDArray[np.bool_]]:
    """Nats of all labels together, and per row whether every label is the likeliest token."""
    import torch

    batch = {name: torch.from_numpy(values) for name, values in pad_pairs(rows).items()}
    with torch.inference_mode():
        logits = model(**batch).logits.float()
    labels = batch["labels"]
    if not model.config.is_encoder_decoder:  # what stands at a place predicts the next one
        logits, labels = logits[:, :-1], labels[:, 1:]
    nats = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    is_right = (logits.argmax(-1) == labels) | (labels == IGNORED)
    return float(nats), is_right.all(-1).numpy()
