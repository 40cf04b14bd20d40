"""Decides everything before the first trial (machine, space, limits, speed, prior) and writes it down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xautolm import registry
from xautolm.backends.energy import Counter, find_counters
from xautolm.backends.energy_estimate import check_estimator, start_estimate
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import Slots
from xautolm.config import Settings, settings_to_yaml
from xautolm.data.fingerprint import file_sha256
from xautolm.data.load import load_task
from xautolm.data.summary import DataSummary, answer_lengths, summarise, summary_lines, token_lengths
from xautolm.errors import RunFolderError, StoreError, UsageError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.experience.journal import write_atomic
from xautolm.experience.location import default_store_url, parse_store_url
from xautolm.experience.run_folder import RunFolder, read_part
from xautolm.experience.store import ExperienceStore
from xautolm.export import ExportContext
from xautolm.metafeatures.machine import machine_facts
from xautolm.planning import Subject, choose_machine, devices_of, memory_limit_mib
from xautolm.recording import Observer
from xautolm.records import Experience, ModelSpec, Prior, Profile, Split, Task, TrialResult
from xautolm.search.plan import Plan
from xautolm.search.ranking import Ranking
from xautolm.search.samplers import check_sampler
from xautolm.space.catalogue import EMBEDDED_NAME, embedded_folder, resolve_models
from xautolm.space.feasibility import Limits
from xautolm.space.hub import is_hub_reachable
from xautolm.suitability import default_models, methods_for, suitable_models
from xautolm.tasks.prompts import asks_for_text, fields_of, make_prompt

_LIBRARIES = ("xautolm", "torch", "transformers", "peft", "optuna", "scikit-learn", "numpy")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to search: everything that was decided before the first trial."""

    settings: Settings
    task: Task
    profile: Profile
    plan: Plan
    prior: Prior
    run_id: str

    @property
    def ranking(self) -> Ranking:
        """The search of the run."""
        return make_ranking(self.settings, self.plan, self.prior, self.profile)

    @property
    def export_context(self) -> ExportContext:
        """Provenance of exported models."""
        task = self.task
        return ExportContext(self.run_id, task.dataset_id, task.labels, task.columns, self.settings.seed, task.kind)

    def facts(self) -> dict[str, Any]:
        """The constant part of `run.json`."""
        prior = self.prior
        return {
            "run_id": self.run_id,
            "task": self.task.kind,
            "dataset_id": self.task.dataset_id,
            "objectives": [asdict(objective) for objective in self.settings.parsed_objectives],
            "constraints": [asdict(constraint) for constraint in self.settings.parsed_constraints],
            "budget": asdict(self.settings.parsed_budget),
            "test": None,
            "refit": None,
            "notes": [],
            "prior": {"kind": prior.kind, "n_experiences": prior.n_experiences, "weight": prior.weight},
            "seed": self.settings.seed,
            "versions": library_versions(),
            "machine": machine_facts(),
        }

    def experience(self, result: TrialResult) -> Experience:
        """The store's record of a finished trial."""
        return Experience(
            run_id=self.run_id,
            dataset_id=self.task.dataset_id,
            fingerprint=self.task.fingerprint,
            sketch=self.task.sketch,
            profile=self.profile,
            result=result,
            space_version=self.plan.space.version,
            versions=library_versions(),
            model_revision=self.plan.space.models[result.pipeline.model].revision,
            source="machine",
            created_at=result.finished_at,
            kind=self.task.kind,
            time_limit_s=self.plan.limits.time_s,
            memory_limit_mib=self.plan.limits.memory_mib,
        )


def describe(settings: Settings, observer: Observer) -> Subject:
    """Load the data, find the models, and tell the user about both; what cannot be used is refused here.

    Args:
        settings: names the data and the models.
        observer: is told.

    Raises:
        XAutoLMError: something cannot be used.
    """
    check_names(settings)
    check_energy(settings)
    task = load(settings)
    if settings.prompt is not None:
        make_prompt(task.kind, settings.prompt)  # refused here when it has mistakes
    most_mib = memory_limit_mib(settings, settings.workers or 1)
    names = default_models(task.kind) if settings.models is None else settings.models
    models, dropped = resolve_models(names, settings.exclude_models, offline=is_offline(settings), memory_mib=most_mib)
    models, unsuitable = suitable_models(models, task.kind)
    methods_for(settings.methods, models, task.kind)  # refused here when one suits no model
    choose_machine(settings, models)
    lengths = token_lengths(tokenizer_folder(models), task.train)
    summary = summarise(task, lengths)
    for line in summary_lines(summary):
        observer.log(line)
    answers = answer_lengths(tokenizer_folder(models), task.train).tolist()
    read = lengths + prompt_tokens(settings.prompt, task.kind, models)
    return Subject(task, models, [*dropped, *unsuitable], read.tolist(), summary, answers)


