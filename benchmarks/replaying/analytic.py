"""Made-up tasks for the fake evaluators: as many as one likes, with the methods' own spaces and estimates.

Tasks differ in what is best for every hyperparameter but the few of which more always helps, and in the best method. A
past task looks exactly like the task at hand, so that what it teaches counts in full, be it true or not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmarks.replaying.simulate import TaskFacts
from benchmarks.replaying.tasks import N_TRIALS, RecordedTask
from xautolm import registry
from xautolm.evaluate.fake import analytic_evaluator, analytic_space
from xautolm.methods.method import Facts
from xautolm.prior.model import SearchModel
from xautolm.records import Budget, Experience, Profile, Trial
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.build import adapt_default
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize
from xautolm.space.params import Space

#: Past tasks of a store, and uniform trials of each, as many as the recorded table has.
N_TASKS, N_PAST = 4, 80
_METHODS = ("head", "partial", "lora", "full")
_LENGTHS = (32, 64, 128, 256)
#: The evaluators' own time limit. Their limit of memory is foreseen by no estimate.
_LIMITS = Limits(600.0, 1e6)
_PROFILE = Profile("classification/2", {"n_train": 1000.0, "n_classes": 2.0, "mean_chars": 60.0}, "system/2", {})
#: Past tasks are numbered from here, far from the tasks at hand.
_FIRST_PAST = 1_000_000


@lru_cache(maxsize=1)
def made_up_space() -> Space:
    """The four methods as they declare themselves, on four made-up models."""
    models = analytic_space().models
    facts = Facts(list(models.values()), _LENGTHS, 1000)
    parts = [registry.resolve("methods", name).space(facts) for name in _METHODS]
    return Space(models=models, methods={part.method: part for part in parts})


def made_up_task(number: int, n_trials: int = N_TRIALS) -> RecordedTask:
    """The task of a number; with two even classes a constant prediction has a macro F1 of 1/3."""
    space, size = made_up_space(), TaskSize(1000, 200, 2, (12,) * 101)
    check = FitCheck(Plan(space, size, _LIMITS, DEFAULT_SPEED, ()), is_cautious=False)
    defaults = tuple(adapt_default(space, method, check) for method in space.methods)
    name = f"made-up-{number}"
    return RecordedTask(
        facts=TaskFacts(name, 1 / 3, _LIMITS.time_s, Budget(n_trials=n_trials)),
        profile=_PROFILE,
        fingerprint=name,
        sketch=(),
        plan=Plan(space, size, _LIMITS, DEFAULT_SPEED, defaults),
        surrogate=analytic_evaluator(space, seed=number),
        results=(),
    )


def past_of(number: int) -> list[Experience]:
    """A store of uniform trials on other tasks, others for every number."""
    return [
        experience
        for i in range(N_TASKS)
        for experience in _experiences(made_up_task(_FIRST_PAST + number * N_TASKS + i), number * N_TASKS + i)
    ]


def _experiences(task: RecordedTask, seed: int) -> list[Experience]:
    model, rng = SearchModel.uniform(task.plan.space), np.random.default_rng([seed, 1])
    results = [task.surrogate(Trial(i, model.sample(rng), seed=i)) for i in range(N_PAST)]
    return [
        Experience(
            run_id=task.name,
            dataset_id=task.name,
            fingerprint=task.fingerprint,
            sketch=(),
            profile=task.profile,
            result=result,
            space_version=task.plan.space.version,
            versions={},
            model_revision="analytic",
            source="machine",
            created_at="",
            time_limit_s=_LIMITS.time_s,
            memory_limit_mib=_LIMITS.memory_mib,
        )
        for result in results
    ]
