"""What a warm search tries first: what is good for its cost, then pipelines of which one is expected to be very good.

Before anything is known of the task itself there is no front to improve, and a portfolio of the nearest tasks' best
pipelines (as in Feurer et al. 2015, auto-sklearn) says nothing of their cost here, nor of what else is near. The
predictors do: they have seen all past tasks, and rate what was best on them, the methods' known-good defaults and new
draws alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xautolm.records import Pipeline
from xautolm.search.expectations import Expected

Array = npt.NDArray[np.float64]

#: Pipelines of an opening.
SIZE = 3
#: Share of a pipeline's own expected rank that decides where none adds anything.
_TIE = 1e-6


def opening(
    pool: Sequence[Pipeline], expected: Expected, votes: Array, cost_power: float, size: int = SIZE
) -> list[Pipeline]:
    """Choose what to begin with.

    The first is what is worth most for its cost, so that a working model and a point of the front are there early. Of
    the others the best one counts, whatever they cost, and predictions of similar pipelines are wrong together: so each
    one added is that by which the expected best rank of all that are chosen grows most. What the trees of a forest say,
    each grown from other trials, stands for what may be true.

    Args:
        pool: n distinct pipelines that fit.
        expected: of each of them.
        votes: (n, n_votes) ranks in [0, 1] that they may have.
        cost_power: power of the expected seconds that the worth of the first is divided by.
        size: pipelines at most.
    """
    if not pool:
        return []
    works = np.log(np.maximum(expected.p_ok, 1e-3))
    chosen = [int(np.argmax(0.5 * expected.rank + works - cost_power * np.maximum(expected.log_time, 0.0)))]
    values = votes * expected.p_ok[:, None]
    best = values[chosen[0]]
    while len(chosen) < min(size, len(pool)):
        reached = np.maximum(values, best).mean(axis=1) + _TIE * values.mean(axis=1)
        reached[chosen] = -np.inf
        chosen.append(int(np.argmax(reached)))
        best = np.maximum(best, values[chosen[-1]])
    return [pool[i] for i in chosen]