def prompt_tokens(template: str | None, kind: str, models: Sequence[ModelSpec]) -> int:
    """Tokens that a prompt adds to the texts of a row; none where no model writes its answers."""
    if not asks_for_text(kind) or all(model.family == "encoder" for model in models):
        return 0
    empty = make_prompt(kind, template).render(dict.fromkeys(fields_of(kind), ""))
    with_words, without = token_lengths(tokenizer_folder(models), Split((empty, ""), None, ()))
    return int(with_words - without)


def check_names(settings: Settings) -> None:
    """Refuse methods, samplers and stores that no later stage knows.

    Raises:
        UsageError: one is unknown.
    """
    for method in settings.methods or ():
        registry.target("methods", method)
    check_sampler(settings.sampler)
    if settings.store is None:
        return
    try:
        parse_store_url(settings.store)
    except StoreError as error:
        raise UsageError(str(error)) from None


def check_energy(settings: Settings) -> None:
    """Refuse what needs an energy counter where there is none.

    Raises:
        UsageError: an energy is a budget, an objective or a bound, and nothing measures it; or it is to be
            estimated and what does so is not installed.
    """
    wish = settings.needs_energy
    if wish is None and not settings.estimate_energy:
        return
    if find_counters(devices_of(settings)):
        return
    if settings.estimate_energy:
        check_estimator()
    else:
        raise UsageError(
            f"{wish} needs an energy counter, but none can be read here: neither RAPL (`/sys/class/powercap`, which "
            "often only root may read) nor, for trials on an NVIDIA GPU, NVML. Use a time such as `30m`, a machine "
            "with a counter, or `--estimate-energy` for a model of the machine in its place"
        )


def energy_counters(settings: Settings, devices: Sequence[str], stack: ExitStack) -> Sequence[Counter]:
    """The energy counters of the machine; an estimate where there is none and the user wants one.

    Args:
        settings: of the run.
        devices: of the trials.
        stack: ends the estimate.
    """
    counters = find_counters(devices)
    return counters or ([start_estimate(stack)] if settings.estimate_energy else [])


def begin(folder: RunFolder, settings: Settings, task: Task, run_id: str) -> Settings:
    """Write what a resume needs however early the run is killed; returns the settings as written."""
    settings = with_sources(settings, task)
    write_atomic(folder.path / "config.yaml", settings_to_yaml(settings))
    objectives = [asdict(objective) for objective in settings.parsed_objectives]
    state = {"status": "running", "task": task.kind, "objectives": objectives, "elapsed_s": 0.0, "n_trials": 0}
    folder.write_json("run.json", {"run_id": run_id, **state})
    return settings


def is_complete(folder: RunFolder) -> bool:
    """Whether `write_preparation` has come to its end."""
    return (folder.path / "space.json").is_file()


def load(settings: Settings) -> Task:
    """The task that the settings name."""
    return load_task(
        settings.data,
        valid=settings.valid,
        test=settings.test,
        kind=settings.task,
        text=settings.text,
        target=settings.target,
        columns=settings.column,
        seed=settings.seed,
    )


def open_store(settings: Settings, observer: Observer, stack: ExitStack) -> ExperienceStore | None:
    """The store; a default one that cannot be opened is done without, one that the user named must work."""
    try:
        store = ExperienceStore(settings.store or default_store_url(os.environ))
    except StoreError as error:
        if settings.store is not None:
            raise
        observer.log(f"warning: the experience store is not available, this run is not remembered: {error}")
        return None
    stack.callback(store.close)
    return store


def start_server(folder: RunFolder, stack: ExitStack) -> WorkerServer:
    """The worker server of a run; it gets ready while the data are profiled."""
    folder.work.mkdir(exist_ok=True)
    server = WorkerServer(folder.work / "server.log")
    stack.callback(server.close)
    server.start()
    return server


def job_backend(server: WorkerServer, folder: RunFolder, slots: Slots, limits: Limits) -> LocalBackend:
    """Runs the jobs of the preparation; it knows no models and runs no trials."""
    return LocalBackend(server, slots, TrialContext(folder.path, {}, limits.time_s, limits.memory_mib, 0))


def read_preparation(folder: RunFolder, settings: Settings, task: Task, run_id: str) -> Prepared:
    """What `write_preparation` left, for a run that is resumed.

    Raises:
        RunFolderError: a file is missing or damaged.
    """
    plan, prior, profile = read_decisions(folder.path)
    return Prepared(settings, task, profile, plan, prior, run_id)


