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


def opening(pool: Sequence[Pipeline], expected: Expected, cost_power: float, size: int = SIZE) -> list[Pipeline]:
    """Choose what to begin with.

    The first is what is worth most for its cost, so that a working model and a point of the front are there early. The
    others are expected to score best, whatever they cost; as long as there are such, they differ from those chosen
    before in model or method, because predictions of similar pipelines are wrong together.

    Args:
        pool: distinct pipelines that fit.
        expected: of each of them.
        cost_power: power of the expected seconds that the worth of the first is divided by.
        size: pipelines at most.
    """
    if not pool:
        return []
    quality = expected.rank + np.log(np.maximum(expected.p_ok, 1e-3))
    worth = 0.5 * expected.rank + np.log(np.maximum(expected.p_ok, 1e-3))
    first = int(np.argmax(worth - cost_power * np.maximum(expected.log_time, 0.0)))
    by_quality = [int(i) for i in np.argsort(-quality, kind="stable") if i != first]
    chosen, kinds = [first], {_kind(pool[first])}
    for i in by_quality:
        if len(chosen) < size and _kind(pool[i]) not in kinds:
            chosen.append(i)
            kinds.add(_kind(pool[i]))
    chosen += [i for i in by_quality if i not in chosen][: max(size - len(chosen), 0)]
    return [pool[i] for i in chosen]


def _kind(pipeline: Pipeline) -> tuple[str, str]:
    return pipeline.model, pipeline.method
