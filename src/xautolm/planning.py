"""Decides what a run may try, on which devices and within which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xautolm import registry
from xautolm.backends.slots import SMALL_MODEL, Slots, choose_slots
from xautolm.config import Settings
from xautolm.data.summary import DataSummary
from xautolm.errors import UsageError
from xautolm.metafeatures.gpus import visible_gpus
from xautolm.metafeatures.machine import available_memory_mib, usable_cores
from xautolm.methods.method import Facts
from xautolm.quantities import parse_size
from xautolm.records import ModelSpec, Task
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.build import adapt_default, build_space, length_choices
from xautolm.space.feasibility import Limits, Speed, TaskSize, Workload
from xautolm.space.memory import memory_parts
from xautolm.space.params import Dropped, Space
from xautolm.space.wide import widened
from xautolm.space.windows import READ_IN
from xautolm.space.workload import PREDICT_ROWS
from xautolm.suitability import methods_for

_MEMORY_SHARE = 0.8
#: Shares of a time budget that a trial may take where nothing fits the default limit.
_LONGER_SHARES = (0.25, 0.5)
#: Trials that share one GPU at most; like the room that each needs an assumption, no GPU was at hand to measure on.
MOST_PER_GPU = 4
#: Of a GPU's memory that trials which share it may use, and what CUDA itself takes in each process.
_GPU_SHARE, _GPU_CONTEXT_MIB = 0.9, 600.0
#: Rows and tokens of a usual training step, for which a trial that shares a GPU must have room.
_USUAL_BATCH, _USUAL_LENGTH = 32, 512


@dataclass(frozen=True, slots=True)
class Subject:
    """What a run is about, as far as it is known before anything is written.

    Attributes:
        task: the loaded data.
        models: usable models, the one to start with first.
        dropped: models that were asked for and cannot be had.
        lengths: tokens of each training row, with those of the prompt where answers are written.
        summary: what the user is told about the data.
        answers: tokens of the main answer of each training row, where rows ask for texts.
    """

    task: Task
    models: Sequence[ModelSpec]
    dropped: Sequence[Dropped]
    lengths: Sequence[int]
    summary: DataSummary
    answers: Sequence[int] = ()


def whole_space(settings: Settings, subject: Subject) -> Space:
    """Every model with every method that was asked for, before anything is dropped for lack of time or memory."""
    models, size = subject.models, task_size(subject.task, subject.lengths, subject.answers)
    context = min(model.context for model in models)
    lengths = length_choices(size.token_quantiles, context)
    parts = [
        registry.resolve("methods", name).space(Facts(able, lengths, size.n_train, subject.task.kind))
        for name, able in methods_for(settings.methods, models, subject.task.kind).items()
    ]
    if settings.space == "wide":
        parts = [widened(part) for part in parts]
    return Space(models={model.name: model for model in models}, methods={part.method: part for part in parts})


def make_plan(settings: Settings, subject: Subject, limits: Limits, speed: Speed) -> Plan:
    """Build the space of a run and its adapted defaults.

    Where the user set no time limit per trial and nothing fits the default one, trials may take up to half of the
    budget: a few of them are better than none.

    Raises:
        UsageError: nothing fits.
    """
    everything, size = whole_space(settings, subject), task_size(subject.task, subject.lengths, subject.answers)
    limits, space = _first_fitting(everything, size, speed, subject, _tolerated(settings, limits))
    roomy = FitCheck(Plan(space, size, limits, speed, ()), is_cautious=False)
    defaults = tuple(adapt_default(space, method, roomy) for method in space.methods)
    return Plan(space, size, limits, speed, defaults)


def _tolerated(settings: Settings, limits: Limits) -> list[Limits]:
    """The limits of trials, and those to fall back on."""
    wall_s = settings.parsed_budget.wall_s
    if settings.trial_timeout is not None or wall_s is None:
        return [limits]
    return [limits, *(replace(limits, time_s=wall_s * share) for share in _LONGER_SHARES)]


def _first_fitting(
    everything: Space, size: TaskSize, speed: Speed, subject: Subject, tolerated: Sequence[Limits]
) -> tuple[Limits, Space]:
    """The first limits that some pipeline fits, and what fits them.

    Raises:
        UsageError: nothing fits the last ones either.
    """
    error = UsageError("")
    for limits in tolerated:
        check = FitCheck(Plan(everything, size, limits, speed, ()), is_cautious=False)
        try:
            return limits, build_space(subject.models, list(everything.methods.values()), check, subject.dropped)
        except UsageError as nothing_fits:
            error = nothing_fits
    raise error


def task_size(task: Task, lengths: Sequence[int], answers: Sequence[int] = ()) -> TaskSize:
    """The figures of a task that cost estimates need."""
    n_train, n_validation = task.train.n_rows, task.validation.n_rows
    n_labels, read_in = max(len(task.labels), 1), READ_IN.get(task.kind, "rows")
    return TaskSize(n_train, n_validation, n_labels, _quantiles(lengths), _quantiles(answers), read_in)


def _quantiles(values: Sequence[int]) -> tuple[int, ...]:
    ordered = sorted(values)
    return tuple(ordered[round(q / 100 * (len(ordered) - 1))] for q in range(101)) if ordered else ()


def devices_of(settings: Settings) -> list[str]:
    """Devices that trials may run on.

    Raises:
        UsageError: a GPU that is not there.
    """
    gpus = visible_gpus()
    devices = ["cpu"] if settings.device == "cpu" or not gpus else [f"cuda:{i}" for i in range(len(gpus))]
    if settings.device.startswith("cuda"):
        if not gpus:
            raise UsageError(f"expected an NVIDIA GPU for `--device {settings.device}`, found none; use `--device cpu`")
        index = settings.device.partition(":")[2]
        if index and int(index) >= len(gpus):
            raise UsageError(f"expected a GPU below {len(gpus)} for `--device`, got {settings.device!r}")
        devices = [f"cuda:{index}"] if index else devices
    return devices


def choose_machine(settings: Settings, models: Sequence[ModelSpec], limit_mib: float = 0.0) -> Slots:
    """Devices and threads of the trials; small models share a GPU where the estimates say that they fit.

    Args:
        settings: of the run.
        models: that are tried.
        limit_mib: memory that each trial has been promised; a GPU is not shared by more than it has room for.
    """
    devices, n_cores = devices_of(settings), usable_cores()
    largest = max(models, key=lambda model: model.n_params)
    n_gpus = sum(device != "cpu" for device in devices)
    per_gpu = 1
    if n_gpus and largest.n_params < SMALL_MODEL:
        smallest_mib = min(map(gpu_memory_mib, devices))
        promised = int(smallest_mib / limit_mib) if limit_mib else MOST_PER_GPU
        per_gpu = trials_per_gpu(largest, smallest_mib, max(1, min(n_cores // n_gpus, promised)))
    given = {"workers": settings.workers, "threads": settings.threads}
    return choose_slots(n_cores, devices, largest.n_params, **given, per_gpu=per_gpu)


def trials_per_gpu(model: ModelSpec, memory_mib: float, most: int) -> int:
    """How many trials have room on one GPU, when each may be a full fine-tuning on rows that fill the model.

    Args:
        model: the largest that is tried.
        memory_mib: of the GPU.
        most: cores that there are for the trials of one GPU.

    Returns:
        1 to `MOST_PER_GPU`.
    """
    longest = min(_USUAL_LENGTH, model.context)
    workload = Workload(model.n_params, model.n_layers, True, 1.0, _USUAL_BATCH, longest, 1.0)
    size = TaskSize(_USUAL_BATCH, PREDICT_ROWS, 2, (longest,) * 101)
    need_mib = memory_parts(workload, model, size).mib + _GPU_CONTEXT_MIB
    return max(1, min(int(_GPU_SHARE * memory_mib / need_mib), most, MOST_PER_GPU))


def gpu_memory_mib(device: str) -> float:
    """Memory of `cuda:N`."""
    return visible_gpus()[int(device.partition(":")[2] or 0)].memory_gib * 1024


def trial_limits(settings: Settings, slots: Slots) -> Limits:
    """Limits of each trial: as asked for, else a share of the time budget and of the free memory.

    On a GPU the memory is that of a trial's part of it where this is less: trials that share one get equal parts.
    """
    memory_mib = memory_limit_mib(settings, len(slots.devices))
    for device in set(slots.devices) - {"cpu"}:
        part_mib = gpu_memory_mib(device) / slots.devices.count(device)
        is_shared = slots.devices.count(device) > 1
        memory_mib = min(memory_mib, part_mib * (_GPU_SHARE if is_shared else 1.0))
    return Limits(time_s=settings.trial_limit_s, memory_mib=memory_mib)


def memory_limit_mib(settings: Settings, n_slots: int) -> float:
    """Memory that each of some trials may use on this machine: as asked for, else a share of what is free."""
    if settings.memory is not None:
        return parse_size(settings.memory) / 2**20
    return _MEMORY_SHARE * available_memory_mib() / n_slots
