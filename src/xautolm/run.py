"""THE FLOW: load, profile, space, prior, search, record, report, export. The module that knows all stages."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from xautolm import comparison, finish, planning, preparation, warmstart
from xautolm.backends.energy import EnergyMeter
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.config import Settings, make_settings, read_settings_file
from xautolm.data.source import dataset_id_of
from xautolm.errors import XAutoLMError
from xautolm.evaluate.isolate import WorkerServer
from xautolm.experience.journal import read_baselines, read_journal
from xautolm.experience.run_folder import RunFolder, check_new
from xautolm.experience.store import ExperienceStore
from xautolm.planning import Subject
from xautolm.preparation import Prepared
from xautolm.profiling import Stopwatch, embed_limit_s, profile_subject
from xautolm.quantities import parse_size
from xautolm.recording import Observer, Recorder, Silent
from xautolm.records import RunReport, Spent, TrialResult
from xautolm.report.folder import read_run
from xautolm.report.wording import duration
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, search
from xautolm.search.ranking import Ranking
from xautolm.search.samplers import make_search
from xautolm.search.stopping import FrontStopper
from xautolm.suitability import with_objectives


def fit(
    settings: Settings,
    out: Path,
    *,
    observer: Observer | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunReport:
    """Search for pipelines and export the best one.

    Args:
        settings: what to do.
        out: run folder, new or empty.
        observer: who watches.
        should_stop: asked again and again; True ends the run, which keeps everything that is finished.

    Raises:
        XAutoLMError: bad input (nothing is written), or the run could not go on (its folder tells why).
    """
    started = time.monotonic()
    observer = observer or Silent()
    check_new(out)
    preparation.check_sources(settings)
    subject = preparation.describe(settings, observer)
    settings = with_objectives(settings, subject.task.kind)
    with ExitStack() as stack:
        folder = RunFolder.create(out)
        stack.callback(folder.close)
        try:
            store = preparation.open_store(settings, observer, stack)
            settings = preparation.begin(folder, settings, subject.task, str(uuid.uuid4()))
            server = preparation.start_server(folder, stack)
            prepared = _prepare(folder, settings, subject, server, store, observer)
        except XAutoLMError:
            stack.close()
            folder.remove()
            raise
        for item in prepared.plan.space.dropped:
            observer.log(f"left out {item.what}: {item.reason}")
        spent = Spent(time.monotonic() - started)
        return _conduct(prepared, folder, server, store, observer, should_stop, spent, stack)


def resume(
    out: Path, *, observer: Observer | None = None, should_stop: Callable[[], bool] = lambda: False
) -> RunReport:
    """Continue a run from its folder alone, after any kind of stop.

    Raises:
        RunFolderError: no run there, or its data have changed.
    """
    observer = observer or Silent()
    with ExitStack() as stack:
        folder = RunFolder.open(out)
        stack.callback(folder.close)
        run = folder.read_json("run.json")
        if run["status"] == "complete":
            observer.log("the run is complete; nothing to do")
            return read_run(out)
        settings = make_settings(read_settings_file(out / "config.yaml"))
        preparation.check_sources(settings)
        store = preparation.open_store(settings, observer, stack)
        server = preparation.start_server(folder, stack)
        if preparation.is_complete(folder):
            prepared = preparation.read_preparation(folder, settings, preparation.load(settings), run["run_id"])
        else:  # the run was killed before it had decided what to do
            subject = preparation.describe(settings, observer)
            prepared = _prepare(folder, settings, subject, server, store, observer)
        energy_wh = run.get("energy_wh") or run.get("energy_wh_estimate") or 0.0
        spent = Spent(float(run["elapsed_s"]), float(energy_wh))
        return _conduct(prepared, folder, server, store, observer, should_stop, spent, stack)


def _prepare(
    folder: RunFolder,
    settings: Settings,
    subject: Subject,
    server: WorkerServer,
    store: ExperienceStore | None,
    observer: Observer,
) -> Prepared:
    """Profile, space, prior: everything that is decided before the first trial."""
    task, models = subject.task, subject.models
    slots = planning.choose_machine(settings, models)
    limits = planning.trial_limits(settings, slots)
    backend = preparation.job_backend(server, folder, slots, limits)
    stopwatch = Stopwatch(backend)
    profile = profile_subject(
        task,
        backend,
        slots,
        with_embeddings=settings.semantic,
        stopwatch=stopwatch,
        limit_s=embed_limit_s(settings.parsed_budget),
    )
    plan = planning.make_plan(settings, subject, limits, stopwatch.trial_speed(models[0]))
    if plan.limits != limits:
        observer.log(
            f"nothing fits a trial of {duration(limits.time_s)}, the default for this budget: trials may take "
            f"{duration(plan.limits.time_s)}"
        )
    rated = warmstart.past_trials(settings, store, task, profile)
    plan = replace(plan, residuals=warmstart.learned_residuals(plan, rated, profile))
    prior = warmstart.make_prior(settings, plan.space, rated, profile)
    prepared = Prepared(settings, task, profile, plan, prior, folder.read_json("run.json")["run_id"])
    preparation.write_preparation(folder, prepared, subject.summary)
    return prepared


def _conduct(
    prepared: Prepared,
    folder: RunFolder,
    server: WorkerServer,
    store: ExperienceStore | None,
    observer: Observer,
    should_stop: Callable[[], bool],
    spent: Spent,
    stack: ExitStack,
) -> RunReport:
    """Search under the budget, then choose, test, export and report: what `fit` and `resume` share."""
    settings, plan, task = prepared.settings, prepared.plan, prepared.task
    budget, limits = settings.parsed_budget, plan.limits
    context = TrialContext(
        folder.path, plan.space.models, limits.time_s, limits.memory_mib, settings.seed, kind=task.kind
    )
    slots = planning.choose_machine(settings, list(plan.space.models.values()), limits.memory_mib)
    meter = EnergyMeter(preparation.energy_counters(settings, slots.devices, stack))
    backend = LocalBackend(server, slots, context, meter)
    clock = Clock(budget, spent.elapsed_s, finish.reserve_s(task, plan, budget))
    clock.energy_wh = lambda: (spent.energy_wh or 0.0) + meter.total_wh
    finish.write_rows(folder.work / "data", task, prompt=settings.prompt)
    recorder = Recorder(
        folder=folder,
        backend=backend,
        models=plan.space.models,
        objectives=settings.parsed_objectives,
        context=prepared.export_context,
        to_experience=prepared.experience,
        store=store,
        observer=observer,
        facts=prepared.facts() | {"energy_source": meter.source, "memory_limit_by": server.memory_limit_by},
        spent=lambda: Spent(clock.elapsed_s, clock.energy_wh() if meter.is_measuring else None),
        max_disk_bytes=parse_size(settings.max_disk, "max-disk"),
        constraints=settings.parsed_constraints,
    )
    journal = folder.path / "trials.jsonl"
    recorder.begin(read_journal(journal), read_baselines(journal))
    proposer = prepared.ranking
    # Only our own search begins with known-good pipelines.
    start = proposer.starts[0] if proposer.starts and settings.sampler == "experience" else None

    def record(result: TrialResult) -> None:
        recorder.facts["prior"] |= proposer.transfer((*recorder.results, result))
        recorder.record(result)
        if settings.refit:
            clock.reserve_s = finish.reserve_s(task, plan, budget, refit=recorder.best)

    def make_backend(context: TrialContext) -> LocalBackend:
        return LocalBackend(server, slots, context, meter)

    def is_over() -> bool:
        return should_stop() or clock.is_out

    try:
        comparison.score_baselines(recorder, plan, settings, start, context, make_backend, is_over)
        _search(recorder, prepared, proposer, clock, Events(record, recorder.tick, should_stop))
        finish.finish(recorder, task, settings, is_interrupted=should_stop())
    except OSError as error:  # a full disk, most of all
        raise finish.cannot_go_on(recorder, error) from error
    finally:
        recorder.close()
    return read_run(folder.path)


def _search(recorder: Recorder, prepared: Prepared, proposer: Ranking, clock: Clock, events: Events) -> None:
    """Search; whatever ends it, the report shows what was found."""
    settings = prepared.settings
    past = prepared.prior.gains
    stopper = FrontStopper(recorder.objectives, recorder.constraints, past) if settings.stopping else None
    asker = make_search(settings.sampler, proposer, seed=settings.seed, prior=prepared.prior)
    try:
        search(
            asker,
            recorder.backend,
            clock,
            seed=settings.seed,
            finished=recorder.results,
            events=events,
            stopper=stopper,
        )
    except XAutoLMError:
        recorder.status = "failed"
        finish.write_report(recorder)
        raise


def default_out(data: str) -> Path:
    """The first free `runs/<data>-<n>`; `runs/<data>` itself for the first run."""
    base = Path("runs") / dataset_id_of(data).replace("/", "--")
    candidates = [base, *(base.with_name(f"{base.name}-{n}") for n in range(2, 10_000))]
    return next(folder for folder in candidates if not folder.exists())
