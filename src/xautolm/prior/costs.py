"""Memory and time of a trial anywhere: of this project's own trials and of published ones.

Own trials are estimated as before a launch (`space.feasibility`). Published ones (`method.md` section 3) ran on a GPU,
padded every row to the maximum length, chose among four optimizers and held out 30 % of the rows. The figures are to
rank pipelines with; what they are off by is learned from experience.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from xautolm import registry
from xautolm.errors import XAutoLMError
from xautolm.records import Experience, ModelSpec, ParamValue, Profile
from xautolm.space.feasibility import DEFAULT_SPEED, Estimate, Speed, TaskSize, Workload, estimate, row_lengths
from xautolm.space.workload import ReadIn

#: Versions of the space that imported published evaluations carry.
_PUBLISHED = "published/"
#: Characters of one token of English text under a sub-word vocabulary.
_CHARS_PER_TOKEN = 4.5
#: Values taken for a hyperparameter that a pipeline does not name, so that its cost can be told at all.
TYPICAL: Mapping[str, float] = {
    "epochs": 2.0,
    "batch_size": 16.0,
    "max_length": 128.0,
    "train_fraction": 1.0,
    "lora_r": 8.0,
    "n_layers": 2.0,
    "dropout": 0.1,
    "lora_dropout": 0.0,
}
#: What a rescued trial carries besides.
_RESCUE = ("micro_batch_size", "gradient_checkpointing")
#: What `data_downsize` of the published question answering leaves of the rows.
_DOWNSIZED: Mapping[str, float] = {"none": 1.0, "half": 0.5, "1/4": 0.25}
#: Features of a task that say how long its rows are, the percentiles that they stand for, and the tokens that a model
#: adds to each row.
_TOKENS, _PERCENTILES = ("tokens_p10", "tokens_p50", "tokens_p90", "tokens_p99", "tokens_max"), (10, 50, 90, 99)
_SPECIAL_TOKENS = 2
#: Operations of one row in the measured training step of `metafeatures.speed`: 24 tokens through the 10.8 million
#: parameters of the embedded encoder's layers, forward and backward.
_MEASURED_ROW_FLOPS, _MAX_ROWS_PER_S = 6 * 24 * 10.8e6, 1e9
#: A published evaluation trains on 70 % of the rows and validates on the others (`method.md` 3.4).
_PUBLISHED_TRAIN_SHARE = 0.7
#: Of own splits: 80/10/10.
_VALIDATION_SHARE = 0.125
#: Published classification evaluates two splits within the limit, `evaluation_time` is that of one (`method.md` 3.4).
_PUBLISHED_SPLITS = 2
#: A 24 GB card of 2022 in the products of training: 32-bit, and 16-bit with mixed precision.
_GPU_FLOPS, _GPU_MIXED_FLOPS = 20e12, 60e12
#: Start, reading of weights (bytes per second), and the fixed cost of one optimizer step.
_GPU_START_S, _GPU_LOAD_BYTES_PER_S, _GPU_STEP_S = 10.0, 1e9, 0.05
#: Bytes that an optimizer keeps per trained parameter, besides weight and gradient.
_OPTIMIZER_BYTES: Mapping[str, int] = {"adamw": 8, "adam": 8, "adagrad": 4, "sgd": 0}
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that decides about a trial besides its pipeline.

    Attributes:
        profile: of task and machine.
        time_limit_s: seconds that one evaluation may take, NaN when unknown.
        memory_limit_mib: NaN when unknown.
        is_published: whether the trial follows the published protocol instead of ours.
    """

    profile: Profile
    time_limit_s: float
    memory_limit_mib: float
    is_published: bool = False

    @classmethod
    def of(cls, experience: Experience) -> Setting:
        """The setting in which an experience was made."""
        is_published = experience.space_version.startswith(_PUBLISHED)
        is_split = is_published and experience.kind == "text-classification"
        limit = _positive(experience.time_limit_s)
        return cls(
            experience.profile,
            limit / (_PUBLISHED_SPLITS if is_split else 1),
            _positive(experience.memory_limit_mib),
            is_published,
        )

    @property
    def n_train(self) -> float:
        """Rows to train on, before a pipeline takes a part of them; NaN when unknown."""
        share = _PUBLISHED_TRAIN_SHARE if self.is_published else 1.0
        return share * _positive(self.profile.task.get("n_train"))


@dataclass(frozen=True, slots=True)
class Work:
    """What a pipeline does with a model on a task, and what it is expected to cost.

    Attributes:
        load: what the method trains.
        n_rows: rows of one epoch.
        row_tokens: tokens of an average row, padding to a fixed length included.
        n_steps: batches of the whole training.
        flops: floating-point operations of the whole training in matrix products.
        time_s: estimated seconds.
        memory_mib: estimated peak memory.
        dominant: as in `Estimate`.
    """

    load: Workload
    n_rows: float
    row_tokens: float
    n_steps: float
    flops: float
    time_s: float
    memory_mib: float
    dominant: str = "state"


