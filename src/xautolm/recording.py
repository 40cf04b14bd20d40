"""What happens with each finished trial, in an order that survives a kill: model, journal, store, `run.json`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from xautolm import pareto
from xautolm.backends.energy import ESTIMATE
from xautolm.backends.local import LocalBackend
from xautolm.errors import WorkerError
from xautolm.experience.outbox import Outbox
from xautolm.experience.run_folder import RunFolder
from xautolm.experience.store import ExperienceStore
from xautolm.export import ExportContext, export_trial, exported_trial
from xautolm.records import FAILURES, Constraint, Experience, ModelSpec, Objective, Progress, Spent, TrialResult

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
#: How long a run that ends waits for its store at most.
LAST_ATTEMPT_S = 5.0


class Observer(Protocol):
    """Who watches a run (`report.live.LiveView` is one)."""

    def log(self, line: str) -> None:
        """A sentence for the user."""
        ...

    def trial_finished(self, result: TrialResult) -> None:
        """A trial has ended."""
        ...

    def update(
        self, finished: Sequence[TrialResult], running: Sequence[Progress], front: Sequence[int], elapsed_s: float
    ) -> None:
        """The state of the run."""
        ...


class Silent:
    """An observer that ignores everything."""

    def log(self, line: str) -> None: ...

    def trial_finished(self, result: TrialResult) -> None: ...

    def update(
        self, finished: Sequence[TrialResult], running: Sequence[Progress], front: Sequence[int], elapsed_s: float
    ) -> None: ...


@dataclass
class Recorder:
    """Keeps what a run has found.

    A finished trial that becomes the best is exported first and journalled second: a kill in between costs that
    trial, which is run again, but there is never a finished working trial without a usable `model/`. The store comes
    last; it never stops a run.

    Attributes:
        folder: the run folder.
        backend: runs exports.
        models: name -> facts.
        objectives: of the run; the first decides what is best.
        constraints: of the run; a pipeline that breaks one is recommended only when all do.
        context: provenance for exports.
        to_experience: makes the store's record of a result.
        store: None = no store could be opened.
        observer: who watches.
        facts: the constant part of `run.json`.
        spent: time and energy used so far.
        max_disk_bytes: limit for checkpoints.
        results: every finished trial of the search, in order.
        baselines: what the search is held against, as far as they have been scored.
    """

    folder: RunFolder
    backend: LocalBackend
    models: Mapping[str, ModelSpec]
    objectives: Sequence[Objective]
    context: ExportContext
    to_experience: Callable[[TrialResult], Experience]
    store: ExperienceStore | None
    observer: Observer
    facts: dict[str, Any]
    spent: Callable[[], Spent]
    max_disk_bytes: int
    results: list[TrialResult] = field(default_factory=list)
    baselines: list[TrialResult] = field(default_factory=list)
    constraints: Sequence[Constraint] = ()
    status: str = "running"
    _written_at: float = 0.0
    _outbox: Outbox | None = field(init=False)

    def __post_init__(self) -> None:
        self._outbox = None if self.store is None else Outbox(self.store)

    @property
    def elapsed_s(self) -> float:
        """Seconds of the budget spent so far."""
        return self.spent().elapsed_s

    @property
    def front(self) -> tuple[int, ...]:
        """Ids of the non-dominated trials and baselines, cheapest first."""
        return pareto.front([*self.baselines, *self.results], self.objectives, self.constraints)

    @property
    def exportable_front(self) -> tuple[int, ...]:
        """Ids of the trials that no other trial dominates, whatever the baselines do, cheapest first."""
        return pareto.front(self.results, self.objectives, self.constraints)

    @property
    def best(self) -> TrialResult | None:
        """The recommended trial."""
        best = pareto.recommend(self.results, self.objectives, self.constraints)
        return next((result for result in self.results if result.trial_id == best), None)

    def begin(self, earlier: Sequence[TrialResult], baselines: Sequence[TrialResult] = ()) -> None:
        """Take over the trials of earlier sittings; bring the store and `model/` up to date with them."""
        self.results, self.baselines = list(earlier), list(baselines)
        for trial_id in self.folder.checkpoint_sizes().keys() - {result.trial_id for result in earlier}:
            self.folder.drop_checkpoint(trial_id)  # of a trial that was cut off before it was recorded
        self._remember(earlier)
        best = self.best
        if best is not None and exported_trial(self.folder.model) != best.trial_id:
            self._export(best)
        self.write_run()

    def record(self, result: TrialResult) -> None:
        """Keep one finished trial."""
        best = pareto.recommend([*self.results, result], self.objectives, self.constraints)
        if best == result.trial_id:
            self._export(result)
        self.folder.open_journal().append(result)
        self.results.append(result)
        self._remember([result])
        self._prune_checkpoints()
        self.write_run()
        self.observer.trial_finished(result)

    def record_baseline(self, result: TrialResult) -> None:
        """Keep what the search is held against: on the front, but neither in the store nor exported."""
        self.folder.open_journal().append(result)
        self.baselines.append(result)
        self.write_run()
        self.observer.trial_finished(result)

    def tick(self, running: Sequence[Progress]) -> None:
        """Show progress; every few seconds leave a heartbeat in `run.json`."""
        self.observer.update(self.results, running, self.exportable_front, self.elapsed_s)
        self._pass_on_news()
        if time.monotonic() - self._written_at > HEARTBEAT_S:
            self.write_run()

    def write_run(self) -> None:
        """Replace `run.json`."""
        self._written_at = time.monotonic()
        best, spent = self.best, self.spent()
        is_estimate = self.facts.get("energy_source") == ESTIMATE
        self.folder.write_json(
            "run.json",
            {
                **self.facts,
                "status": self.status,
                "n_trials": len(self.results),
                "n_baselines": len(self.baselines),
                "n_ok": sum(result.status == "ok" for result in self.results),
                "n_stopped": sum(result.status == "stopped" for result in self.results),
                "n_failed": sum(result.status in FAILURES for result in self.results),
                "wall_s": round(spent.elapsed_s, 3),
                "elapsed_s": round(spent.elapsed_s, 3),
                "energy_wh": None if is_estimate else spent.energy_wh,
                "energy_wh_estimate": spent.energy_wh if is_estimate else None,
                "front": list(self.front),
                "best": best.trial_id if best else None,
            },
        )

    def _export(self, result: TrialResult) -> None:
        model = self.models[result.pipeline.model]
        try:
            export_trial(self.backend, result, model, self.context, self.folder.model)
        except WorkerError as error:
            self.observer.log(f"warning: trial {result.trial_id} could not be exported: {error}")

    def _remember(self, results: Sequence[TrialResult]) -> None:
        """Give the store trials; it never stops a run, nor holds it up for long."""
        if self._outbox is not None:
            self._outbox.put([self.to_experience(result) for result in results])
            self._pass_on_news()

    def sync_store(self) -> None:
        """Give the store what it may have missed; a trial it has already is not stored twice."""
        if self._outbox is None:
            return
        self._outbox.put([self.to_experience(result) for result in self.results])
        n_waiting = self._outbox.flush(LAST_ATTEMPT_S)
        self._pass_on_news()
        if n_waiting:
            self.observer.log(
                "warning: the experience store has not taken all trials of this run; when it is available, run "
                f"`xautolm store add {self.folder.path}`"
            )

    def close(self) -> None:
        """Offer nothing to the store any more."""
        if self._outbox is not None:
            self._outbox.close()

    def _pass_on_news(self) -> None:
        for line in self._outbox.news() if self._outbox is not None else ():
            self.observer.log(line)

    def _prune_checkpoints(self) -> None:
        """Remove dominated checkpoints, then the worst of the front until the rest fits; the best stays."""
        # A trial that has just ended may have left its checkpoint and not be recorded yet: leave that alone.
        recorded = {result.trial_id for result in self.results}
        sizes = {trial_id: size for trial_id, size in self.folder.checkpoint_sizes().items() if trial_id in recorded}
        front = self.exportable_front
        best = pareto.recommend(self.results, self.objectives, self.constraints)
        for trial_id in list(sizes):
            if trial_id not in front:
                self.folder.drop_checkpoint(trial_id)
                del sizes[trial_id]
        for trial_id in front:  # cheapest, and therefore worst in quality, first
            if sum(sizes.values()) > self.max_disk_bytes and trial_id != best and trial_id in sizes:
                self.folder.drop_checkpoint(trial_id)
                del sizes[trial_id]
