"""Scores the baselines before the search, so that a user sees within seconds what has to be beaten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.config import Settings
from xautolm.errors import XAutoLMError
from xautolm.recording import Recorder
from xautolm.records import ModelSpec, Pipeline, Trial
from xautolm.search.baselines import baseline_trials, embedded_model, is_frozen_embedding, names_of
from xautolm.search.plan import Plan

#: A baseline may take this share of a time budget, within these bounds (s): it must not eat up what it is held against.
_SHARE, _LEAST_S, _MOST_S = 0.1, 5.0, 60.0
_TICK_S = 0.5


def score_baselines(
    recorder: Recorder,
    plan: Plan,
    settings: Settings,
    first_start: Pipeline | None,
    context: TrialContext,
    make_backend: Callable[[TrialContext], LocalBackend],
    should_stop: Callable[[], bool],
) -> None:
    """Score the baselines that the run does not have yet; none of them can stop it.

    Args:
        recorder: of the run.
        plan: of the run.
        settings: of the run.
        first_start: what the search tries first; None = not known.
        context: of the trials.
        make_backend: runs trials in a context.
        should_stop: whether the run has to end.
    """
    if not settings.baselines:
        return
    has_embedding = first_start is not None and is_frozen_embedding(first_start)
    model = None if has_embedding else _model(recorder)
    trials = baseline_trials(plan.size, settings.seed, model=model, kind=context.kind)
    recorder.facts["baselines"] = names_of(trials, first_start)
    known = {result.trial_id for result in recorder.baselines}
    models = {model.name: model} if model is not None else {}
    limit_s = min(context.time_limit_s, _limit_s(settings.parsed_budget.wall_s))
    backend = make_backend(replace(context, models=models, time_limit_s=limit_s, with_rescue=False))
    _run([trial for trial in trials if trial.trial_id not in known], backend, recorder, should_stop)


def _model(recorder: Recorder) -> ModelSpec | None:
    try:
        return embedded_model()
    except XAutoLMError as error:
        recorder.observer.log(f"warning: the baseline on frozen embeddings is left out: {error}")
        return None


def _limit_s(wall_s: float | None) -> float:
    """Seconds that one baseline may take.

    >>> _limit_s(None), _limit_s(20.0), _limit_s(300.0)
    (60.0, 5.0, 30.0)
    """
    return _MOST_S if wall_s is None else min(max(_SHARE * wall_s, _LEAST_S), _MOST_S)


def _run(waiting: list[Trial], backend: LocalBackend, recorder: Recorder, should_stop: Callable[[], bool]) -> None:
    """Fill the slots until all are scored; what is interrupted is scored when the run is resumed."""
    n_running = 0
    try:
        while (waiting or n_running) and not should_stop():
            while waiting and n_running < backend.n_slots:
                backend.submit(waiting.pop(0))
                n_running += 1
            for result in backend.poll(_TICK_S):
                n_running -= 1
                if result.status != "interrupted":
                    recorder.record_baseline(result)
            recorder.tick(backend.running())
    finally:
        backend.stop_all()