def read_decisions(folder: Path) -> tuple[Plan, Prior, Profile]:
    """Plan, prior and profile of a run from its folder: all that its proposals rest on, besides settings and results.

    Raises:
        RunFolderError: a file is missing or damaged.
    """
    saved = read_part(folder, "data.json")["profile"]
    profile = Profile(
        schema=saved["schema"],
        task=saved["task"],
        system_schema=saved["system_schema"],
        system=saved["system"],
        semantic=tuple(saved["semantic"]) if saved.get("semantic") else None,
        system_name=saved.get("system_name", ""),
    )
    plan, prior = Plan.from_dict(read_part(folder, "space.json")), Prior.from_dict(read_part(folder, "prior.json"))
    if prior.kind == "learned":
        prior = replace(prior, learned=read_part(folder, "predictors.json"))
    return plan, prior, profile


def make_ranking(settings: Settings, plan: Plan, prior: Prior, profile: Profile) -> Ranking:
    """The search that settings and decisions stand for."""
    return Ranking(
        plan,
        prior,
        profile,
        settings.parsed_objectives,
        constraints=settings.parsed_constraints,
        seed=settings.seed,
    )


def write_preparation(folder: RunFolder, prepared: Prepared, summary: DataSummary) -> None:
    """Write what the run rests on: `prior.json`, `data.json`, `space.json`."""
    task, profile = prepared.task, prepared.profile
    folder.write_json("prior.json", prepared.prior.to_dict())
    if prepared.prior.learned is not None:
        folder.write_json("predictors.json", dict(prepared.prior.learned))
    shares = {str(label): share for label, share in summary.class_shares}
    folder.write_json(
        "data.json",
        {
            "dataset_id": task.dataset_id,
            "fingerprint": task.fingerprint,
            "sketch": list(task.sketch),
            "rows": dict(summary.rows),
            "labels": {name: round(share * task.train.n_rows) for name, share in shares.items()},
            "length_tokens": dict(summary.length_percentiles),
            "warnings": list(summary.warnings),
            "profile": {
                "schema": profile.schema,
                "task": dict(profile.task),
                "system_schema": profile.system_schema,
                "system": dict(profile.system),
                "system_name": profile.system_name,
                "semantic": profile.semantic,
            },
        },
    )
    folder.write_json("space.json", prepared.plan.to_dict())  # last: it says that the others are there


def library_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def with_sources(settings: Settings, task: Task) -> Settings:
    """Settings that repeat the run from any folder: absolute paths, the task kind, hashes of what the data held."""
    fields = {"train": "data", "validation": "valid", "test": "test"}
    paths = {fields[role]: source.path for role, source in task.sources.items()}
    hashes = {role: source.sha256 for role, source in task.sources.items()}
    models = settings.models and tuple(absolute_model(name) for name in settings.models)
    return settings.model_copy(update={**paths, "task": task.kind, "models": models, "data_sha256": hashes})


def absolute_model(name: str) -> str:
    """The name of a model with the path of a local folder made absolute; `@k` stays."""
    base, cut, layers = name.rpartition("@")
    for folder, suffix in ((name, ""), (base, cut + layers)):
        if folder and Path(folder).expanduser().is_dir():
            return str(Path(folder).expanduser().resolve()) + suffix
    return name


def check_sources(settings: Settings) -> None:
    """Make sure that the data of a run that is resumed or repeated are still what they were.

    Raises:
        RunFolderError: a file is gone or has changed.
    """
    paths = {"train": settings.data, "validation": settings.valid, "test": settings.test}
    for role, expected in settings.data_sha256.items():
        path = paths.get(role)
        if path is not None and not Path(path).is_absolute():
            continue  # a hub id: files are kept with absolute paths
        if path is None or not Path(path).exists():
            raise RunFolderError(f"the {role} data {path!r} of this run are gone; put them back or start a new run")
        if file_sha256(path) != expected:
            raise RunFolderError(
                f"the {role} data {path!r} have changed since the run was configured; "
                "start a new run with `xautolm fit DATA`"
            )


def is_offline(settings: Settings) -> bool:
    """Whether the hub is out of reach; asked only when some model is neither embedded nor a folder."""
    names = settings.models or ()
    bases = {name.rpartition("@")[0] or name for name in names} - {EMBEDDED_NAME}
    needs_hub = any(not Path(base).exists() for base in bases)
    return not (needs_hub and is_hub_reachable())


def tokenizer_folder(models: Sequence[ModelSpec]) -> Path:
    """A folder with a `tokenizer.json` to measure lengths with: the first model's, else the embedded one's."""
    folder = Path(models[0].path)
    return folder if (folder / "tokenizer.json").is_file() else embedded_folder()
