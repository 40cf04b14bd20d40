"""Peak memory of a trial above the idle worker, part by part.

A byte count of tensors that are alive together: weights, what the optimizer keeps, gradients, and the activations that
wait for the backward pass. The bytes per token of a layer were read off the tensors that autograd saves, not fitted to
peaks (docs/log.md, 2026-11-28: memory by its parts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from xautolm.records import Family, ModelSpec
from xautolm.space.workload import PREDICT_ROWS, TaskSize, Workload, row_lengths, stored_params
from xautolm.space.writing import kv_share

_MIB = 2**20
#: Interpreter, tokenizer, allocator and library buffers of a child above the idle worker; what training adds (Trainer,
#: optimizer, compiled kernels, freed blocks that the allocator keeps); what adapters add (PEFT, three products and
#: their kernels where there was one). Measured with small models and batches, where they are most of the peak.
_RUNTIME_MIB, _TRAINING_MIB, _ADAPTERS_MIB = 40.0, 45.0, 70.0


#: What a layer keeps for its backward pass, in bytes per token and hidden unit: at least, for each time that its
#: feed-forward part is wider than it, and more with dropout. Encoders: BERT; decoders: Llama, whose norms keep 32 bits
#: and whose feed-forward part has three products; two stacks: T5, cross-attention included.
_KEPT: Mapping[Family, tuple[float, float, float]] = MappingProxyType(
    {"encoder": (25.0, 4.0, 9.0), "decoder": (35.0, 8.0, 5.0), "encoder-decoder": (52.0, 4.0, 9.0)}
)
#: Model types that normalise queries and keys of each head as well, and what that keeps.
_NORMED, _NORMED_BYTES = frozenset({"qwen3", "gemma3", "gemma3_text"}), 12.0


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """Bytes that are alive together when a trial needs most.

    Attributes:
        runtime: of the process, without any tensor.
        weights: of the model, and their 16-bit copies.
        training: moments of the optimizer and the copy of the best checkpoint.
        passing: activations or gradients of the pass that needs most, and what is computed beside them.
        features: cached features of a frozen encoder.
        cache: keys and values of generated text.
    """

    runtime: float
    weights: float
    training: float
    passing: float
    features: float = 0.0
    cache: float = 0.0

    @property
    def mib(self) -> float:
        """Their sum in MiB."""
        return float(sum(getattr(self, field.name) for field in fields(self))) / _MIB

    @property
    def dominant(self) -> str:
        """What decides: `passing` when activations and gradients are more than everything else, else `state`."""
        others = self.weights + self.training + self.runtime
        return "passing" if self.passing + self.features + self.cache > others else "state"


def memory_parts(workload: Workload, model: ModelSpec, size: TaskSize) -> MemoryParts:
    """The parts of a trial's peak.

    Training keeps the moments of the optimizer and the best checkpoint (4 bytes per trained parameter).
    """
    is_trained = workload.epochs > 0
    n_rows = max(1, math.ceil(size.n_train * workload.train_fraction))
    longest = row_lengths(size.token_quantiles, min(workload.max_length, model.context))[2]
    n_new = workload.generated_tokens
    scored = 1 if n_new else longest  # text is generated token by token, and the prompt needs no logits
    predict = _predicted_bytes(workload, model, longest) + logit_bytes(workload, model, size, PREDICT_ROWS, scored)
    runtime = _RUNTIME_MIB
    if is_trained:
        runtime += _TRAINING_MIB + (_ADAPTERS_MIB if workload.n_lora else 0.0)
    copies = 2.0 * stored_params(model) if workload.is_mixed else 0.0
    cached = replace(model, n_layers=model.n_decoder_layers) if model.n_decoder_layers else model
    return MemoryParts(
        runtime=_MIB * runtime,
        weights=4.0 * model.n_params + copies,
        training=float((workload.moment_bytes + 4) * workload.n_trainable) if is_trained else 0.0,
        passing=max(_trained_bytes(workload, model, size, n_rows, longest) if is_trained else 0.0, predict),
        features=0.0 if is_trained else 8.0 * model.hidden * n_rows,
        cache=kv_cache_bytes(cached, PREDICT_ROWS, longest + n_new, kv_share=kv_share(model)) if n_new else 0.0,
    )


def _trained_bytes(workload: Workload, model: ModelSpec, size: TaskSize, n_rows: int, tokens: int) -> float:
    """Bytes of the pass of training that needs most.

    Gradients (4 bytes per trained parameter) take the places of the activations that the backward pass frees, except
    for the table of embeddings, which is too large for them, and those of earlier micro-batches. The trained weights
    are copied and turned into bytes when they are saved (8).
    """
    rows = min(workload.rows_at_once, n_rows)
    scored = tokens
    if workload.generated_tokens:
        scored = workload.generated_tokens + 1
        tokens = _learned_tokens(workload, model, tokens)
    gradients, beside = 4.0 * workload.n_trainable, passing_bytes(workload, model, rows, tokens)
    waiting = activation_bytes(workload, model, rows, tokens) + logit_bytes(workload, model, size, rows, scored)
    table = 4.0 * model.n_params_embedding if workload.trains_embeddings else 0.0
    if rows < min(workload.batch_size, n_rows):
        return max(waiting + gradients + table + beside, 2 * gradients)
    return max(waiting + table + beside, gradients + beside, 2 * gradients)


def _learned_tokens(workload: Workload, model: ModelSpec, prompt: int) -> int:
    """Tokens that pass a layer, on average over the layers: of prompt and answer together, or of one in each stack."""
    if not model.n_decoder_layers:
        return prompt + workload.generated_tokens
    passed = model.n_layers * prompt + model.n_decoder_layers * workload.generated_tokens
    return math.ceil(passed / model.depth)


def layer_bytes(workload: Workload, model: ModelSpec, tokens: int) -> float:
    """Bytes that one layer keeps for its backward pass, per token and hidden unit.

    Read off the saved tensors of a BERT layer under bf16 autocast, with f = feed-forward width / hidden:

    - 25 + 4 f without dropout (inputs of the products in 16 bits, of LayerNorm and residual sums in 32; the attention
      kernel keeps no scores), 34 + 4 f with dropout, and then 12 bytes per attention score (three 32-bit tensors of
      batch x heads x tokens x tokens).
    - 18 + 4 f more where the inputs of adapters are dropped out: each adapted product keeps its own input and mask.

    Other families keep other amounts (`_KEPT`).

    Without autocast the 16-bit inputs have 32: 4 f and about 14 more. Korthikanti et al. (2022), equation 2, counts
    34 + 5 a s / h for 16 bits and fused kernels.

    >>> minilm = ModelSpec("m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",))
    >>> full = Workload(22_713_216, 6, True, epochs=1, batch_size=32, max_length=128, train_fraction=1.0)
    >>> layer_bytes(full, minilm, 128), layer_bytes(full, minilm, 256)
    (98.0, 146.0)
    """
    wide = model.intermediate / model.hidden
    least, per_width, dropped = _KEPT[model.family]
    kept = least + per_width * wide + (dropped if workload.has_dropout else 0.0)
    if model.model_type in _NORMED:
        kept += _NORMED_BYTES
    if workload.has_adapter_dropout:
        kept += 18.0 + 4.0 * wide
    if not workload.is_mixed:
        kept += 14.0 + 4.0 * wide
    return kept + (12.0 * _scores(model, tokens) if workload.has_dropout else 0.0)


def activation_bytes(workload: Workload, model: ModelSpec, rows: int, tokens: int) -> float:
    """Bytes of the activations that wait for the backward pass.

    With checkpointing only the inputs of the layers wait (4 bytes per token and hidden unit), and one layer is computed
    again at a time (Chen et al. 2016).

    Args:
        workload: what the method does.
        model: the pretrained model.
        rows: of the (micro-)batch.
        tokens: of its longest row.
    """
    units = float(rows * tokens * model.hidden)
    layers = min(workload.backward_layers, model.depth)
    per_layer = layer_bytes(workload, model, tokens)
    embedding = 8.0 if workload.trains_embeddings else 0.0
    if workload.is_checkpointed:
        return units * (embedding + 4.0 * layers + per_layer)
    return units * (embedding + layers * per_layer)


def passing_bytes(workload: Workload, model: ModelSpec, rows: int, tokens: int) -> float:
    """Bytes of what one layer computes and drops again: intermediate results forward, gradients backward.

    With dropout attention computes its scores one by one, in 32 bits: two more tensors of them than are kept.
    """
    wide = model.intermediate / model.hidden
    scores = 8.0 * _scores(model, tokens) if workload.has_dropout else 0.0
    return float(rows * tokens * model.hidden) * (10.0 + 4.0 * wide + scores)


def logit_bytes(workload: Workload, model: ModelSpec, size: TaskSize, rows: int, tokens: int) -> float:
    """Bytes of logits, of their softmax in 32 bits and of their gradient.

    Of a large vocabulary they outweigh everything else: rows x tokens x vocabulary x (2 + 4 + 4 bytes), the first in
    16 bits under autocast (e.g. 8 x 512 tokens of 151,936 words: 5.8 GiB).
    """
    per_value = (2 if workload.is_mixed else 4) + 8
    if workload.predicts_vocabulary:
        return float(rows * tokens * model.vocabulary * per_value)
    return float(rows * size.n_classes * per_value)


def kv_cache_bytes(
    model: ModelSpec, rows: int, tokens: int, *, kv_share: float = 1.0, bytes_per_value: int = 2
) -> float:
    """Bytes of the keys and values that generation keeps: 2 x layers x hidden x tokens x rows values.

    Pope et al. (2022), section 3.1; with grouped queries (Ainslie et al. 2023) only a share of the heads has keys.

    Args:
        model: the pretrained model.
        rows: texts that are generated together.
        tokens: read and generated tokens of each.
        kv_share: heads with keys of their own over all heads.
        bytes_per_value: 2 in 16 bits.

    >>> seven_b = ModelSpec("7b", "", "", "llama", 32, False, 1, 1, 4096, 32, 11008, 32000, 4096, ("native",))
    >>> kv_cache_bytes(seven_b, 1, 4096) / 2**30
    2.0
    """
    return 2.0 * model.n_layers * model.hidden * kv_share * tokens * rows * bytes_per_value


def _scores(model: ModelSpec, tokens: int) -> float:
    """Attention scores per token and hidden unit of one layer."""
    return model.n_heads * tokens / model.hidden


def _predicted_bytes(workload: Workload, model: ModelSpec, tokens: int) -> float:
    """Bytes of what one layer needs in evaluation mode, where the attention kernel keeps no scores."""
    rows = min(PREDICT_ROWS, 4 * workload.micro_batch_size) if workload.micro_batch_size else PREDICT_ROWS
    wide = model.intermediate / model.hidden
    return float(rows * tokens * model.hidden) * (30.0 + 4.0 * wide)
