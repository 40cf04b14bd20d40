"""What a warm search tries first: what is good for its cost, then what is expected to score best.

Before anything is known of the task itself there is no front to improve, and a portfolio of the nearest tasks' best
pipelines (as in Feurer et al. 2015, auto-sklearn) says nothing of their cost here, nor of what else is near. The
predictors do: they have seen all past tasks, and rate what was best on them, the methods' known-good defaults and new
draws alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xautolm.records import Pipeline
from xautolm.search.expectations import Expected

#: Pipelines of an opening.
SIZE = 3
#: By how much, in normal scores of the rank, a pipeline has to be expected to be better than others to be the second
#: one of its model and method: about the deviation of a prediction for a task never seen.
_SAME_KIND = 1.0


def opening(pool: Sequence[Pipeline], expected: Expected, cost_power: float, size: int = SIZE) -> list[Pipeline]:
    """Choose what to begin with.

    The first is what is worth most for its cost, so that a working model and a point of the front are there early. The
    others are expected to score best, whatever they cost. Predictions of similar pipelines are wrong together, so one
    of a model and method that was chosen before has to be expected to be much better than one of another.

    Args:
        pool: distinct pipelines that fit.
        expected: of each of them.
        cost_power: power of the expected seconds that the worth of the first is divided by.
        size: pipelines at most.
    """
    if not pool:
        return []
    works = np.log(np.maximum(expected.p_ok, 1e-3))
    quality = expected.rank + works
    kinds = [(pipeline.model, pipeline.method) for pipeline in pool]
    chosen = [int(np.argmax(0.5 * expected.rank + works - cost_power * np.maximum(expected.log_time, 0.0)))]
    while len(chosen) < min(size, len(pool)):
        known = {kinds[i] for i in chosen}
        value = quality - _SAME_KIND * np.asarray([kind in known for kind in kinds])
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    return [pool[i] for i in chosen]