def number(value: object) -> float:
    """A hyperparameter as a finite number, NaN for anything else; truth values are 0 and 1."""
    if not isinstance(value, int | float):
        return math.nan
    try:
        result = float(value)
    except OverflowError:
        return math.nan
    return result if math.isfinite(result) else math.nan


def _positive(value: object) -> float:
    result = number(value)
    return result if result > 0 else math.nan


def work_of(
    method: str,
    params: Mapping[str, ParamValue],
    model: ModelSpec,
    setting: Setting,
    speed: Speed | None = None,
) -> Work | None:
    """What a pipeline does and costs; None when its method is not known or the task has no size.

    Args:
        method: its method.
        params: its hyperparameters.
        model: its model.
        setting: where it runs.
        speed: of the machine, when it is known better than by the setting.
    """
    n_train, load = setting.n_train, _workload(method, params, model)
    if load is None or math.isnan(n_train):
        return None
    n_rows = max(1.0, n_train * load.train_fraction)
    size = _task_size(setting, min(load.max_length, model.context))
    row_tokens = row_lengths(size.token_quantiles, min(load.max_length, model.context))[0]
    n_steps = math.ceil(n_rows / load.batch_size) * load.epochs
    per_row = _row_flops(load, model, row_tokens)
    flops = n_rows * (per_row * load.epochs if load.epochs else per_row)
    if setting.is_published:
        cost = _published_cost(load, params, model, row_tokens, n_rows, flops)
    else:
        cost = estimate(load, model, size, speed or _speed(setting.profile))
    return Work(load, n_rows, row_tokens, n_steps, flops, cost.time_s, cost.memory_mib, cost.dominant)


def _workload(method: str, params: Mapping[str, ParamValue], model: ModelSpec) -> Workload | None:
    """The method's own account of its work, with usual values for what the pipeline does not name."""
    stated = {name: number(params.get(name)) for name in TYPICAL}
    downsized = _DOWNSIZED.get(str(params.get("data_downsize")), math.nan)
    if math.isnan(stated["train_fraction"]):
        stated["train_fraction"] = downsized
    filled = {name: value if _is_sane(name, value) else TYPICAL[name] for name, value in stated.items()}
    rescued = {name: number(params[name]) for name in _RESCUE if number(params.get(name)) >= 1}
    return _known_workload(method, tuple({**filled, **rescued}.items()), model)


def _is_sane(name: str, value: float) -> bool:
    """Whether a value can be computed with: a share of the rows, a number of epochs, or a size of at least 1."""
    if name == "train_fraction":
        return 0.001 <= value <= 1.0
    if name.endswith("dropout"):
        return 0.0 <= value < 1.0
    return (0.001 if name == "epochs" else 1.0) <= value <= 1e7


@lru_cache(maxsize=20_000)
def _known_workload(method: str, params: tuple[tuple[str, float], ...], model: ModelSpec) -> Workload | None:
    try:
        load: Workload = registry.resolve("methods", method).workload(model, dict(params))
    except (XAutoLMError, ArithmeticError, LookupError, TypeError, ValueError, ImportError):
        return None  # a method of another release or of a plug-in that is not here
    return load


def _task_size(setting: Setting, max_length: int) -> TaskSize:
    profile, n_train = setting.profile, setting.n_train
    n_classes = max(1, min(round(_or(_positive(profile.task.get("n_classes")), 2.0)), 100_000))
    answers, read_in = _answer_quantiles(profile), _read_in(profile)
    if setting.is_published:  # every row is padded to the maximum length
        held_out = round(n_train * (1 / _PUBLISHED_TRAIN_SHARE - 1))
        return TaskSize(round(n_train), held_out, n_classes, (max_length,) * 101, answers)
    held_out = round(_or(number(profile.task.get("n_validation")), _VALIDATION_SHARE * n_train))
    measured = tuple(number(profile.task.get(name)) for name in _TOKENS)
    if all(value > 0 for value in measured):
        return TaskSize(round(n_train), held_out, n_classes, _between_percentiles(measured), answers, read_in)
    mean = _or(_positive(profile.task.get("mean_chars")), _positive(profile.task.get("mean_prompt_chars")))
    spread = _or(number(profile.task.get("cv_chars")), 0.5)
    return TaskSize(round(n_train), held_out, n_classes, token_quantiles(mean, spread), answers, read_in)


def _read_in(profile: Profile) -> ReadIn:
    """How long rows are read; encoders have profiles of questions only, other families cut both texts and contexts."""
    schemas: Mapping[str, ReadIn] = {"tokens": "words", "generation": "contexts"}
    return schemas.get(profile.schema.partition("/")[0], "rows")


