"""Where a warm search starts: the best pipelines of the nearest tasks.

The published warm start only tilts the probabilities of single decisions, which are independent of each other: no
combination that is known to work is ever proposed as a whole. A portfolio does that (as in Feurer et al. 2015,
auto-sklearn).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from xautolm.pareto import objective_value
from xautolm.records import Experience, Objective, Pipeline
from xautolm.space.params import Categorical, Domain, Space

#: Pipelines in a portfolio.
SIZE = 3


def portfolio(
    space: Space, successes: Sequence[tuple[Experience, float]], objective: Objective, size: int = SIZE
) -> tuple[Pipeline, ...]:
    """Choose pipelines to start with: the best of the nearest task, of the next, and so on, then their second best.

    Args:
        space: of the run; pipelines that it does not hold are left out, after their maximum length was moved to the
        nearest
            one on offer (lengths follow the data).
        successes: experiences that were `ok`, each with its distance.
        objective: what "best" means.
        size: how many at most.

    Returns:
        Distinct pipelines; those of one task differ in model or method.
    """
    tasks: dict[str, list[tuple[Experience, float]]] = {}
    for experience, distance in successes:
        tasks.setdefault(experience.dataset_id, []).append((experience, distance))
    nearest_first = sorted(tasks.values(), key=lambda items: min(distance for _, distance in items))
    ranked = [_best_of(space, [experience for experience, _ in items], objective) for items in nearest_first]
    rounds = [pipeline for choices in zip_longest(*ranked) for pipeline in choices if pipeline is not None]
    return tuple({pipeline.key: pipeline for pipeline in rounds}.values())[:size]


def _best_of(space: Space, experiences: Sequence[Experience], objective: Objective) -> list[Pipeline]:
    """The best pipeline of each (model, method) of one task, best first."""
    sign = -1.0 if objective.direction == "maximize" else 1.0
    ordered = sorted(experiences, key=lambda e: sign * objective_value(e.result, objective))
    best: dict[tuple[str, str], Pipeline] = {}
    for experience in ordered:
        pipeline = _moved_into(space, experience.result.pipeline)
        if pipeline is not None:
            best.setdefault((pipeline.model, pipeline.method), pipeline)
    return list(best.values())


def _moved_into(space: Space, pipeline: Pipeline) -> Pipeline | None:
    part = space.methods.get(pipeline.method)
    if part is None:
        return None
    moved = replace(pipeline, params=_with_length(pipeline.params, part.params.get("max_length")))
    return moved if space.contains(moved) else None


def _with_length(
    params: Mapping[str, bool | int | float | str], domain: Domain | None
) -> dict[str, bool | int | float | str]:
    """The hyperparameters with the nearest maximum length on offer, the next longer one when there is a choice."""
    moved = dict(params)
    if isinstance(domain, Categorical) and isinstance(wanted := params.get("max_length"), int):
        lengths = sorted(length for length in domain.choices if isinstance(length, int))
        moved["max_length"] = next((length for length in lengths if length >= wanted), lengths[-1])
    return moved
