"""Energy where no counter can be read: what CodeCarbon's model of the machine says, on demand and without a network.

Covered: one tracker per run, read every few seconds; between two readings the last mean power counts, and the next
reading puts right what that was off by. The tracker writes no file, sends nothing and says nothing. Not covered: how
far the model is off. It knows the load and the rated power of the processor and the amount of memory; it is a figure to
compare pipelines of one run by, and no measurement.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

from xautolm.backends.energy import ESTIMATE
from xautolm.errors import UsageError

JOULES_PER_KWH = 3.6e6
#: Seconds between two readings of the tracker; the first comes early, before the shortest trial can end.
READ_EVERY_S, FIRST_READ_S = 2.0, 0.2
#: Energy does not depend on the country, emissions do, and those are not used; CodeCarbon wants to know one.
_COUNTRY = "USA"


class EstimatedCounter:
    """A meter (`backends.energy.Counter`) on top of a total that is slow to read.

    Args:
        read_kwh: kilowatt-hours since the start, never falling.
        now: monotonic seconds.
    """

    source = ESTIMATE

    def __init__(self, read_kwh: Callable[[], float], now: Callable[[], float] = time.monotonic) -> None:
        self._read_kwh, self._now = read_kwh, now
        self._asked_at = self._read_at = now()
        self._read_j = self._given_j = self._power_w = 0.0
        self._wait_s = FIRST_READ_S

    def used_j(self) -> float:
        """Joules since the last call, or since the counter was made; never negative."""
        now = self._now()
        if now - self._read_at >= self._wait_s:
            self._wait_s = READ_EVERY_S
            total_j = self._read_kwh() * JOULES_PER_KWH
            self._power_w = max(total_j - self._read_j, 0.0) / (now - self._read_at)
            self._read_j, self._read_at = total_j, now
            used_j = max(total_j - self._given_j, 0.0)
        else:
            used_j = self._power_w * (now - self._asked_at)
        self._asked_at = now
        self._given_j += used_j
        return used_j


def check_estimator() -> None:
    """Make sure that CodeCarbon is there.

    Raises:
        UsageError: it is not installed.
    """
    if find_spec("codecarbon") is None:
        raise UsageError(
            "`--estimate-energy` needs CodeCarbon, which is not installed; run `pip install 'xautolm[energy]'`"
        )


def start_estimate(stack: ExitStack) -> EstimatedCounter:
    """Start CodeCarbon's offline tracker for this machine and read it from now on.

    Args:
        stack: stops the tracker.

    Raises:
        UsageError: CodeCarbon is not installed.
    """
    check_estimator()
    from codecarbon import OfflineEmissionsTracker
    from codecarbon.output import BaseOutput

    class Latest(BaseOutput):  # type: ignore[misc]  # CodeCarbon is not analysed
        """Keeps what the tracker would write."""

        kwh = 0.0

        def out(self, total: Any, delta: Any) -> None:
            self.kwh = float(total.energy_consumed)

        def live_out(self, total: Any, delta: Any) -> None:
            self.kwh = float(total.energy_consumed)

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    latest = Latest()
    tracker = OfflineEmissionsTracker(
        country_iso_code=_COUNTRY,
        tracking_mode="machine",
        measure_power_secs=READ_EVERY_S,
        output_methods=[],
        output_handlers=[latest],
        allow_multiple_runs=True,
        log_level="critical",
    )
    tracker.start()
    stack.callback(tracker.stop)

    def read_kwh() -> float:
        tracker.flush()
        return latest.kwh

    return EstimatedCounter(read_kwh)
