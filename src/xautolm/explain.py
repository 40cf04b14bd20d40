"""Explains what past experience says about a task: load, profile, space and prior, without a search.

No model is kept, and nothing is written but, once, the speed of the machine in the user's cache folder: a store that is
not there is not made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from xautolm import planning, preparation, warmstart
from xautolm.config import Settings
from xautolm.data.summary import summary_lines
from xautolm.experience.groups import ExperienceGroup
from xautolm.experience.location import default_store_url, display_url, is_there
from xautolm.experience.store import ExperienceStore
from xautolm.planning import Subject
from xautolm.prior.evidence import RatedGroup, rate_groups
from xautolm.prior.explanation import Decision, Explanation, counted, decisions, near_tasks, task_table
from xautolm.prior.knn import KnnOptions, nearest_evidence
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import Evidence, ReferenceOptions, replay, weighed
from xautolm.prior.similarity import DistanceOptions
from xautolm.profiling import profile_alone
from xautolm.recording import Silent
from xautolm.records import Profile, Task


@dataclass(frozen=True, slots=True)
class _Belief:
    """What the prior makes of the space: every decision before and after, and the experiences that changed it."""

    decisions: tuple[Decision, ...]
    used: Sequence[Evidence]


def explain(settings: Settings) -> Explanation:
    """Profile a task and ask the store what it knows about tasks like it.

    Args:
        settings: the data, the models and methods, the prior and the store, whether texts are embedded, as for `fit`.

    Raises:
        XAutoLMError: the data, a model or the store cannot be used.
    """
    with ExitStack() as stack:
        subject, profile = profiled(settings)
        task = subject.task
        url = settings.store or default_store_url(os.environ)
        store = _open(url, stack)
        options = warmstart.distance_of(settings)
        groups = warmstart.evidence_of(settings, store).groups(None, settings.exclude_dataset)
        near = _near(groups, task, profile, options)
        belief = _belief(settings, subject, profile, store)
        names, table = task_table(profile, near, options)
        return Explanation(
            dataset_id=task.dataset_id,
            kind=task.kind,
            data=tuple(summary_lines(subject.summary)),
            profile=profile,
            store=display_url(url),
            weights=options.weights,
            near=near_tasks(near, belief.used),
            table_names=names,
            table=table,
            prior_kind=settings.prior if belief.used else "none",
            decisions=belief.decisions,
            counted=counted(belief.used),
            notes=_notes(settings, task.kind, store, near, belief.used),
        )


def profiled(settings: Settings) -> tuple[Subject, Profile]:
    """Load data and profile their task and this machine, outside of a run.

    Args:
        settings: the data, the models, whether texts are embedded.

    Raises:
        XAutoLMError: the data or a model cannot be used.
    """
    subject = preparation.describe(settings, Silent())
    slots = planning.choose_machine(settings, subject.models)
    return subject, profile_alone(subject.task, slots, with_embeddings=settings.semantic)


def _near(
    groups: Sequence[ExperienceGroup], task: Task, profile: Profile, options: DistanceOptions
) -> list[RatedGroup]:
    """Past tasks of any kind, nearest first; those of this kind are measured among themselves, as for the prior."""
    same, other = ([group for group in groups if (group.kind == task.kind) is is_same] for is_same in (True, False))
    rated = [rate_groups(part, profile, task.fingerprint, task.sketch, options) for part in (same, other)]
    return sorted((item for part in rated for item in part), key=lambda item: item.distance)


def _open(url: str, stack: ExitStack) -> ExperienceStore | None:
    if not is_there(url):
        return None
    store = ExperienceStore(url)
    stack.callback(store.close)
    return store


def _belief(settings: Settings, subject: Subject, profile: Profile, store: ExperienceStore | None) -> _Belief:
    """The cold model of the whole space, and the same warmed by what the prior reads."""
    task = subject.task
    space = planning.whole_space(settings, subject)
    options = KnnOptions().replayed if settings.prior == "knn" else ReferenceOptions()
    cold = SearchModel.informed(space, options.default_share)
    if settings.prior == "none":
        return _Belief(decisions(cold, cold), ())
    rated = warmstart.past_trials(settings, store, task, profile)
    is_knn = settings.prior == "knn"  # `learned` has the model of `reference`
    evidence = nearest_evidence(rated, profile, KnnOptions()) if is_knn else weighed(rated, options)
    warm, used = replay(space, evidence, options)
    return _Belief(decisions(cold, warm), used)


def _notes(
    settings: Settings,
    kind: str,
    store: ExperienceStore | None,
    near: Sequence[RatedGroup],
    used: Sequence[Evidence],
) -> tuple[str, ...]:
    """What a reader must know to read the rest right."""
    if not near and store is None:
        return ("There is no experience store at this place yet: a run would start cold, and make it.",)
    if not near:
        return ("The store holds no experiences: a run would start cold.",)
    if settings.prior == "none":
        return ("Past experience is switched off: a run would start cold.",)
    if not any(item.group.kind == kind for item in near):
        return (f"There are no experiences of {kind}, only of other kinds of task: a run would start cold.",)
    if not used:
        return ("No past experience says anything about the models and methods here: a run would start cold.",)
    if settings.prior != "learned":
        return ()
    return (
        "Beside what is shown here, the prior `learned` predicts success, time, memory and quality of what is drawn, "
        "from the same experiences, and tries the most promising first.",
    )
