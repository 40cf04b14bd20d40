"""What it costs to learn answers and to write them, token after token.

A generated token costs more than one that is read, 5 times (prompts of 100 tokens) to 10 times (300) as much with
small models: weights, keys and values pass through memory for a few rows at a time. The figures below were fitted to
`generate` with decoder-only and encoder-decoder models of 1 to 30 million parameters, one thread, bf16, where large
products ran at about 200 GFLOP/s (docs/log.md, 2026-11-28: what writing costs).
"""

from __future__ import annotations

import math
from dataclasses import replace

from xautolm.records import ModelSpec
from xautolm.space.workload import PREDICT_ROWS, TaskSize, Workload, active_params, row_lengths

#: Tokens that may be generated: the 99th percentile of the training answers and a quarter, at most this many.
_QUANTILE, _MARGIN, _MOST_NEW = 99, 1.25, 512
#: Intermediate validations of a training, the share of it that they may cost, and the rows that they predict.
N_VALIDATIONS, _VALIDATION_SHARE, _MIN_ROWS, _MAX_ROWS = 8, 0.15, 16, 64
#: In time: a generated token against one that is read, and a token that is learned.
_GENERATED_COST, _TRAINED_COST = 6.0, 3.0
#: Floating-point operations of large products in the time that a byte passes through memory.
_FLOPS_PER_BYTE = 14.0
#: Bytes that pass for each generated token: per weight and batch; per cached key and value of a row (they are copied to
#: grow by one, and read); per word of the vocabulary and row (scores are converted, checked and compared).
_WEIGHT_BYTES, _CACHE_BYTES, _WORD_BYTES = 4.0, 17.0, 110.0
#: Python and kernel launches of one token of a batch, per layer.
_LAYER_S = 0.0006


def new_tokens(usual: float, context: int | None) -> int:
    """Tokens that an answer may have.

    Args:
        usual: 99th percentile of the tokens of the training answers, the end token included.
        context: tokens that prompt and answer share (decoder-only), at most half of which go to the answer; None =
            they share none.

    >>> new_tokens(4, None), new_tokens(900, None), new_tokens(900, 128)
    (5, 512, 64)
    """
    return min(math.ceil(_MARGIN * usual), _MOST_NEW, context // 2 if context else _MOST_NEW)


def affordable_rows(prompt: float, answer: float, n_trained: float) -> int:
    """Rows of the fixed validation subset, which are predicted several times during training: 16 to 64.

    Args:
        prompt: mean tokens of a prompt.
        answer: mean tokens of an answer.
        n_trained: rows that the training passes, counting repetitions.

    >>> affordable_rows(300, 5, 200), affordable_rows(300, 5, 1000), affordable_rows(300, 100, 1000)
    (16, 52, 25)
    """
    trained = _TRAINED_COST * (prompt + answer) * n_trained
    predicted = N_VALIDATIONS * (prompt + _GENERATED_COST * answer)
    return min(_MAX_ROWS, max(_MIN_ROWS, round(_VALIDATION_SHARE * trained / predicted)))


def writes(model: ModelSpec, size: TaskSize) -> bool:
    """Whether a model writes the answers of a task; encoders look for them in contexts."""
    return bool(size.answer_quantiles) and model.family != "encoder"


def with_answers(workload: Workload, model: ModelSpec, size: TaskSize) -> Workload:
    """The workload with what the answers of a task add to it; methods know nothing of tasks."""
    if not writes(model, size) or workload.generated_tokens:
        return workload
    n_new = new_tokens(size.answer_quantiles[_QUANTILE], model.context if model.family == "decoder" else None)
    return replace(workload, generated_tokens=n_new, predicts_vocabulary=True)


def mean_answer(model: ModelSpec, size: TaskSize) -> float:
    """Mean tokens of the answers that a model learns; 0 where it writes none."""
    return row_lengths(size.answer_quantiles, _MOST_NEW)[0] if writes(model, size) else 0.0


def answer_flops(model: ModelSpec, prompt: float, answer: float) -> float:
    """Operations of one forward pass that a row's answer adds to those of reading `prompt` tokens with all layers.

    Encoder-decoders read the prompt with the encoder alone, and turn what it gives into keys and values for every layer
    of the decoder (two products of hidden x hidden); the head over the vocabulary is used for the answer only.
    """
    read = active_params(model)
    correction = 0.0
    if model.n_decoder_layers:
        crossing = 2.0 * model.hidden**2 * model.n_decoder_layers
        correction = 2.0 * (crossing - model.n_params_decoder) * prompt
        read = model.n_params_decoder
    return correction + 2.0 * (read + model.hidden * model.vocabulary) * answer


def writing_s(workload: Workload, model: ModelSpec, size: TaskSize, flops_per_s: float, n_rows: int) -> float:
    """Seconds in which a model writes answers, after it has read the prompts.

    A batch ends with its longest answer, so about the 99th percentile of the answers counts, not their mean.

    Args:
        workload: from `with_answers`.
        model: the pretrained model.
        size: of the task.
        flops_per_s: floating-point operations per second in large products.
        n_rows: rows that are predicted.
    """
    if not writes(model, size) or n_rows <= 0:
        return 0.0
    n_new = min(size.answer_quantiles[_QUANTILE], workload.generated_tokens)
    prompt = row_lengths(size.token_quantiles, min(workload.max_length, model.context))[0]
    layers = model.n_decoder_layers or model.n_layers
    weights = model.n_params_decoder if model.n_decoder_layers else active_params(model)
    weights += model.hidden * model.vocabulary
    cached = 2.0 * layers * model.hidden * kv_share(model) * (prompt + n_new / 2)
    row_flops = 2.0 * weights + _FLOPS_PER_BYTE * (_CACHE_BYTES * cached + _WORD_BYTES * model.vocabulary)
    n_batches = math.ceil(n_rows / PREDICT_ROWS)
    batch_s = _FLOPS_PER_BYTE * _WEIGHT_BYTES * weights / flops_per_s + _LAYER_S * (layers + 1)
    return n_new * (n_rows * row_flops / flops_per_s + n_batches * batch_s)


def kv_share(model: ModelSpec) -> float:
    """Heads with keys and values of their own over all heads (Ainslie et al. 2023)."""
    return model.n_kv_heads / model.n_heads if model.n_kv_heads else 1.0
