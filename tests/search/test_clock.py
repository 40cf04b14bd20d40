"""The clock of a run, also over several sittings."""

from __future__ import annotations

import math

from xautolm.records import Budget
from xautolm.search.budget import Clock


class Watch:
    """Seconds that tests move by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_time_of_earlier_sittings_and_the_reserve_are_counted() -> None:
    watch = Watch()
    clock = Clock(Budget(wall_s=100.0), elapsed_s_before=30.0, reserve_s=10.0, now=watch)
    assert (clock.elapsed_s, clock.remaining_s) == (30.0, 60.0)
    watch.seconds += 59.0
    assert not clock.is_out
    watch.seconds += 5.0
    assert clock.is_out
    assert (clock.elapsed_s, clock.remaining_s) == (94.0, 0.0)


def test_a_budget_of_trials_never_runs_out_of_time() -> None:
    watch = Watch()
    clock = Clock(Budget(n_trials=3), now=watch)
    watch.seconds += 1e9
    assert clock.remaining_s == math.inf
    assert not clock.is_out


def test_a_budget_of_energy_is_out_when_the_counters_say_so() -> None:
    used = [0.0]
    clock = Clock(Budget(energy_wh=10.0), energy_wh=lambda: used[0])

    assert not clock.is_out
    assert clock.remaining_s == math.inf
    used[0] = 10.0
    assert clock.is_out
