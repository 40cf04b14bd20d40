"""Pipelines that run alone, and what each of them took: the yardstick of the estimates.

Every trial starts with empty caches, in an isolated worker without rescue, under limits that only protect the machine,
so that its peak is that of the pipeline as it was drawn.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.recording.space import draw_pipeline
from benchmarks.recording.subsets import DEFAULT_DATA, SubsetSize, load_subset
from xautolm import registry
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import Slots
from xautolm.data.summary import token_lengths
from xautolm.errors import UsageError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.finish import write_rows
from xautolm.methods.method import Facts
from xautolm.planning import task_size
from xautolm.profiling import Stopwatch
from xautolm.records import ModelSpec, Pipeline, Task, Trial, TrialResult
from xautolm.space.build import length_choices
from xautolm.space.catalogue import embedded_folder, resolve_models
from xautolm.space.feasibility import Speed
from xautolm.space.memory import memory_parts
from xautolm.space.params import Categorical, Int, Space
from xautolm.space.workload import TaskSize

#: Data set -> rows. Peaks show in the first steps, where the longest batch is, so a few hundred rows are enough; movie
#: reviews are longer than the encoder reads.
TASKS: Mapping[str, SubsetSize] = {
    "sst2": SubsetSize(200, 64),
    "mrpc": SubsetSize(160, 64),
    "movie_reviews": SubsetSize(64, 64),
}
LENGTHS: Mapping[str, tuple[int, ...]] = {"movie_reviews": (64, 128, 256, 512)}
METHODS = ("head", "partial", "lora", "full")
_LIMIT_S, _LIMIT_MIB = 900.0, 5 * 1024.0
#: Estimates above this are not drawn: the machine is shared.
_LARGEST_MIB = 2.2 * 1024.0
#: Draws for one pipeline at most.
_MAX_DRAWS = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """A pipeline that ran alone.

    Attributes:
        task: name of the data set.
        pipeline: what ran.
        status: how it ended.
        memory_mib: peak above the idle worker.
        time_s: seconds from launch to result.
        load: average number of running processes of the machine at its end.
    """

    task: str
    pipeline: Pipeline
    status: str
    memory_mib: float
    time_s: float
    load: float


@dataclass(frozen=True)
class Campaign:
    """All that a judgement of the estimates needs.

    Attributes:
        models: name -> figures.
        sizes: task -> rows, classes and lengths.
        speed: of this machine, measured before the first trial.
        trials: in the order in which they ran.
    """

    models: Mapping[str, ModelSpec]
    sizes: Mapping[str, TaskSize]
    speed: Speed
    trials: tuple[Measured, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = [field.name for field in fields(Measured)]
        plain = [{name: getattr(trial, name) for name in names} for trial in self.trials]
        trials = [{**trial, "pipeline": trial["pipeline"].to_dict()} for trial in plain]
        return {
            "models": {name: asdict(model) for name, model in self.models.items()},
            "sizes": {name: asdict(size) for name, size in self.sizes.items()},
            "speed": asdict(self.speed),
            "trials": trials,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Campaign:
        sizes = {name: TaskSize.from_dict(size) for name, size in value["sizes"].items()}
        models = {
            name: ModelSpec(**{**model, "poolings": tuple(model["poolings"])})
            for name, model in value["models"].items()
        }
        trials = tuple(
            Measured(**{**trial, "pipeline": Pipeline.from_dict(trial["pipeline"])}) for trial in value["trials"]
        )
        return cls(models, sizes, Speed(**value["speed"]), trials)


def read_campaign(path: Path) -> Campaign:
    """The trials of an earlier call (`--json`).

    Raises:
        UsageError: the file is not one.
    """
    try:
        return Campaign.from_dict(json.loads(path.read_text())["measured"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"expected a file that `--json` wrote, `{path}` is not: {error!r}") from error


def measure(
    n_trials: int, seed: int, *, data: Path = DEFAULT_DATA, log: Callable[[str], None] = lambda line: None
) -> Campaign:
    """Run pipelines one at a time.

    Args:
        n_trials: pipelines, taken from the tasks in turn.
        seed: of the draws.
        data: folder of the data sets.
        log: takes a line for the user.
    """
    models, _ = resolve_models(None, offline=True)
    tasks = {name: load_subset(data, name, size) for name, size in TASKS.items()}
    sizes = {
        name: task_size(task, token_lengths(embedded_folder(), task.train).tolist()) for name, task in tasks.items()
    }
    by_name = {model.name: model for model in models}
    with _workers() as (server, folder):
        # Weights are mapped from their file; what other processes map too would not count as ours.
        own = shutil.copytree(models[0].path, folder / "model")
        by_name = {name: replace(model, path=str(own)) for name, model in by_name.items()}
        speed = Stopwatch(_backend(server, folder, by_name)).trial_speed(by_name[models[0].name])
        done = []
        for index in range(n_trials):
            name = tuple(tasks)[index % len(tasks)]
            pipeline = _draw(trial_space(models, name, sizes[name]), sizes[name], seed, index)
            done.append(_run_alone(server, folder, by_name, tasks[name], Trial(index, pipeline, seed)))
            log(f"{index + 1}/{n_trials} {describe(done[-1])}")
    return Campaign(by_name, sizes, speed, tuple(done))


def describe(trial: Measured) -> str:
    """One line about a trial."""
    params = trial.pipeline.params
    shown = " ".join(f"{key}={params[key]}" for key in ("batch_size", "max_length", "n_layers") if key in params)
    what = f"{trial.task} {trial.pipeline.method} {trial.pipeline.model} {shown}"
    return f"{what}: {trial.status}, {trial.memory_mib:.0f} MiB, {trial.time_s:.1f} s, load {trial.load:.1f}"


def trial_space(models: Sequence[ModelSpec], task: str, size: TaskSize) -> Space:
    """Every offline model under every method, as a run has them; one epoch, since more change no peak."""
    context = min(model.context for model in models)
    lengths = LENGTHS.get(task) or length_choices(size.token_quantiles, context)
    facts = Facts(models, lengths, size.n_train)
    parts = [registry.resolve("methods", name).space(facts) for name in METHODS]
    few = Int(1, 1)
    short = [replace(p, params={**p.params, **({"epochs": few} if "epochs" in p.params else {})}) for p in parts]
    shares = {"train_fraction": Categorical((0.5, 1.0))}
    return Space(
        {model.name: model for model in models}, {p.method: replace(p, params={**p.params, **shares}) for p in short}
    )


def _draw(space: Space, size: TaskSize, seed: int, index: int) -> Pipeline:
    """Pipeline `index`, drawn until one is small enough for a shared machine."""
    for attempt in range(_MAX_DRAWS):
        pipeline = draw_pipeline(space, seed, _MAX_DRAWS * index + attempt)
        model = space.models[pipeline.model]
        workload = registry.resolve("methods", pipeline.method).workload(model, pipeline.params)
        if memory_parts(workload, model, size).mib <= _LARGEST_MIB:
            return pipeline
    return pipeline


@contextmanager
def _workers() -> Iterator[tuple[WorkerServer, Path]]:
    with tempfile.TemporaryDirectory(prefix="xautolm-estimates-") as scratch:
        server = WorkerServer(Path(scratch) / "server.log")
        try:
            server.start()
            yield server, Path(scratch)
        finally:
            server.close()


def _backend(server: WorkerServer, folder: Path, models: Mapping[str, ModelSpec]) -> LocalBackend:
    return LocalBackend(server, Slots(("cpu",), 1), TrialContext(folder, models, _LIMIT_S, _LIMIT_MIB, 0))


def _run_alone(
    server: WorkerServer, scratch: Path, models: Mapping[str, ModelSpec], task: Task, trial: Trial
) -> Measured:
    """Run one trial in a run folder of its own, so that nothing is cached."""
    folder = scratch / f"run-{trial.trial_id}"
    write_rows(folder / "work" / "data", task)
    backend = _backend(server, folder, models)
    backend.submit(trial)
    results: list[TrialResult] = []
    while not results:
        results = backend.poll(1.0)
    shutil.rmtree(folder)
    cost = results[0].cost
    load = round(os.getloadavg()[0], 2)
    return Measured(task.dataset_id, trial.pipeline, results[0].status, cost.peak_mem_mib or 0.0, cost.time_s, load)
