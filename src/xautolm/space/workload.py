"""What a trial works on and does, as far as its cost depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from xautolm.records import ModelSpec

#: How rows are read that are longer than the model reads.
ReadIn = Literal["rows", "words", "contexts"]
#: Rows that the worker predicts at once.
PREDICT_ROWS = 64


@dataclass(frozen=True, slots=True)
class TaskSize:
    """The size of a task as far as cost depends on it.

    Attributes:
        n_train: training rows.
        n_validation: validation rows.
        n_classes: classes.
        token_quantiles: 101 quantiles (0 %, 1 %, ..., 100 %) of the tokens per row, without truncation.
        answer_quantiles: the same of the answers of the training rows, the end token included, where rows ask for
            texts; else empty.
        read_in: how rows are read that are longer than the model reads: cut (`rows`), or in windows of words or of
            contexts (`windows.READ_IN`).
    """

    n_train: int
    n_validation: int
    n_classes: int
    token_quantiles: tuple[int, ...]
    answer_quantiles: tuple[int, ...] = ()
    read_in: ReadIn = "rows"

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TaskSize:
        """From its JSON form, also that of an earlier version."""
        fields: dict[str, Any] = dict(value)
        lists = ("token_quantiles", "answer_quantiles")
        return cls(**{**fields, **{name: tuple(fields.get(name, ())) for name in lists}})


@dataclass(frozen=True, slots=True)
class Workload:
    """What a method does with a model under given hyperparameters; filled by `methods/`.

    Attributes:
        n_trainable: parameters that receive gradients.
        backward_layers: transformer layers that the gradient passes through (0 = frozen encoder).
        trains_embeddings: whether the embedding tables receive gradients (they are then part of
            `n_trainable`).
        epochs: passes over the used rows (0 for a head on cached features).
        batch_size: rows per optimizer step.
        max_length: tokens after which a row is truncated.
        train_fraction: share of the training rows that is used.
        n_lora: adapter parameters, included in `n_trainable`; 0 without adapters.
        micro_batch_size: rows whose activations are in memory at once; None = the whole batch.
        has_dropout: whether hidden states and attention are dropped out in training; attention then keeps its scores.
        has_adapter_dropout: whether the inputs of adapters are dropped out.
        is_checkpointed: whether only the inputs of layers are kept for the backward pass (Chen et al. 2016).
        moment_bytes: what the optimizer keeps per trained parameter: two moments of 4 bytes for Adam.
        is_mixed: whether matrix products are computed in 16 bits (autocast).
        generated_tokens: tokens that are generated per row after reading it, which a KV cache is kept for; 0 for tasks
            without generation.
        predicts_vocabulary: whether the loss is over the vocabulary at every token, not over the classes of a row.
    """

    n_trainable: int
    backward_layers: int
    trains_embeddings: bool
    epochs: float
    batch_size: int
    max_length: int
    train_fraction: float
    n_lora: int = 0
    micro_batch_size: int | None = None
    has_dropout: bool = True
    has_adapter_dropout: bool = False
    is_checkpointed: bool = False
    moment_bytes: int = 8
    is_mixed: bool = True
    generated_tokens: int = 0
    predicts_vocabulary: bool = False

    @property
    def rows_at_once(self) -> int:
        """Rows of one forward and backward pass."""
        return self.micro_batch_size or self.batch_size


@lru_cache(maxsize=4096)
def row_lengths(token_quantiles: tuple[int, ...], longest: int) -> tuple[float, float, int]:
    """Mean, mean square and maximum of the tokens per row after truncation to `longest`.

    >>> row_lengths((4, 8, 300), 128)
    (46.666666666666664, 5488.0, 128)
    """
    lengths = [max(1, min(n, longest)) for n in token_quantiles]
    return sum(lengths) / len(lengths), sum(n * n for n in lengths) / len(lengths), max(lengths)


def active_params(model: ModelSpec) -> int:
    """Parameters that every token is multiplied with; ALBERT uses one layer's weights `n_layers` times."""
    if model.model_type == "albert":
        return model.n_layers * (4 * model.hidden**2 + 2 * model.hidden * model.intermediate)
    return model.n_params - model.n_params_embedding


def stored_params(model: ModelSpec) -> int:
    """Parameters of the layers that are in memory, which for ALBERT is one layer's."""
    return max(model.n_params - model.n_params_embedding, 0)
