"""What a strategy of the replay is, and what strategies share. Each is made anew for every search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.replaying.tasks import RecordedTask
from xautolm.prior.evidence import Rated, rate
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import Experience
from xautolm.search.loop import Asker, Stopper


@dataclass(frozen=True, slots=True)
class Searcher:
    """A strategy at work on one task: who proposes, and who stops running trials (None = nobody)."""

    asker: Asker
    stopper: Stopper | None = None


#: (task, experiences of the other tasks, seed) -> a searcher.
Strategy = Callable[[RecordedTask, Sequence[Experience], int], Searcher]


def rated(task: RecordedTask, others: Sequence[Experience], options: DistanceOptions | None = None) -> list[Rated]:
    """The experiences of the other tasks with their distances."""
    options = options or DistanceOptions()
    return rate(others, task.profile, task.fingerprint, task.sketch, options=options)
