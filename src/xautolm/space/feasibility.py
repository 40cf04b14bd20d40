"""Memory and time estimates of a trial before it is launched.

The time of a trial is a sum of floating-point work (transformer blocks, forward and backward), memory traffic
(optimizer and gradients, once per step) and fixed costs (start, loading). Its memory is a sum of weights,
gradients, optimizer state, the copy of the best checkpoint, and activations. Both are estimates to rank and
to filter with, right within a factor of about two; `calibrated` corrects the time by what this run's own
trials took.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from xautolm.records import ModelSpec

_MIB = 2**20
#: Padded tokens per real token; an allowance for dynamic padding with length grouping.
_PADDING = 1.1
#: Work on one attention score besides the two products (mask, softmax, dropout, casts), in equivalents of a
#: floating-point operation of the matrix products. Measured with the 6-layer MiniLM, one thread, bf16,
#: products at about 210 GFLOP/s: forward with dropout + backward 7 ns at 128 tokens and 28 ns at 256,
#: evaluation 1.6 ns.
_SCORE_FLOPS_TRAIN, _SCORE_FLOPS_BACKWARD, _SCORE_FLOPS_EVALUATE = 1500, 1000, 200
#: Bytes that one step moves per trainable parameter (gradient written, clipped and zeroed, Adam's two
#: moments, the weight) at the bandwidth of one core: 30 ms per step for the 22.7 M parameters of MiniLM with
#: fused AdamW (measured 25-35).
_STEP_BYTES, _BYTES_PER_S = 20, 15e9
#: Python, collation and kernel launches of one optimizer step.
_STEP_OVERHEAD_S = 0.008
#: Reading and converting weights.
_LOAD_BYTES_PER_S = 500e6
#: Validations during training (issue 2) and the rows of each: a share of the rows trained on, within bounds.
#: The worker spends 15 % of the training on them: 0.15 * 3 / 8, a forward pass being a third of a step.
_N_VALIDATIONS, _VALIDATION_SHARE, _VALIDATION_ROWS = 8, 0.056, (64, 256)
#: Rows that the worker predicts at once.
_PREDICT_BATCH = 64
#: Passes over the features that the solver of a logistic regression makes, each as costly as 4 operations per
#: weight and ten times slower per operation than the large matrix products of an encoder.
_SOLVER_PASSES, _SOLVER_SLOWDOWN = 200, 10
#: Interpreter, allocator slack and library buffers of a child above the idle worker.
_RUNTIME_MIB = 150.0
#: Weight of the belief that the estimates are right, in trials (see `calibrated`).
_PSEUDO_TRIALS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one trial.

    Attributes:
        time_s: seconds from launch to result.
        memory_mib: peak memory in MiB above the idle worker.
    """

    time_s: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pipeline fits the limits of a trial, with the figures behind the answer.

    Attributes:
        fits: whether both estimates stay within the limits.
        reason: why not, as a phrase for users; empty when it fits.
        time_s: estimated seconds of the whole trial.
        memory_mib: estimated peak memory in MiB above the idle worker.
        limits: the limits that the estimates were compared with, when known.
    """

    fits: bool
    reason: str
    time_s: float
    memory_mib: float
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class TaskSize:
    """The size of a task as far as cost depends on it.

    Attributes:
        n_train: training rows.
        n_validation: validation rows.
        n_classes: classes.
        token_quantiles: 101 quantiles (0 %, 1 %, ..., 100 %) of the tokens per row, without truncation.
    """

    n_train: int
    n_validation: int
    n_classes: int
    token_quantiles: tuple[int, ...]


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
    """

    n_trainable: int
    backward_layers: int
    trains_embeddings: bool
    epochs: float
    batch_size: int
    max_length: int
    train_fraction: float
    n_lora: int = 0


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one trial runs with the threads that it is given.

    Attributes:
        flops_per_s: floating-point operations per second in the matrix products of training.
        startup_s: seconds from launch to the loading of the model.
        source: `measured` on this machine, or `default`.
        scale: factor on the whole estimate, learned from finished trials (`calibrated`).
    """

    flops_per_s: float
    startup_s: float
    source: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a trial is expected to take.

    Attributes:
        time_s: seconds from launch to result.
        memory_mib: peak memory in MiB above the idle worker.
    """

    time_s: float
    memory_mib: float


#: One thread of a laptop-class core: gives the 50 rows/s of full fine-tuning that design.md (decision 8)
#: measured with the 6-layer MiniLM on texts of about 12 tokens.
DEFAULT_SPEED = Speed(flops_per_s=50e9, startup_s=1.5, source="default")