def _answer_quantiles(profile: Profile) -> tuple[int, ...]:
    """Quantiles of the tokens of answers, where the task has any."""
    mean = _positive(profile.task.get("mean_target_chars"))
    if math.isnan(mean):
        return ()
    return token_quantiles(mean, _or(number(profile.task.get("std_target_chars")), 0.0) / mean)


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


@lru_cache(maxsize=1_000)
def _between_percentiles(tokens: tuple[float, ...]) -> tuple[int, ...]:
    """101 quantiles of the tokens per row, special ones included, on straight lines between those that are known."""
    known = [value + _SPECIAL_TOKENS for value in sorted(tokens)]
    lengths = np.interp(np.arange(101), [0, *_PERCENTILES, 100], [_SPECIAL_TOKENS, *known])
    return tuple(max(1, min(round(length), 1_000_000)) for length in lengths.tolist())


@lru_cache(maxsize=1_000)
def token_quantiles(mean_chars: float, cv_chars: float) -> tuple[int, ...]:
    """101 quantiles of the tokens per row, taken as log-normal with the mean and variation of the characters.

    >>> token_quantiles(90.0, 0.5)[::25]
    (4, 13, 18, 25, 85)
    """
    mean = max(_or(mean_chars, 100.0) / _CHARS_PER_TOKEN, 1.0)
    variance = math.log1p(min(max(cv_chars, 0.05), 5.0) ** 2)
    normal = NormalDist(math.log(mean) - variance / 2, math.sqrt(variance))
    shares = ((q + 0.05) / 100.1 for q in range(101))
    return tuple(max(1, min(round(math.exp(normal.inv_cdf(share))), 1_000_000)) for share in shares)


def _speed(profile: Profile) -> Speed:
    """As measured, else that of a usual processor core, or of a card where the machine has one."""
    has_gpu = _positive(profile.system.get("gpu_memory_gib")) > 0
    usual = Speed(_GPU_FLOPS, _GPU_START_S, "default") if has_gpu else DEFAULT_SPEED
    rows_per_s = number(profile.system.get("train_rows_per_s"))
    if not 0 < rows_per_s < _MAX_ROWS_PER_S:
        return usual
    return replace(usual, flops_per_s=rows_per_s * _MEASURED_ROW_FLOPS, source="measured")


def _row_flops(load: Workload, model: ModelSpec, tokens: float) -> float:
    """Operations of one row in one epoch: forward, and backward through what the gradient passes.

    Two per parameter and token (Kaplan et al. 2020, section 2.1) and four per pair of tokens and hidden unit; backward
    costs twice as much, with adapters once, because frozen weights need no gradient.
    """
    forward = 2.0 * active_params(model) * tokens + 4.0 * model.n_layers * model.hidden * tokens**2
    if not load.epochs:
        return forward
    share = min(1.0, load.backward_layers / max(1, model.n_layers))
    return forward * (1.0 + share * (1.0 if load.n_lora else 2.0))


def active_params(model: ModelSpec) -> int:
    """Parameters that every token is multiplied with; ALBERT uses one layer's weights in every layer."""
    if model.model_type == "albert":
        return model.n_layers * (4 * model.hidden**2 + 2 * model.hidden * model.intermediate)
    return max(model.n_params - model.n_params_embedding, 1)


def _published_cost(
    load: Workload,
    params: Mapping[str, ParamValue],
    model: ModelSpec,
    tokens: float,
    n_rows: float,
    flops: float,
) -> Estimate:
    """Time and memory of a published evaluation: one pass over 30 % of the rows at the end, all in one process."""
    is_mixed = params.get("use_mixed_precision") is True
    held_out = n_rows / _PUBLISHED_TRAIN_SHARE * (1 - _PUBLISHED_TRAIN_SHARE) / load.train_fraction
    work = flops + held_out * _row_flops(Workload(0, 0, False, 0, 1, 1, 1.0), model, tokens)
    n_steps = math.ceil(n_rows / load.batch_size) * load.epochs
    speed = _GPU_MIXED_FLOPS if is_mixed else _GPU_FLOPS
    time_s = _GPU_START_S + 4 * model.n_params / _GPU_LOAD_BYTES_PER_S + work / speed + n_steps * _GPU_STEP_S
    bytes_per_value = 2 if is_mixed else 4
    weights = (4 + (2 if is_mixed else 0)) * model.n_params
    trained = (4 + _OPTIMIZER_BYTES.get(str(params.get("optimizer")), 8)) * load.n_trainable
    # Korthikanti et al. (2022), equation 2, for the layers that the gradient passes and one more
    scores = 5 * model.n_heads * tokens / model.hidden
    layers = min(load.backward_layers, model.n_layers) + 1
    activations = layers * load.batch_size * tokens * model.hidden * bytes_per_value / 2 * (34 + scores)
    return Estimate(time_s, (weights + trained + activations) / _MIB)
