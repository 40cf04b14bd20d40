"""Energy by a model: how trials share it, under which name it is kept, and what the real tracker leaves behind."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import pytest

from xautolm import pareto
from xautolm.backends import energy_estimate
from xautolm.backends.energy import EnergyMeter
from xautolm.backends.energy_estimate import JOULES_PER_KWH, EstimatedCounter, check_estimator, start_estimate
from xautolm.config import make_settings
from xautolm.errors import UsageError
from xautolm.preparation import check_energy, energy_counters
from xautolm.records import Cost, Objective, Pipeline, TrialResult


class Machine:
    """A clock, and a tracker that reads a power times the time."""

    def __init__(self) -> None:
        self.now_s, self.kwh, self.n_reads = 0.0, 0.0, 0

    def run(self, seconds: float, watts: float) -> None:
        self.now_s += seconds
        self.kwh += seconds * watts / JOULES_PER_KWH

    def read_kwh(self) -> float:
        self.n_reads += 1
        return self.kwh


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def counter(machine: Machine) -> EstimatedCounter:
    return EstimatedCounter(machine.read_kwh, now=lambda: machine.now_s)


def test_the_tracker_is_read_every_few_seconds_and_nothing_is_lost_in_between(machine, counter):
    given = 0.0
    for tenth in range(100):
        machine.run(0.1, 10.0 if tenth < 50 else 30.0)
        given += counter.used_j()
    machine.run(2.0, 30.0)
    given += counter.used_j()
    assert given == pytest.approx(5 * 10 + 5 * 30 + 2 * 30)
    assert machine.n_reads <= 7


def test_the_power_is_known_before_the_shortest_trial_ends(machine, counter):
    machine.run(0.25, 40.0)
    assert counter.used_j() == pytest.approx(10.0)
    machine.run(0.1, 40.0)
    assert counter.used_j() == pytest.approx(4.0)


def test_a_fall_of_power_is_put_right_and_never_gives_energy_back(machine, counter):
    machine.run(2.0, 100.0)
    assert counter.used_j() == pytest.approx(200.0)
    machine.run(1.9, 0.0)
    assert counter.used_j() == pytest.approx(190.0)  # by the last power
    machine.run(0.1, 0.0)
    assert counter.used_j() == 0.0


def test_trials_at_the_same_time_share_an_estimate_that_is_named_as_one(machine, counter):
    meter = EnergyMeter([counter])
    assert meter.source == "estimate"
    machine.run(4.0, 90.0)
    meter.tick([0, 1])
    machine.run(4.0, 90.0)
    meter.tick([1])
    costs = [meter.charged(Cost(1.0), trial_id) for trial_id in (0, 1)]
    assert [cost.energy_wh_estimate for cost in costs] == pytest.approx([0.05, 0.15])
    assert [cost.energy_wh for cost in costs] == [None, None]
    assert meter.total_wh == pytest.approx(0.2)


def test_what_is_measured_has_the_other_name_and_nothing_has_none(machine, counter):
    counter.source = "rapl"  # type: ignore[misc]
    machine.run(4.0, 90.0)
    meter = EnergyMeter([counter])
    meter.tick([0])
    assert meter.charged(Cost(1.0), 0) == Cost(1.0, energy_wh=pytest.approx(0.1))
    assert EnergyMeter(()).charged(Cost(1.0), 0) == Cost(1.0)


def test_an_estimate_is_the_energy_objective_where_nothing_is_measured():
    def result(trial_id: int, cost: Cost) -> TrialResult:
        return TrialResult(trial_id, "ok", Pipeline("m", "full", {"i": trial_id}), {"f1": 0.5}, cost, seed=0)

    results = [result(0, Cost(1.0, energy_wh_estimate=2.0)), result(1, Cost(1.0, energy_wh_estimate=1.0))]
    objectives = (Objective("f1", "maximize"), Objective("energy", "minimize"))
    assert pareto.front(results, objectives) == (1,)
    assert pareto.front([result(2, Cost(1.0))], objectives) == ()


def test_energy_without_a_counter_is_refused_unless_an_estimate_is_asked_for(monkeypatch):
    monkeypatch.setattr("xautolm.preparation.find_counters", lambda devices: [])
    asked = {"data": "d.csv", "device": "cpu", "budget": "0.1kWh"}
    with pytest.raises(UsageError, match="--estimate-energy"):
        check_energy(make_settings(asked))
    monkeypatch.setattr(energy_estimate, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'xautolm\[energy\]'"):
        check_energy(make_settings({**asked, "estimate_energy": True}))
    monkeypatch.setattr(energy_estimate, "find_spec", lambda name: object())
    check_energy(make_settings({**asked, "estimate_energy": True}))


def test_a_counter_is_better_than_an_estimate(monkeypatch, counter):
    monkeypatch.setattr("xautolm.preparation.find_counters", lambda devices: [counter])
    settings = make_settings({"data": "d.csv", "estimate_energy": True})
    with ExitStack() as stack:
        assert energy_counters(settings, ["cpu"], stack) == [counter]


def test_the_real_tracker_writes_and_says_nothing(tmp_path: Path, monkeypatch, capfd, caplog):
    pytest.importorskip("codecarbon", reason="needs the extra `energy`")
    monkeypatch.chdir(tmp_path)
    check_estimator()
    with ExitStack() as stack, caplog.at_level(logging.INFO):
        counter = start_estimate(stack)
        counter._read_at -= 10.0  # the next reading is due
        assert sum(i * i for i in range(200_000)) > 0
        assert counter.used_j() > 0
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("codecarbon")]
