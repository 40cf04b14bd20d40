"""What a pipeline is in physical terms: numbers that mean the same for any model, method, task and machine.

A past trial with another model on another machine says little about a name ("batch size 32"), but much about tokens per
step, bytes over available bytes, or how far the weights could travel. Inputs are logarithms where they are sizes, and
NaN where they are not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from xautolm import registry
from xautolm.errors import XAutoLMError
from xautolm.methods.method import Facts
from xautolm.prior.anatomy import DECODERS, SEQ2SEQ, ModelBook
from xautolm.prior.costs import Setting, Work, active_params, number, work_of
from xautolm.records import ModelSpec, ParamValue, Pipeline

NAN = math.nan

LANDMARKS = ("tree_landmark", "linear_landmark", "neighbour_landmark")
MODEL_INPUTS = (
    *("log_params", "log_active_params", "log_embedding_params", "log_layers", "log_hidden", "log_vocabulary"),
    *("log_context", "is_decoder", "is_seq2seq"),
)
METHOD_INPUTS = ("is_partial", "is_lora", "is_head", "log_trainable", "trainable_share", "backward_share", "lora_scale")
RECIPE_INPUTS = (
    *("log_rate", "log_rate_ratio", "log_travel", "log_epochs", "log_batch", "log_accumulation", "log_updates"),
    *("log_examples", "train_fraction", "warmup_share", "weight_decay", "dropout", "adaptivity", "is_decaying"),
    *("is_mixed", "class_weighting", "early_stopping", "quantized", "reads_first_token", "log_c"),
)
COST_INPUTS = (
    *("log_length", "log_step_tokens", "log_epoch_tokens", "log_steps", "log_flops", "log_time", "log_memory"),
    *("time_ratio", "memory_ratio"),
)
TASK_INPUTS = ("log_n_train", "log_classes", "imbalance", "log_chars", *LANDMARKS)
MACHINE_INPUTS = ("log_cores", "log_frequency", "log_ram", "log_matmul", "log_rows_per_s", "log_gpu_memory")
#: Names of the inputs, in the order of a row.
INPUTS = (*MODEL_INPUTS, *METHOD_INPUTS, *RECIPE_INPUTS, *COST_INPUTS, *TASK_INPUTS, *MACHINE_INPUTS)

#: How an optimizer scales a step: 1 = by the gradient's own size, so that every step moves a weight by the learning
#: rate; 0 = not at all; Adagrad's steps shrink with the root of their number.
_ADAPTIVITY: Mapping[str, float] = {"adamw": 1.0, "adam": 1.0, "adagrad": 0.5, "sgd": 0.0}
_QUANTIZED: Mapping[str, float] = {"none": 0.0, "8bit": 0.5, "4bit": 1.0}
#: Learning rates that are usual for a method whose default is not known.
_USUAL_RATE = 1e-4
_TINY, _HUGE = 1e-12, 1e30


def log(value: float) -> float:
    """Natural logarithm of what is positive; NaN otherwise."""
    return math.log(min(value, _HUGE)) if value > _TINY else NAN


class Physicist:
    """Turns pipelines into rows of inputs.

    Args:
        book: figures of the models.
    """

    def __init__(self, book: ModelBook) -> None:
        self._book = book
        self._known: tuple[Setting | None, list[float]] = (None, [])

    def row(self, pipeline: Pipeline, setting: Setting) -> list[float]:
        """The inputs of a pipeline in the order of `INPUTS`; NaN where something is not known, never infinite."""
        model = self._book.find(pipeline.model)
        work = None if model is None else work_of(pipeline.method, pipeline.params, model, setting)
        return [
            *_model_inputs(model),
            *_method_inputs(pipeline, model, work),
            *_recipe_inputs(pipeline, work, setting),
            *_cost_inputs(work, setting),
            *self._surroundings(setting),
        ]

    def _surroundings(self, setting: Setting) -> list[float]:
        """Inputs of task and machine; rows usually come setting by setting."""
        if setting is not self._known[0]:
            self._known = setting, [*_task_inputs(setting), *_machine_inputs(setting)]
        return self._known[1]


def _model_inputs(model: ModelSpec | None) -> list[float]:
    if model is None:
        return [NAN] * len(MODEL_INPUTS)
    sizes = (
        *(model.n_params, active_params(model), max(model.n_params_embedding, 1)),
        *(model.n_layers, model.hidden, model.vocabulary, model.context),
    )
    known = bool(model.model_type)
    kinds = (model.model_type in DECODERS, model.model_type in SEQ2SEQ)
    return [*map(log, sizes), *(float(kind) if known else NAN for kind in kinds)]


def _method_inputs(pipeline: Pipeline, model: ModelSpec | None, work: Work | None) -> list[float]:
    method = pipeline.method
    kinds = [float(method == name) for name in ("partial", "lora", "head")]
    rank, ratio = number(pipeline.params.get("lora_r")), number(pipeline.params.get("lora_alpha_ratio"))
    if math.isnan(ratio):
        ratio = number(pipeline.params.get("lora_alpha")) / rank if rank > 0 else NAN
    if model is None or work is None:
        return [*kinds, NAN, NAN, NAN, log(ratio)]
    load = work.load
    trainable = max(load.n_trainable, 1)
    depth = min(1.0, load.backward_layers / max(model.n_layers, 1))
    return [*kinds, log(trainable), min(1.0, trainable / max(model.n_params, 1)), depth, log(ratio)]


def _recipe_inputs(pipeline: Pipeline, work: Work | None, setting: Setting) -> list[float]:
    params = pipeline.params
    rate, epochs, batch = (number(params.get(name)) for name in ("learning_rate", "epochs", "batch_size"))
    accumulation = number(params.get("gradient_accumulation_steps", 1))
    optimizer = str(params.get("optimizer", "adamw"))
    adaptivity = NAN if pipeline.method == "head" else _ADAPTIVITY.get(optimizer, NAN)
    n_steps = work.n_steps if work and work.n_steps > 0 else NAN
    updates = max(1.0, n_steps / accumulation) if accumulation > 0 else NAN
    warmup = _warmup_share(params, n_steps, updates)
    schedule = str(params.get("lr_scheduler", "linear"))
    return [
        log(rate),
        log(rate / usual_rate(pipeline.method)),
        _travel(rate, updates, warmup, adaptivity, work),
        log(epochs),
        log(batch),
        log(accumulation),
        log(updates),
        log(setting.n_train * epochs * number(work.load.train_fraction if work else NAN)),
        number(work.load.train_fraction if work else NAN),
        warmup,
        number(params.get("weight_decay")),
        number(params.get("dropout")),
        adaptivity,
        float(schedule != "constant"),
        _flag(params.get("use_mixed_precision", False)),
        _flag(params.get("class_weighting", False)),
        _flag(params.get("use_early_stopping", setting.is_published)),
        _QUANTIZED.get(str(params.get("quantization", "none")), NAN),
        float(params.get("pooling") == "first"),
        log(number(params.get("c"))),
    ]


def _flag(value: object) -> float:
    return float(value) if isinstance(value, bool) else NAN


def _warmup_share(params: Mapping[str, ParamValue], n_steps: float, updates: float) -> float:
    """Share of the updates during which the rate still rises.

    Published warm-up is given in steps and counted in updates, so that it can outlast the training (`method.md`,
    weakness 24).
    """
    ratio = number(params.get("warmup_ratio"))
    steps = number(params.get("warmup_steps"))
    if not math.isnan(ratio):
        return min(max(ratio, 0.0), 1.0)
    return min(1.0, steps / updates) if steps >= 0 and updates > 0 and not math.isnan(n_steps) else NAN


def _travel(rate: float, updates: float, warmup: float, adaptivity: float, work: Work | None) -> float:
    """Logarithm of how far a single weight can move in the whole training.

    With Adam every update moves a weight by about the rate (Kingma & Ba 2015, section 2.1); Adagrad's k-th update by
    rate / sqrt(k); plain gradient descent by rate x gradient, and a gradient of norm 1 over n weights has entries of
    1 / sqrt(n). While the rate rises it is half on average.
    """
    if work is None or not updates > 0 or not rate > 0:
        return NAN
    share = 1.0 - (0.0 if math.isnan(warmup) else warmup) / 2
    if adaptivity == 1.0:
        distance = rate * updates
    elif adaptivity == 0.5:
        distance = 2 * rate * math.sqrt(updates)
    else:
        distance = rate * updates / math.sqrt(max(work.load.n_trainable, 1))
    return log(distance * share)


def _cost_inputs(work: Work | None, setting: Setting) -> list[float]:
    if work is None:
        return [NAN] * len(COST_INPUTS)
    tokens = work.row_tokens
    return [
        log(tokens),
        log(work.load.batch_size * tokens),
        log(work.n_rows * tokens),
        log(max(work.n_steps, 1.0)),
        log(work.flops),
        log(work.time_s),
        log(work.memory_mib),
        log(work.time_s / setting.time_limit_s),
        log(work.memory_mib / setting.memory_limit_mib),
    ]


def _task_inputs(setting: Setting) -> list[float]:
    task = setting.profile.task
    chars = task.get("mean_chars", task.get("mean_prompt_chars"))
    landmarks = (number(task.get(name)) for name in LANDMARKS)
    classes, imbalance = number(task.get("n_classes")), number(task.get("imbalance"))
    return [log(setting.n_train), log(classes), imbalance, log(number(chars)), *landmarks]


def _machine_inputs(setting: Setting) -> list[float]:
    system = setting.profile.system
    gpu = number(system.get("gpu_memory_gib"))
    names = ("physical_cores", "max_frequency_ghz", "ram_gib", "matmul_gflops", "train_rows_per_s")
    return [*(log(number(system.get(name))) for name in names), math.log1p(gpu) if gpu >= 0 else NAN]


@lru_cache(maxsize=200)
def usual_rate(method: str) -> float:
    """The learning rate that a method's known-good default has."""
    model = ModelSpec("", "", "", "bert", 12, False, 110_000_000, 25_000_000, 768, 12, 3072, 30_522, 512, ("mean",))
    try:
        default = registry.resolve("methods", method).space(Facts([model], (128,), 1000)).default
    except (XAutoLMError, ArithmeticError, LookupError, TypeError, ValueError, ImportError):
        return _USUAL_RATE
    rate = number(default.get("learning_rate"))
    return rate if rate > 0 else _USUAL_RATE


def column(name: str) -> int:
    """Position of an input in a row."""
    return INPUTS.index(name)