def estimate(
    workload: Workload, model: ModelSpec, size: TaskSize, speed: Speed, *, bytes_per_value: int = 4
) -> Estimate:
    """Estimate time and peak memory of one trial.

    Args:
        workload: what the method does.
        model: the pretrained model.
        size: rows, classes and lengths of the task.
        speed: of one trial on this machine.
        bytes_per_value: bytes of an activation. 4 also holds under bf16 autocast, which keeps the residual
            stream in fp32 and copies of both (measured: 70 + 13 * heads * length / hidden bytes per token,
            hidden unit and layer).

    >>> model = ModelSpec(
    ...     "m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",)
    ... )
    >>> size = TaskSize(4000, 500, 2, tuple([12] * 101))
    >>> full = Workload(22_713_216, 6, True, epochs=1, batch_size=16, max_length=64, train_fraction=1.0)
    >>> took = estimate(full, model, size, DEFAULT_SPEED)
    >>> round(took.time_s), round(took.memory_mib)
    (96, 639)
    """
    return Estimate(
        time_s=_time_s(workload, model, size, speed),
        memory_mib=_memory_mib(workload, model, size, bytes_per_value),
    )


def check(workload: Workload, model: ModelSpec, size: TaskSize, speed: Speed, limits: Limits) -> Verdict:
    """Compare the estimates of a trial with its limits.

    >>> model = ModelSpec(
    ...     "m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",)
    ... )
    >>> size = TaskSize(4000, 500, 2, tuple([12] * 101))
    >>> full = Workload(22_713_216, 6, True, epochs=1, batch_size=16, max_length=64, train_fraction=1.0)
    >>> check(full, model, size, DEFAULT_SPEED, Limits(time_s=600, memory_mib=512)).reason
    'needs about 639 MiB of memory, the limit is 512 MiB'
    >>> check(full, model, size, DEFAULT_SPEED, Limits(time_s=45, memory_mib=4096)).reason
    'needs about 1.6 min, the limit is 45 s'
    """
    needed = estimate(workload, model, size, speed)
    reasons = []
    if needed.memory_mib > limits.memory_mib:
        need, limit = format_mib(needed.memory_mib), format_mib(limits.memory_mib)
        reasons.append(f"needs about {need} of memory, the limit is {limit}")
    if needed.time_s > limits.time_s:
        need, limit = format_seconds(needed.time_s), format_seconds(limits.time_s)
        reasons.append(f"needs about {need}, the limit is {limit}")
    return Verdict(not reasons, "; ".join(reasons), needed.time_s, needed.memory_mib, limits)


def calibrated(speed: Speed, pairs: Sequence[tuple[float, float]]) -> Speed:
    """Correct a speed by finished trials.

    The median ratio of actual to estimated time is shrunk toward 1, in the logarithm, as if two trials had
    confirmed the
    estimate: exp(n * log(median) / (n + 2)).

    Args:
        speed: the speed that the estimates were made with.
        pairs: (actual, estimated) seconds of the trials that ended `ok`; pairs that are not positive and
            finite are ignored.

    >>> calibrated(DEFAULT_SPEED, [(40.0, 10.0), (40.0, 10.0)]).scale
    2.0
    >>> calibrated(DEFAULT_SPEED, []) == DEFAULT_SPEED
    True
    """
    logs = [math.log(a / e) for a, e in pairs if 0 < a < math.inf and 0 < e < math.inf]
    if not logs:
        return speed
    shrunk = len(logs) * statistics.median(logs) / (len(logs) + _PSEUDO_TRIALS)
    return replace(speed, scale=speed.scale * math.exp(shrunk))


