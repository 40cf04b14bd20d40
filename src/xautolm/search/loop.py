"""The ask-evaluate-tell loop of one run: fills the backend's slots until the budget is spent.

Covered: several slots, resume (interrupted trials run again under their old id), time and trial budgets, Ctrl-C,
an environment in which nothing works. Not covered: limits of a single trial (the backend's), the journal (the
caller's, through `Events.on_result`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

import numpy as np

from xautolm.errors import RunError
from xautolm.records import FAILURES, Pipeline, Progress, Trial, TrialResult
from xautolm.search.budget import Clock

#: Failures of one kind, from the first trial on, after which the environment is at fault and not the search.
HOPELESS_AFTER = 10
#: Interruptions by the backend in a row (a full disk, a machine going down) after which the run gives up.
MAX_INTERRUPTIONS = 3


class Asker(Protocol):
    """Chooses pipelines; `search.samplers.make_search` builds one."""

    def ask(self, trial_id: int, seen: Sequence[TrialResult], running: Sequence[Pipeline] = ()) -> Pipeline:
        """The pipeline of trial `trial_id`, knowing the results `seen` in the order they finished, and what runs."""
        ...

    def tell(self, result: TrialResult) -> None:
        """Take note of a finished trial."""
        ...


class Backend(Protocol):
    """Evaluates trials on some machine, at most `n_slots` at a time.

    A trial that was submitted and not stopped comes back from `poll` exactly once, whatever happened to it.
    """

    @property
    def n_slots(self) -> int:
        """Trials that may run at the same time."""
        ...

    def submit(self, trial: Trial) -> None:
        """Start a trial without waiting for it."""
        ...

    def poll(self, timeout_s: float) -> list[TrialResult]:
        """Results that arrived, waiting up to `timeout_s` for the first, in the order they finished."""
        ...

    def running(self) -> list[Progress]:
        """How far the running trials are."""
        ...

    def stop(self, trial_id: int, reason: str) -> None:
        """Stop one running trial; its result comes as `stopped`."""
        ...

    def stop_all(self) -> None:
        """Stop the running trials; their results never come."""
        ...


class Stopper(Protocol):
    """Decides which running trials are not worth finishing (`search.stopping.FrontStopper`)."""

    def reason(self, running: Progress, results: Sequence[TrialResult]) -> str | None:
        """Why a running trial can be stopped; None = let it run."""
        ...


@dataclass(frozen=True, slots=True)
class Events:
    """What the caller of the loop hooks in.

    Attributes:
        on_result: called with each finished trial before the next proposal (journal, store, export).
        on_tick: called every `tick_s` with the running trials (live view, heartbeat).
        should_stop: asked before every launch and poll; True ends the search (Ctrl-C).
        tick_s: longest wait for a result.
    """

    on_result: Callable[[TrialResult], None] = lambda result: None
    on_tick: Callable[[Sequence[Progress]], None] = lambda running: None
    should_stop: Callable[[], bool] = lambda: False
    tick_s: float = 0.5


@dataclass(slots=True)
class _State:
    """Finished results in the order they finished, and what is running."""

    results: list[TrialResult]
    running: dict[int, Trial] = field(default_factory=dict)
    stopping: set[int] = field(default_factory=set)
    n_interrupted: int = 0

    def next_id(self) -> int:
        """The smallest trial id that is neither finished nor running."""
        taken = {result.trial_id for result in self.results} | self.running.keys()
        return next(i for i in count() if i not in taken)


def trial_seed(seed: int, trial_id: int) -> int:
    """Seed of one trial's evaluation, in [0, 2^31), unrelated to the seed of its proposal.

    >>> trial_seed(0, 3) == trial_seed(0, 3) != trial_seed(0, 4)
    True
    """
    # The third entry separates this stream from the proposal's, which is seeded by (seed, trial_id).
    return int(np.random.SeedSequence([seed, trial_id, 1]).generate_state(1)[0] >> 1)


def search(
    asker: Asker,
    backend: Backend,
    clock: Clock,
    *,
    seed: int,
    finished: Sequence[TrialResult] = (),
    events: Events | None = None,
    stopper: Stopper | None = None,
) -> list[TrialResult]:
    """Evaluate pipelines until the budget is spent.

    Args:
        asker: chooses pipelines.
        backend: evaluates them.
        clock: the budget and what is used of it.
        seed: seed of the run.
        finished: results of earlier sittings, in the order they finished.
        events: hooks of the caller.
        stopper: ends running trials early; None = every trial runs to its end.

    Returns:
        All results, earlier ones first, in the order they finished. Trials that still ran when the time was out,
        and those that the backend reports as `interrupted`, are not among them.

    Raises:
        RunError: the first trials all failed alike, or the backend was interrupted again and again.
    """
    events = events or Events()
    state = _State(list(finished))
    try:
        while not (events.should_stop() or clock.is_out):
            _launch(asker, backend, clock, seed, state)
            if not state.running:
                break
            _collect(asker, backend.poll(min(events.tick_s, clock.remaining_s)), state, events)
            running = backend.running()
            _stop_hopeless(stopper, backend, running, state)
            events.on_tick(running)
        # What finished since the last poll was paid for: keep it before the rest is stopped.
        _collect(asker, backend.poll(0.0) if state.running else [], state, events)
    finally:
        if state.running:
            backend.stop_all()
    return state.results


def _launch(asker: Asker, backend: Backend, clock: Clock, seed: int, state: _State) -> None:
    """Fill the free slots, as far as a budget of trials allows."""
    n_trials = clock.budget.n_trials
    while len(state.running) < backend.n_slots and not clock.is_out:
        if n_trials is not None and len(state.results) + len(state.running) >= n_trials:
            return
        trial_id = state.next_id()
        beside = tuple(trial.pipeline for trial in state.running.values())
        pipeline = asker.ask(trial_id, tuple(state.results), beside)
        seen = tuple(result.trial_id for result in state.results)
        trial = Trial(trial_id, pipeline, trial_seed(seed, trial_id), seen, beside)
        backend.submit(trial)
        state.running[trial_id] = trial


def _stop_hopeless(stopper: Stopper | None, backend: Backend, running: Sequence[Progress], state: _State) -> None:
    """Stop the trials that cannot matter any more, each once."""
    if stopper is None:
        return
    for progress in running:
        if progress.trial_id in state.stopping:
            continue
        reason = stopper.reason(progress, state.results)
        if reason is not None:
            state.stopping.add(progress.trial_id)
            backend.stop(progress.trial_id, reason)


def _collect(asker: Asker, arrived: Sequence[TrialResult], state: _State, events: Events) -> None:
    """Record results; interrupted trials are forgotten, so that their id is used again."""
    for result in arrived:
        trial = state.running.pop(result.trial_id)
        state.stopping.discard(result.trial_id)
        if result.status == "interrupted":
            state.n_interrupted += 1
            _check_interruptions(state.n_interrupted, result)
            continue
        state.n_interrupted = 0
        recorded = replace(result, seed=trial.seed, seen=trial.seen, beside=trial.beside)
        state.results.append(recorded)
        events.on_result(recorded)
        asker.tell(recorded)
        _check_environment(state.results)


def _check_interruptions(n_interrupted: int, last: TrialResult) -> None:
    if n_interrupted >= MAX_INTERRUPTIONS:
        raise RunError(
            f"{n_interrupted} trials in a row were interrupted by the machine, last: {_message(last)}; "
            "finished trials are kept: remove the cause, then `xautolm resume` the run"
        )


def _check_environment(results: Sequence[TrialResult]) -> None:
    """Give up when every trial of the run so far failed in the same way."""
    kinds = {result.error.kind if result.error else result.status for result in results}
    hopeless = len(results) >= HOPELESS_AFTER and len(kinds) == 1
    if hopeless and all(result.status in FAILURES for result in results):
        raise RunError(
            f"all of the first {len(results)} trials failed alike ({_message(results[-1])}), which points to "
            "the environment or the limits and not to the search; see `trials/` in the run folder, then resume"
        )


def _message(result: TrialResult) -> str:
    error = result.error
    return f"`{error.kind}`: {error.message}" if error else f"`{result.status}`"


def replay(asker: Asker, results: Sequence[TrialResult]) -> list[Pipeline]:
    """Ask for every recorded trial again, by id, showing what its proposal had seen and what ran beside it.

    Args:
        asker: a new one, with the seed and the prior of the recorded run.
        results: the recorded results, in any order.

    Returns:
        The proposals in the order of the trial ids, to be compared with `asked_for` of the results.
    """
    by_id = {result.trial_id: result for result in results}
    return [asker.ask(i, tuple(by_id[j] for j in by_id[i].seen), by_id[i].beside) for i in sorted(by_id)]


def asked_for(result: TrialResult) -> Pipeline:
    """The pipeline that was proposed: what ran, unless a rescue changed it."""
    return result.requested or result.pipeline
