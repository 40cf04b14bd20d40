"""The pipelines that a warm search tries first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xautolm.prior.portfolio import portfolio
from xautolm.records import Experience, Objective, Pipeline
from xautolm.space.params import Categorical, Space

F1 = Objective("f1", "maximize")
MakeExperience = Callable[..., Experience]


def head(model: str, c: float) -> Pipeline:
    return Pipeline(model, "head", {"c": c})


def test_the_best_of_the_nearest_task_comes_first_then_the_best_of_the_next(
    space: Space, pipeline: Callable[..., Pipeline], experience: MakeExperience
) -> None:
    successes = [
        (experience(pipeline("l"), dataset="far", f1=0.99), 2.0),
        (experience(head("s", 1.0), dataset="near", f1=0.70), 0.5),
        (experience(pipeline("m"), dataset="near", f1=0.80), 0.5),
    ]
    assert portfolio(space, successes, F1) == (pipeline("m"), pipeline("l"), head("s", 1.0))
    assert portfolio(space, successes, F1, size=1) == (pipeline("m"),)


def test_one_task_gives_different_models_or_methods(
    space: Space, pipeline: Callable[..., Pipeline], experience: MakeExperience
) -> None:
    successes = [(experience(pipeline("m", epochs=n), f1=0.8 + n / 100), 1.0) for n in (1, 2, 3)]
    successes.append((experience(head("m", 1.0), f1=0.1), 1.0))
    assert portfolio(space, successes, F1) == (pipeline("m", epochs=3), head("m", 1.0))


def test_what_the_space_does_not_hold_is_left_out(
    space: Space, pipeline: Callable[..., Pipeline], experience: MakeExperience
) -> None:
    strangers = [pipeline("unknown"), Pipeline("m", "carp", {}), Pipeline("m", "full", {"epochs": 3})]
    assert portfolio(space, [(experience(stranger), 0.0) for stranger in strangers], F1) == ()


def test_lengths_follow_the_data(space: Space, experience: MakeExperience) -> None:
    part = space.methods["head"]
    params = {**part.params, "max_length": Categorical((64, 128))}
    longer = replace(space, methods={"head": replace(part, params=params)})
    lengths = {
        wanted: portfolio(longer, [(experience(Pipeline("m", "head", {"c": 1.0, "max_length": wanted})), 0.0)], F1)
        for wanted in (32, 100, 512)
    }
    assert {wanted: start.params["max_length"] for wanted, (start,) in lengths.items()} == {32: 64, 100: 128, 512: 128}
