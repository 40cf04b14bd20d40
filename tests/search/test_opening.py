"""The first trials of a warm search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from xautolm.records import Pipeline
from xautolm.search.expectations import Expected
from xautolm.search.opening import SIZE, opening


def pipeline(name: str) -> Pipeline:
    """`model/method/number`."""
    model, method, number = name.split("/")
    return Pipeline(model, method, {"epochs": int(number)})


Table = dict[str, tuple[float, float, float]]


def choose(table: Table, votes: Sequence[Sequence[float]] = (), cost_power: float = 0.5, size: int = SIZE) -> list[str]:
    """Names of what is chosen out of name -> (rank, probability of success, seconds).

    Without votes there is one, by which ranks are certain.
    """
    rank, p_ok, seconds = (np.asarray(column) for column in zip(*table.values(), strict=True))
    expected = Expected(rank, p_ok, np.log(seconds), np.zeros(len(rank)))
    pool = [pipeline(name) for name in table]
    return names(opening(pool, expected, np.asarray(votes) if votes else ndtr(rank)[:, None], cost_power, size))


def names(pipelines: Sequence[Pipeline]) -> list[str]:
    return [f"{p.model}/{p.method}/{p.params['epochs']}" for p in pipelines]


def test_first_what_is_good_for_its_cost_then_what_is_best() -> None:
    chosen = choose(
        {
            "m/full/1": (2.0, 0.9, 100.0),
            "m/lora/1": (1.8, 0.9, 60.0),
            "m/head/1": (0.5, 0.9, 2.0),
            "s/head/1": (-2.0, 0.9, 1.0),
            "s/full/1": (0.0, 0.9, 20.0),
        }
    )
    assert chosen == ["m/head/1", "m/full/1", "m/lora/1"]


def test_what_may_be_good_where_the_others_are_not_comes_before_more_of_the_same() -> None:
    table = {name: (0.0, 0.9, 50.0) for name in ("m/full/1", "m/full/2", "m/head/1")} | {"s/head/1": (0.0, 0.9, 1.0)}
    alike = [[0.9, 0.9, 0.1], [0.9, 0.8, 0.2], [0.2, 0.2, 0.7], [0.1, 0.1, 0.1]]
    assert choose(table, alike) == ["s/head/1", "m/full/1", "m/head/1"]
    unlike = [[0.9, 0.9, 0.1], [0.1, 0.9, 0.9], [0.2, 0.2, 0.7], [0.1, 0.1, 0.1]]
    assert choose(table, unlike) == ["s/head/1", "m/full/1", "m/full/2"]


def test_what_is_certain_to_be_worse_than_the_first_adds_nothing() -> None:
    table = {"s/head/1": (1.0, 0.9, 1.0), "m/full/1": (0.9, 0.9, 50.0), "m/lora/1": (0.0, 0.9, 50.0)}
    assert choose(table, [[0.8, 0.8], [0.7, 0.7], [0.0, 0.9]], size=2) == ["s/head/1", "m/lora/1"]


def test_what_will_probably_fail_is_not_among_them() -> None:
    table = {
        "m/full/1": (2.0, 0.02, 10.0),
        "m/lora/1": (0.5, 0.9, 10.0),
        "m/head/1": (0.4, 0.9, 1.0),
        "s/head/1": (0.0, 0.9, 1.0),
    }
    assert "m/full/1" not in choose(table)


def test_cost_is_forgotten_with_a_power_of_zero_and_below_a_second() -> None:
    table = {"m/full/1": (1.0, 0.9, 500.0), "m/head/1": (0.9, 0.9, 0.01), "s/head/1": (0.8, 0.9, 0.001)}
    assert choose(table, cost_power=0.0)[0] == "m/full/1"
    assert choose(table)[0] == "m/head/1"


def test_a_small_pool_gives_all_it_has_once() -> None:
    assert choose({"m/head/1": (0.0, 0.9, 1.0), "m/head/2": (1.0, 0.9, 1.0)}) == ["m/head/2", "m/head/1"]
    assert choose({"m/head/1": (0.0, 0.9, 1.0)}) == ["m/head/1"]
    assert opening([], Expected(*(np.zeros(0) for _ in range(4))), np.zeros((0, 1)), 0.5) == []


def test_no_more_than_asked_for() -> None:
    table = {f"m{i}/head/1": (float(i), 0.9, 10.0) for i in range(6)}
    assert len(choose(table, size=1)) == 1
    assert choose(table, size=2) == ["m5/head/1", "m4/head/1"]
