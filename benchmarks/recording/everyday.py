"""Pipelines as runs of the product launch them: defaults, and draws that are expected to fit.

Uniform draws of the recorded space under limits that a third of them miss say little of fine-tuning on some thousand
rows: what is left of it are the few draws that were quick by chance. Here a task has its rows, a trial the time that it
has in a run of some minutes, and the space is the methods' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count, islice

from benchmarks.recording.limits import best_constant_f1, read_limits, save_entry
from benchmarks.recording.pilot import task_entry
from benchmarks.recording.session import Draw, Session
from benchmarks.recording.space import METHODS, draw_pipeline, space_id
from benchmarks.recording.subsets import SUBSET_SEED, SubsetSize, load_subset
from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.records import Pipeline
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.build import adapt_default
from xautolm.space.catalogue import resolve_models
from xautolm.space.feasibility import Limits, Speed, TaskSize
from xautolm.space.params import Space

#: Lengths of the recorded space that texts of a few sentences need.
LENGTHS = (64, 128)
#: A core of the machine of the recorded table, whose trials took between 0.5 (heads) and 1.1 (LoRA) of these estimates.
SPEED = Speed(flops_per_s=120e9, startup_s=0.3, source="recorded")


def everyday_space(n_train: int) -> Space:
    """The embedded encoder at 6, 3 and 1 layers under the four methods, with the domains that a run of these has.

    Args:
        n_train: training rows that methods are told to expect.
    """
    models, _ = resolve_models(None, offline=True)
    facts = Facts(models, LENGTHS, n_train)
    parts = [registry.resolve("methods", name).space(facts) for name in METHODS]
    return Space(models={model.name: model for model in models}, methods={part.method: part for part in parts})


def everyday_draw(space: Space, size: TaskSize, limits: Limits) -> Draw:
    """Makes pipeline i of a task: first the default of each method with each model, reduced until it fits, then draws.

    Draws come from the sequence that all tasks share; those estimated not to fit are passed over, the estimates
    being taken at their word.

    Args:
        space: from `everyday_space`.
        size: of the task.
        limits: of a trial; something has to fit.
    """
    check = FitCheck(Plan(space, size, limits, SPEED, ()), is_cautious=False)
    defaults = tuple(_defaults(space, check))

    @cache
    def fitting(seed: int) -> tuple[list[Pipeline], Iterator[Pipeline]]:
        drawn = (draw_pipeline(space, seed, number) for number in count())
        return [], (pipeline for pipeline in drawn if check(pipeline).fits)

    def draw(space: Space, seed: int, index: int) -> Pipeline:
        if index < len(defaults):
            return defaults[index]
        known, more = fitting(seed)
        known += islice(more, max(0, index - len(defaults) + 1 - len(known)))
        return known[index - len(defaults)]

    return draw


def _defaults(space: Space, check: FitCheck) -> Iterator[Pipeline]:
    """The reduced default of every method with every model that it fits with."""
    for method, part in space.methods.items():
        for model in part.models:
            alone = replace(space, methods={method: replace(part, models=(model,))})
            pipeline = adapt_default(alone, method, check)
            if check(pipeline).fits:
                yield pipeline


def everyday_session(session: Session, name: str, size: SubsetSize, limits: Limits) -> Session:
    """The session for one task: its space, its draws, and its entries in `limits.json` and `tasks.json`.

    Args:
        session: the machinery, with the table of these pipelines.
        name: of the task.
        size: rows of a task that is new in the table; all when there are less.
        limits: of a trial of such a task; one that is there keeps its own.
    """
    entry = read_limits(session.table).get(name)
    if entry is None:
        task = load_subset(session.data, name, size, or_all=True)
        space = everyday_space(task.train.n_rows)
        about = task_entry(task)
        save_entry(session.table, "tasks.json", name, about)
        entry = {
            "accepted": True,
            "problems": [],
            "time_limit_s": limits.time_s,
            "memory_limit_mib": limits.memory_mib,
            "n_train": task.train.n_rows,
            "n_validation": task.validation.n_rows,
            "n_classes": len(task.labels),
            "token_quantiles": about["token_quantiles"],
            "best_constant_f1": best_constant_f1(task.validation.labels, len(task.labels)),
            "subset_seed": SUBSET_SEED,
            "fingerprint": task.fingerprint,
            "space_id": space_id(space),
        }
        save_entry(session.table, "limits.json", name, entry)
    space = everyday_space(entry["n_train"])
    task_size = TaskSize(entry["n_train"], entry["n_validation"], entry["n_classes"], tuple(entry["token_quantiles"]))
    kept = Limits(entry["time_limit_s"], entry["memory_limit_mib"])
    return replace(session, space=space, draw=everyday_draw(space, task_size, kept))
