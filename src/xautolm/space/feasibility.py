"""Memory and time estimates of a trial before it is launched, and whether they fit its limits.

The time of a trial is a sum of floating-point work (transformer blocks, forward and backward), memory traffic
(optimizer and gradients, once per step) and fixed costs (start, loading); its memory is counted by `space.memory`. Both
are uncertain; `space.residuals` learns by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from xautolm.records import ModelSpec
from xautolm.space.memory import memory_parts
from xautolm.space.residuals import Residual, log_ratios
from xautolm.space.windows import as_read
from xautolm.space.workload import TaskSize, Workload, active_params, row_lengths
from xautolm.space.writing import affordable_rows, answer_flops, mean_answer, with_answers, writes, writing_s

__all__ = [
    "DEFAULT_SPEED",
    "NO_MARGIN",
    "Estimate",
    "Limits",
    "Margin",
    "Speed",
    "TaskSize",
    "Verdict",
    "Workload",
    "calibrated",
    "check",
    "estimate",
    "format_mib",
    "format_seconds",
    "row_lengths",
]

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
#: Passes over the features that the solver of a logistic regression makes, each as costly as 4 operations per
#: weight and ten times slower per operation than the large matrix products of an encoder.
_SOLVER_PASSES, _SOLVER_SLOWDOWN = 200, 10
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
class Margin:
    """How uncertain estimates are, and how sure a verdict has to be.

    Attributes:
        time_log_sd: standard deviation of log(seconds / estimate).
        memory_log_sd: of log(peak / estimate).
        time_quantile: probability with which a trial that is called fitting ends in time.
        memory_quantile: probability with which it stays within its memory.
    """

    time_log_sd: float = 0.0
    memory_log_sd: float = 0.0
    time_quantile: float = 0.84
    memory_quantile: float = 0.95

    @property
    def time_factor(self) -> float:
        """Over the estimate: what the seconds stay below with that probability."""
        return math.exp(NormalDist().inv_cdf(self.time_quantile) * self.time_log_sd)

    @property
    def memory_factor(self) -> float:
        """Over the estimate: what the peak stays below with that probability."""
        return math.exp(NormalDist().inv_cdf(self.memory_quantile) * self.memory_log_sd)


#: Estimates are taken at their word.
NO_MARGIN = Margin()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pipeline fits the limits of a trial, with the figures behind the answer.

    Attributes:
        fits: whether both estimates stay within the limits, margins included.
        reason: why not, as a phrase for users; empty when it fits.
        time_s: estimated seconds of the whole trial.
        memory_mib: estimated peak memory in MiB above the idle worker.
        limits: the limits that the estimates were compared with, when known.
        margin: how uncertain the estimates are.
    """

    fits: bool
    reason: str
    time_s: float
    memory_mib: float
    limits: Limits | None = None
    margin: Margin = NO_MARGIN

    @property
    def memory_excess(self) -> float:
        """What the peak may come to over its limit; infinite when the limit is not known."""
        limit = self.limits.memory_mib if self.limits else 0.0
        return self.memory_mib * self.margin.memory_factor / limit if limit > 0 else math.inf

    @property
    def time_excess(self) -> float:
        """What the seconds may come to over their limit; infinite when the limit is not known."""
        limit = self.limits.time_s if self.limits else 0.0
        return self.time_s * self.margin.time_factor / limit if limit > 0 else math.inf


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
        dominant: what its memory is mostly, `passing` (activations, gradients) or `state`.
    """

    time_s: float
    memory_mib: float
    dominant: str = "state"


#: One thread of a laptop-class core: gives the 50 rows/s of full fine-tuning that design.md (decision 8)
#: measured with the 6-layer MiniLM on texts of about 12 tokens.
DEFAULT_SPEED = Speed(flops_per_s=50e9, startup_s=1.5, source="default")


def estimate(workload: Workload, model: ModelSpec, size: TaskSize, speed: Speed) -> Estimate:
    """Estimate time and peak memory of one trial.

    Args:
        workload: what the method does.
        model: the pretrained model.
        size: rows, classes and lengths of the task.
        speed: of one trial on this machine.

    >>> model = ModelSpec(
    ...     "m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",)
    ... )
    >>> size = TaskSize(4000, 500, 2, tuple([12] * 101))
    >>> full = Workload(22_713_216, 6, True, epochs=1, batch_size=16, max_length=64, train_fraction=1.0)
    >>> took = estimate(full, model, size, DEFAULT_SPEED)
    >>> round(took.time_s), round(took.memory_mib)
    (96, 625)
    """
    size = as_read(size, model, workload.max_length)
    workload = with_answers(workload, model, size)
    parts = memory_parts(workload, model, size)
    return Estimate(_time_s(workload, model, size, speed), parts.mib, parts.dominant)


def check(
    workload: Workload,
    model: ModelSpec,
    size: TaskSize,
    speed: Speed,
    limits: Limits,
    *,
    margin: Margin = NO_MARGIN,
    memory_scale: float = 1.0,
) -> Verdict:
    """Compare the estimates of a trial with its limits.

    Args:
        workload: what the method does.
        model: the pretrained model.
        size: of the task.
        speed: of one trial on this machine.
        limits: of the trial.
        margin: how uncertain the estimates are.
        memory_scale: factor on the memory, learned from finished trials.

    >>> model = ModelSpec(
    ...     "m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",)
    ... )
    >>> size = TaskSize(4000, 500, 2, tuple([12] * 101))
    >>> full = Workload(22_713_216, 6, True, epochs=1, batch_size=16, max_length=64, train_fraction=1.0)
    >>> check(full, model, size, DEFAULT_SPEED, Limits(time_s=600, memory_mib=512)).reason
    'needs about 625 MiB of memory, the limit is 512 MiB'
    >>> close = Limits(time_s=600, memory_mib=700)
    >>> check(full, model, size, DEFAULT_SPEED, close, margin=Margin(memory_log_sd=0.12)).reason
    'needs about 625 MiB of memory, in 5 % of such trials more than 762 MiB, the limit is 700 MiB'
    >>> check(full, model, size, DEFAULT_SPEED, Limits(time_s=45, memory_mib=4096)).reason
    'needs about 1.6 min, the limit is 45 s'
    """
    needed = estimate(workload, model, size, speed)
    verdict = Verdict(False, "", needed.time_s, needed.memory_mib * memory_scale, limits, margin)
    reasons = []
    if verdict.memory_excess > 1:
        upper = _upper(
            margin.memory_factor, margin.memory_quantile, format_mib(verdict.memory_excess * limits.memory_mib)
        )
        figure, limit = format_mib(verdict.memory_mib), format_mib(limits.memory_mib)
        reasons.append(f"needs about {figure} of memory{upper}, the limit is {limit}")
    if verdict.time_excess > 1:
        most = format_seconds(verdict.time_excess * limits.time_s)
        upper = _upper(margin.time_factor, margin.time_quantile, most)
        figure, limit = format_seconds(verdict.time_s), format_seconds(limits.time_s)
        reasons.append(f"needs about {figure}{upper}, the limit is {limit}")
    return replace(verdict, fits=not reasons, reason="; ".join(reasons))


def _upper(factor: float, quantile: float, figure: str) -> str:
    """The margin of a reason, where there is one."""
    return f", in {100 * (1 - quantile):.0f} % of such trials more than {figure}" if factor > 1 else ""


def calibrated(speed: Speed, pairs: Sequence[tuple[float, float]]) -> Speed:
    """Correct a speed by finished trials.

    The median ratio of actual to estimated time is shrunk toward 1, in the logarithm, as if two trials had
    confirmed the estimate: exp(n * log(median) / (n + 2)).

    Args:
        speed: the speed that the estimates were made with.
        pairs: (actual, estimated) seconds of the trials that ended `ok`; pairs that are not positive and
            finite are ignored.

    >>> calibrated(DEFAULT_SPEED, [(40.0, 10.0), (40.0, 10.0)]).scale
    2.0
    >>> calibrated(DEFAULT_SPEED, []) == DEFAULT_SPEED
    True
    """
    belief = Residual(0.0, 0.0, _PSEUDO_TRIALS).after(log_ratios(pairs))
    return replace(speed, scale=speed.scale * belief.factor)


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
        n_validated += round(_N_VALIDATIONS * min(_subset(workload, model, size, passed), size.n_validation))
        train_flops = passed * _train_flops(workload, model, size)
    else:
        n_steps = 0
        solver = 4.0 * n_rows * model.hidden * size.n_classes * _SOLVER_PASSES * _SOLVER_SLOWDOWN
        train_flops = n_rows * evaluate_flops + solver
    step_s = workload.n_trainable * _STEP_BYTES / _BYTES_PER_S + _STEP_OVERHEAD_S
    work_s = (train_flops + n_validated * evaluate_flops) / speed.flops_per_s + n_steps * step_s
    work_s += writing_s(workload, model, size, speed.flops_per_s, n_validated)
    return speed.scale * (speed.startup_s + 4 * model.n_params / _LOAD_BYTES_PER_S + work_s)


def _subset(workload: Workload, model: ModelSpec, size: TaskSize, passed: float) -> float:
    """Rows of each validation during a training that passes so many rows."""
    if writes(model, size):
        prompt = row_lengths(size.token_quantiles, min(workload.max_length, model.context))[0]
        return affordable_rows(prompt, mean_answer(model, size), passed)
    low, high = _VALIDATION_ROWS
    return min(high, max(low, _VALIDATION_SHARE * passed))


def _train_flops(workload: Workload, model: ModelSpec, size: TaskSize) -> float:
    """Forward through the model, then backward through the layers that the gradient passes.

    The backward pass costs twice the forward one (a product for the inputs and one for the weights); with
    adapters the frozen weights need no product of their own, so once.
    """
    answer = mean_answer(model, size)
    forward = _forward_flops(workload, model, size, _SCORE_FLOPS_TRAIN, answer)
    backward = _forward_flops(workload, model, size, _SCORE_FLOPS_BACKWARD / 2, answer) * 2
    products = _forward_flops(workload, model, size, 0, answer)
    if workload.n_lora:
        backward -= products
    share = min(1.0, workload.backward_layers / max(1, model.depth))
    return forward + share * backward


def _forward_flops(
    workload: Workload, model: ModelSpec, size: TaskSize, score_flops: float, answer: float = 0.0
) -> float:
    """Operations of one row's forward pass: 2 per active parameter and token, and the attention scores.

    Two per parameter and token is Kaplan et al. (2020), section 2.1; the scores add 4 * hidden per pair of
    tokens and layer. An answer of so many tokens is passed in training; what writing it costs is `writing_s`.
    """
    mean, mean_square, _ = row_lengths(size.token_quantiles, min(workload.max_length, model.context))
    tokens, token_pairs = _PADDING * mean, _PADDING**2 * mean_square
    per_pair = 4.0 * model.hidden + score_flops * model.n_heads
    flops = 2.0 * active_params(model) * tokens + model.depth * per_pair * token_pairs
    return flops + (answer_flops(model, tokens, answer) if writes(model, size) else 0.0)


def _n_rows(workload: Workload, size: TaskSize) -> int:
    return math.ceil(size.n_train * workload.train_fraction)
