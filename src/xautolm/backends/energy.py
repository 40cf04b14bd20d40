"""Energy of trials, read from the counters of the machine: NVML for NVIDIA GPUs, RAPL for processors.

Covered: counters that wrap around; several trials at once, which share what the machine used while they ran in equal
parts; a counter that stops answering (nothing is measured from then on). Where no counter can be read,
`backends.energy_estimate` can stand in for one. Not covered: what has no counter (memory
modules on most machines, fans, the power supply), and other programs: their energy is in it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from xautolm.metafeatures.gpus import selected_handles
from xautolm.records import Cost

logger = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
JOULES_PER_WH = 3600.0
#: Source of a figure that is no measurement.
ESTIMATE = "estimate"


class Counter(Protocol):
    """A meter of one part of the machine."""

    source: str

    def used_j(self) -> float:
        """Joules since the last call, or since the counter was made; never negative."""
        ...


class RaplCounter:
    """A processor package, through the kernel's powercap files.

    Args:
        folder: of the package (`intel-rapl:0`).

    Raises:
        OSError: the counter cannot be read (most systems let only root do so).
    """

    source = "rapl"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._path.read_text())

    def used_j(self) -> float:
        now_uj = int(self._path.read_text())
        used_uj = now_uj - self._last_uj
        self._last_uj = now_uj
        return (used_uj + self._range_uj if used_uj < 0 else used_uj) / 1e6


class NvmlCounter:
    """A GPU (Volta or newer).

    Args:
        nvml: the module `pynvml`, initialised.
        handle: of the device.
    """

    source = "nvml"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self._last_mj = int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    def used_j(self) -> float:
        now_mj = int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        used_mj = max(now_mj - self._last_mj, 0)  # the counter starts anew with the driver
        self._last_mj = now_mj
        return used_mj / 1e3


def find_counters(devices: Sequence[str], *, powercap: Path = POWERCAP) -> list[Counter]:
    """The counters of the processors and of the GPUs that trials run on; empty where there is none.

    Args:
        devices: of the trials, `cpu` or `cuda:N`.
        powercap: folder of the kernel's power interface.
    """
    counters: list[Counter] = []
    for folder in sorted(powercap.glob("*-rapl:[0-9]*")):
        if folder.name.count(":") == 1:  # `intel-rapl:0:1` is a part of `intel-rapl:0`
            with contextlib.suppress(OSError, ValueError):
                counters.append(RaplCounter(folder))
    indices = {int(device.partition(":")[2] or 0) for device in devices if device.startswith("cuda")}
    return counters + (_gpu_counters(indices) if indices else [])


def _gpu_counters(indices: Collection[int]) -> list[Counter]:
    import pynvml

    found: list[Counter] = []
    try:
        pynvml.nvmlInit()  # stays open: the counters are read until the process ends
        handles = selected_handles(pynvml)
    except pynvml.NVMLError as error:
        logger.debug("NVML is not available: %s", error)
        return []
    for index in sorted(index for index in indices if index < len(handles)):
        with contextlib.suppress(pynvml.NVMLError):  # a GPU without such a counter
            found.append(NvmlCounter(pynvml, handles[index]))
    return found


class EnergyMeter:
    """Shares what the counters say among the trials that run.

    Args:
        counters: from `find_counters`; empty = nothing is measured.
    """

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = list(counters)
        self._of_trial_j: dict[int, float] = {}
        self.total_j = 0.0

    @property
    def source(self) -> str:
        """Names of the counters in use (`nvml+rapl`), `estimate`, or `none`."""
        return "+".join(sorted({counter.source for counter in self._counters})) or "none"

    @property
    def total_wh(self) -> float:
        """Watt-hours of the whole machine since the start."""
        return self.total_j / JOULES_PER_WH

    @property
    def is_measuring(self) -> bool:
        return bool(self._counters)

    def tick(self, running: Collection[int]) -> None:
        """Give what was used since the last tick to the trials that ran in that time."""
        used_j = sum(self._read(counter) for counter in list(self._counters))
        self.total_j += used_j
        for trial_id in running:
            self._of_trial_j[trial_id] = self._of_trial_j.get(trial_id, 0.0) + used_j / len(running)

    def finish(self, trial_id: int) -> float | None:
        """Watt-hours of a trial that has ended; None when nothing is measured."""
        used_j = self._of_trial_j.pop(trial_id, 0.0)
        return used_j / JOULES_PER_WH if self._counters else None

    def charged(self, cost: Cost, trial_id: int) -> Cost:
        """The cost of a trial that has ended with its energy, in the field for what is measured or for estimates."""
        used_wh = self.finish(trial_id)
        if self.source == ESTIMATE:
            return replace(cost, energy_wh_estimate=used_wh)
        return replace(cost, energy_wh=used_wh)

    def _read(self, counter: Counter) -> float:
        try:
            return counter.used_j()
        except Exception as error:  # noqa: BLE001 - a driver that went away ends the measurement, not the run
            logger.warning(
                "the energy counter %s stopped answering (%s); energy is not measured further", counter, error
            )
            self._counters.clear()
            return 0.0
