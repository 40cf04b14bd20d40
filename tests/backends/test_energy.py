"""Energy counters: what is read, how it is shared among trials, and what happens when one goes away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from xautolm.backends.energy import EnergyMeter, NvmlCounter, RaplCounter, find_counters


def package(root: Path, name: str = "intel-rapl:0", *, uj: int = 1_000_000, top: int = 10_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{top}\n")
    return folder


class Steps:
    """A counter that gives the listed joules, one per call."""

    source = "rapl"

    def __init__(self, used: Sequence[float]) -> None:
        self._used = list(used)

    def used_j(self) -> float:
        if not self._used:
            raise OSError("gone")
        return self._used.pop(0)


def test_a_processors_counter_tells_what_was_used_since_it_was_last_read(tmp_path: Path) -> None:
    folder = package(tmp_path, uj=1_000_000)
    counter = RaplCounter(folder)
    (folder / "energy_uj").write_text("4000000")

    assert counter.used_j() == 3.0
    assert counter.used_j() == 0.0


def test_a_counter_that_wraps_around_loses_nothing(tmp_path: Path) -> None:
    folder = package(tmp_path, uj=9_000_000, top=10_000_000)
    counter = RaplCounter(folder)
    (folder / "energy_uj").write_text("500000")

    assert counter.used_j() == 1.5


def test_packages_are_found_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0")
    package(tmp_path, "intel-rapl:0:0")
    package(tmp_path, "intel-rapl:1")

    assert [counter.source for counter in find_counters(("cpu",), powercap=tmp_path)] == ["rapl", "rapl"]


def test_without_a_counter_nothing_is_measured(tmp_path: Path) -> None:
    meter = EnergyMeter(find_counters(("cpu",), powercap=tmp_path))
    meter.tick([1])

    assert (meter.source, meter.is_measuring, meter.finish(1)) == ("none", False, None)


def test_a_gpu_tells_millijoules_and_may_start_anew() -> None:
    readings = [5000, 8000, 100]

    class Nvml:
        def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802 - NVML's name
            return readings.pop(0)

    counter = NvmlCounter(Nvml(), None)

    assert [counter.used_j(), counter.used_j()] == [3.0, 0.0]


def test_trials_that_run_at_the_same_time_share_what_was_used() -> None:
    meter = EnergyMeter([Steps([7200.0, 3600.0, 10.0])])
    meter.tick([0, 1])
    meter.tick([1])
    meter.tick([])

    assert meter.finish(0) == 1.0
    assert meter.finish(1) == 2.0
    assert meter.total_wh == pytest.approx((7200 + 3600 + 10) / 3600)


def test_a_counter_that_goes_away_ends_the_measurement_and_not_the_run() -> None:
    meter = EnergyMeter([Steps([1.0])])
    meter.tick([0])
    meter.tick([0])

    assert meter.finish(0) is None
    assert meter.source == "none"
