"""Decides what a run may try, on which devices and within which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xautolm import registry
from xautolm.backends.slots import Slots, choose_slots
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
from xautolm.space.feasibility import Limits, Speed, TaskSize
from xautolm.space.params import Dropped, Space
from xautolm.space.wide import widened
from xautolm.space.windows import READ_IN
from xautolm.suitability import methods_for

_MEMORY_SHARE = 0.8
#: Shares of a time budget that a trial may take where nothing fits the default limit.
_LONGER_SHARES = (0.25, 0.5)


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


def choose_machine(settings: Settings, models: Sequence[ModelSpec]) -> Slots:
    """Devices and threads of the trials."""
    devices = devices_of(settings)
    largest = max(model.n_params for model in models)
    return choose_slots(usable_cores(), devices, largest, workers=settings.workers, threads=settings.threads)


def trial_limits(settings: Settings, n_slots: int) -> Limits:
    """Limits of each trial: as asked for, else a share of the time budget and of the free memory."""
    if settings.memory is not None:
        memory_mib = parse_size(settings.memory) / 2**20
    else:
        memory_mib = _MEMORY_SHARE * available_memory_mib() / n_slots
    return Limits(time_s=settings.trial_limit_s, memory_mib=memory_mib)
