"""Fronts, crowding and hypervolume: pure functions on points whose coordinates are all to be *minimised*.

`front` and `recommend` apply them to the results of a run, in the directions of its objectives.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xautolm.records import Constraint, Cost, Objective, TrialResult

Points = Sequence[Sequence[float]] | npt.NDArray[np.float64]

#: Objectives that are read from a trial's cost; every other name is a metric key in its scores.
COSTS: Mapping[str, Callable[[Cost], float | None]] = MappingProxyType(
    {
        "time": lambda cost: cost.time_s,
        "memory": lambda cost: cost.peak_mem_mib,
        "energy": lambda cost: cost.any_energy_wh,
        "size": lambda cost: cost.size_mib,
        "latency": lambda cost: cost.latency_ms,
    }
)


def _as_points(points: Points) -> npt.NDArray[np.float64]:
    array = np.asarray(points, dtype=float)
    if array.size == 0:
        return array.reshape(0, 0)
    if array.ndim != 2 or np.isnan(array).any():
        raise ValueError(f"`points` must be a table of numbers without NaN, got shape {array.shape}")
    return array


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is no worse than `b` everywhere and better somewhere (smaller is better).

    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (1, 2)), dominates((0, 3), (1, 2))
    (True, False, False)
    """
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def fronts(points: Points) -> Iterator[list[int]]:
    """The fronts of some points one after the other, as in `non_dominated_sort`; stop early to pay for few.

    Args:
        points: (n_points, n_objectives), to be minimised.

    Yields:
        Indices of a front, ascending. Time of each front O(n_left n_front n_objectives), memory O(n_points).
    """
    array = _as_points(points)
    # In this order a point comes after all that dominate it, so the first one left is on the front.
    left = np.lexsort(array.T[::-1]) if len(array) else np.zeros(0, dtype=np.int64)
    while len(left):
        front_members: list[int] = []
        candidates = left
        while len(candidates):
            first, others = candidates[0], candidates[1:]
            front_members.append(int(first))
            beaten = (array[others] >= array[first]).all(axis=1) & (array[others] > array[first]).any(axis=1)
            candidates = others[~beaten]
        yield sorted(front_members)
        left = left[~np.isin(left, front_members)]


def non_dominated_sort(points: Points) -> list[list[int]]:
    """Split points into fronts: the non-dominated ones, those non-dominated without them, and so on.

    Args:
        points: (n_points, n_objectives), to be minimised.

    Returns:
        Indices of each front, ascending inside a front. O(n log n) for two objectives, else as `fronts` for each one.

    >>> non_dominated_sort([(1, 4), (2, 2), (3, 3), (4, 1), (4, 4)])
    [[0, 1, 3], [2], [4]]
    """
    array = _as_points(points)
    return _sort_pairs(array) if array.shape[1] == 2 else list(fronts(array))


def _sort_pairs(points: npt.NDArray[np.float64]) -> list[list[int]]:
    """Fronts of two objectives by one sweep (Jensen 2003).

    In the order of the first objective, a point belongs to the first front whose lowest point does not dominate it.
    """
    fronts: list[list[int]] = []
    lowest: list[tuple[float, float]] = []  # (second, first) objective of the lowest point of each front, rising
    for i in np.lexsort((points[:, 1], points[:, 0])).tolist():
        x, y = float(points[i, 0]), float(points[i, 1])
        place = bisect_left(lowest, (y, x))
        if place == len(fronts):
            fronts.append([])
            lowest.append((y, x))
        fronts[place].append(i)
        lowest[place] = (y, x)  # no higher than what was there, see `place`
    return [sorted(front) for front in fronts]


def crowding_distance(points: Points) -> npt.NDArray[np.float64]:
    """How lonely each point of *one* front is (Deb et al. 2002, NSGA-II): larger = keep.

    Args:
        points: (n_points, n_objectives).

    Returns:
        (n_points,) sums of the neighbours' gaps, each objective scaled to its range; inf at the ends. Of equal values
        the one with the lower index comes first; an objective in which all are equal tells nothing and adds 0.

    >>> crowding_distance([(0, 4), (1, 2), (4, 0)]).tolist()
    [inf, 2.0, inf]
    """
    array = _as_points(points)
    distance = np.zeros(len(array))
    for column in array.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if not span > 0:
            continue
        distance[order[[0, -1]]] = np.inf
        if span < np.inf:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def best_first(points: Points) -> list[int]:
    """Indices from best to worst: by front, inside a front the least crowded first, then by index.

    >>> best_first([(3, 3), (0, 4), (1, 2), (1.5, 1.9), (4, 0)])
    [1, 4, 3, 2, 0]
    """
    array = _as_points(points)
    order: list[int] = []
    for members in non_dominated_sort(array):
        crowding = crowding_distance(array[members])
        order += [members[i] for i in np.argsort(-crowding, kind="stable")]
    return order


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Volume that the points dominate up to a reference point (exact; slicing over the last objective).

    Optuna has one for more than two objectives too, but keeps it private (`optuna._hypervolume`); a test compares them.

    Args:
        points: (n_points, n_objectives), to be minimised; points that do not reach the reference add nothing.
        reference: (n_objectives,) the worst corner.

    >>> hypervolume([(1, 3), (2, 2), (3, 1), (3, 3), (9, 0)], (4, 4))
    6.0
    >>> hypervolume([(0, 0, 1), (0, 1, 0)], (2, 2, 2))
    6.0
    """
    corner = np.asarray(reference, dtype=float)
    array = _as_points(points)
    if len(array) == 0:
        return 0.0
    if array.shape[1] != len(corner):
        raise ValueError(f"`reference` must have {array.shape[1]} coordinates, got {len(corner)}")
    return _volume(array[(array < corner).all(axis=1)], corner)


def _volume(points: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Hypervolume of points that all lie inside the corner."""
    if len(points) == 0:
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - points.min())
    if len(corner) == 2:
        return _area(points, corner)
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(points[1:, -1], corner[-1])
    volume = area = 0.0
    shadow = np.zeros((0, len(corner) - 1))  # non-dominated points of the slice
    for point, end in zip(points, ends, strict=True):
        if not (shadow <= point[:-1]).all(axis=1).any():
            shadow = np.vstack([shadow[~(shadow >= point[:-1]).all(axis=1)], point[:-1]])
            area = _volume(shadow, corner[:-1])
        volume += float(end - point[-1]) * area
    return volume