def format_mib(mib: float) -> str:
    """Memory for people: MiB below one GiB, else GiB with one decimal.

    >>> format_mib(653.7), format_mib(5300)
    ('654 MiB', '5.2 GiB')
    """
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def format_seconds(seconds: float) -> str:
    """A duration for people.

    >>> format_seconds(45), format_seconds(84), format_seconds(9000)
    ('45 s', '1.4 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _time_s(workload: Workload, model: ModelSpec, size: TaskSize, speed: Speed) -> float:
    n_rows = _n_rows(workload, size)
    evaluate_flops = _forward_flops(workload, model, size, _SCORE_FLOPS_EVALUATE)
    n_validated = size.n_validation
    if workload.epochs > 0:
        passed = n_rows * workload.epochs
        n_steps = math.ceil(n_rows / workload.batch_size) * workload.epochs
        low, high = _VALIDATION_ROWS
        subset = min(high, max(low, _VALIDATION_SHARE * passed), size.n_validation)
        n_validated += round(_N_VALIDATIONS * subset)
        train_flops = passed * _train_flops(workload, model, size)
    else:
        n_steps = 0
        solver = 4.0 * n_rows * model.hidden * size.n_classes * _SOLVER_PASSES * _SOLVER_SLOWDOWN
        train_flops = n_rows * evaluate_flops + solver
    step_s = workload.n_trainable * _STEP_BYTES / _BYTES_PER_S + _STEP_OVERHEAD_S
    work_s = (train_flops + n_validated * evaluate_flops) / speed.flops_per_s + n_steps * step_s
    return speed.scale * (speed.startup_s + 4 * model.n_params / _LOAD_BYTES_PER_S + work_s)


def _train_flops(workload: Workload, model: ModelSpec, size: TaskSize) -> float:
    """Forward through the model, then backward through the layers that the gradient passes.

    The backward pass costs twice the forward one (a product for the inputs and one for the weights); with
    adapters the frozen weights need no product of their own, so once.
    """
    forward = _forward_flops(workload, model, size, _SCORE_FLOPS_TRAIN)
    backward = _forward_flops(workload, model, size, _SCORE_FLOPS_BACKWARD / 2) * 2
    products = _forward_flops(workload, model, size, 0)
    if workload.n_lora:
        backward -= products
    share = min(1.0, workload.backward_layers / max(1, model.n_layers))
    return forward + share * backward


def _forward_flops(workload: Workload, model: ModelSpec, size: TaskSize, score_flops: float) -> float:
    """Operations of one row's forward pass: 2 per active parameter and token, and the attention scores.

    Two per parameter and token is Kaplan et al. (2020), section 2.1; the scores add 4 * hidden per pair of
    tokens and layer.
    """
    mean, mean_square, _ = row_lengths(size.token_quantiles, min(workload.max_length, model.context))
    tokens, token_pairs = _PADDING * mean, _PADDING**2 * mean_square
    per_pair = 4.0 * model.hidden + score_flops * model.n_heads
    return 2.0 * _active_params(model) * tokens + model.n_layers * per_pair * token_pairs


def _memory_mib(workload: Workload, model: ModelSpec, size: TaskSize, bytes_per_value: int) -> float:
    """Weights (with autocast's 16-bit copies), training state, activations, logits, features."""
    weights = 4 * model.n_params + 2 * _active_params(model)
    # gradient 4, Adam's moments 8, copy of the best checkpoint 4
    trained = 16 * workload.n_trainable
    longest = row_lengths(size.token_quantiles, min(workload.max_length, model.context))[2]
    # Korthikanti et al. (2022), equation 2: s*b*h*(34 + 5*a*s/h) bytes per layer with 16-bit activations.
    # Without a backward pass a layer is freed when the next is done, so one layer is alive at a time.
    unit = bytes_per_value / 2 * longest * model.hidden
    n_alive = min(workload.backward_layers, model.n_layers) + 1
    scores = 5 * model.n_heads * longest / model.hidden
    train = n_alive * workload.batch_size * unit * (34 + scores) if workload.epochs > 0 else 0.0
    # Without dropout the attention kernel keeps no scores (measured: 43-58 bytes per token and hidden unit).
    predict = _PREDICT_BATCH * unit * 34
    activations = max(train, predict)
    logits = 3 * 4 * size.n_classes * max(workload.batch_size, _PREDICT_BATCH)
    features = 8 * model.hidden * _n_rows(workload, size) if workload.epochs == 0 else 0
    return _RUNTIME_MIB + (weights + trained + activations + logits + features) / _MIB


def _n_rows(workload: Workload, size: TaskSize) -> int:
    return math.ceil(size.n_train * workload.train_fraction)


@lru_cache(maxsize=4096)
def row_lengths(token_quantiles: tuple[int, ...], longest: int) -> tuple[float, float, int]:
    """Mean, mean square and maximum of the tokens per row after truncation to `longest`.

    >>> row_lengths((4, 8, 300), 128)
    (46.666666666666664, 5488.0, 128)
    """
    lengths = [max(1, min(n, longest)) for n in token_quantiles]
    return sum(lengths) / len(lengths), sum(n * n for n in lengths) / len(lengths), max(lengths)


def _active_params(model: ModelSpec) -> int:
    """Parameters that every token is multiplied with; ALBERT uses one layer's weights `n_layers` times."""
    if model.model_type == "albert":
        return model.n_layers * (4 * model.hidden**2 + 2 * model.hidden * model.intermediate)
    return model.n_params - model.n_params_embedding
