"""The clock of a run: time used and left, also over several sittings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from xautolm.records import Budget


@dataclass
class Clock:
    """Time that a run has used and has left.

    Attributes:
        budget: what the run may spend.
        elapsed_s_before: seconds that earlier sittings of a resumed run used.
        reserve_s: seconds at the end of a time budget that are kept for the report.
        now: monotonic seconds; tests and simulated runs give their own.
        energy_wh: watt-hours used so far, earlier sittings included.
    """

    budget: Budget
    elapsed_s_before: float = 0.0
    reserve_s: float = 0.0
    now: Callable[[], float] = time.monotonic
    energy_wh: Callable[[], float] = lambda: 0.0
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def elapsed_s(self) -> float:
        return self.elapsed_s_before + self.now() - self._started

    @property
    def remaining_s(self) -> float:
        """Seconds left for trials; infinite when the budget counts trials."""
        if self.budget.wall_s is None:
            return math.inf
        return max(self.budget.wall_s - self.reserve_s - self.elapsed_s, 0.0)

    @property
    def is_out(self) -> bool:
        """Whether the time or the energy for trials is used up."""
        limit_wh = self.budget.energy_wh
        return self.remaining_s <= 0 or (limit_wh is not None and self.energy_wh() >= limit_wh)