def _area(points: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Area in two dimensions: sweep by the first coordinate, O(n log n)."""
    area, height = 0.0, float(corner[1])
    for x, y in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if y < height:
            area += float((corner[0] - x) * (height - y))
            height = float(y)
    return area


def objective_value(result: TrialResult, objective: Objective) -> float:
    """The value of an objective in its own direction; NaN when the result does not have it."""
    return quantity(result, objective.name)


def quantity(result: TrialResult, name: str) -> float:
    """A metric or a cost of a result by its key; NaN when the result does not have it."""
    value = COSTS[name](result.cost) if name in COSTS else result.scores.get(name)
    return math.nan if value is None else float(value)


def satisfies(result: TrialResult, constraints: Sequence[Constraint]) -> bool:
    """Whether a result keeps every bound; a quantity that it does not have keeps none."""
    values = [(quantity(result, constraint.name), constraint) for constraint in constraints]
    return all(value >= c.bound if c.is_minimum else value <= c.bound for value, c in values)


def minimised(results: Sequence[TrialResult], objectives: Sequence[Objective]) -> npt.NDArray[np.float64]:
    """Objective values with maximised ones negated, (n_results, n_objectives); NaN where missing."""
    signs = [-1.0 if objective.direction == "maximize" else 1.0 for objective in objectives]
    rows = [
        [sign * objective_value(result, objective) for sign, objective in zip(signs, objectives, strict=True)]
        for result in results
    ]
    return np.asarray(rows, dtype=float).reshape(len(results), len(objectives))


def comparable(
    results: Sequence[TrialResult], objectives: Sequence[Objective]
) -> tuple[list[TrialResult], npt.NDArray[np.float64]]:
    """The `ok` results whose objectives are all finite, in order, and their minimised values."""
    ok = [result for result in results if result.is_ok]
    points = minimised(ok, objectives)
    finite = np.logical_and.reduce(np.isfinite(points), axis=1)
    return [result for result, keep in zip(ok, finite, strict=True) if keep], points[finite]


def _eligible(results: Sequence[TrialResult], constraints: Sequence[Constraint]) -> list[TrialResult]:
    """The results that keep the bounds; all of them while none does, so that a run always has something to show."""
    kept = [result for result in results if satisfies(result, constraints)]
    return kept if any(result.is_ok for result in kept) else list(results)


def front(
    results: Sequence[TrialResult], objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
) -> tuple[int, ...]:
    """Trial ids of the non-dominated `ok` results, cheapest first; of equal points the first stays.

    Args:
        results: of a run.
        objectives: what is compared.
        constraints: bounds; results that break one are left out unless all do.
    """
    valid, points = comparable(_eligible(results, constraints), objectives)
    if not valid:
        return ()
    seen: set[tuple[float, ...]] = set()
    members: list[int] = []
    for i in non_dominated_sort(points)[0]:
        point = tuple(points[i].tolist())
        if point not in seen:
            seen.add(point)
            members.append(i)
    cost = _cost_column(objectives)
    return tuple(valid[i].trial_id for i in sorted(members, key=lambda i: (points[i, cost], valid[i].trial_id)))


def recommend(
    results: Sequence[TrialResult], objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
) -> int | None:
    """Trial id of the `ok` result with the best first objective; ties to the cheaper, then the lower id.

    Results that break a constraint count only when all do.
    """
    valid, points = comparable(_eligible(results, constraints), objectives)
    if not valid:
        return None
    cost = _cost_column(objectives)
    best = min(range(len(valid)), key=lambda i: (points[i, 0], points[i, cost], valid[i].trial_id))
    return valid[best].trial_id


def _cost_column(objectives: Sequence[Objective]) -> int:
    """Column that orders by cost: the last minimised objective, else the last one."""
    columns = [i for i, objective in enumerate(objectives) if objective.direction == "minimize"]
    return columns[-1] if columns else len(objectives) - 1
