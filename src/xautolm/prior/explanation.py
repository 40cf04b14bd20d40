"""What past experience says about a task, for people: the near tasks, what would count, and what it changes.

Plain records without any text of the data. `near_tasks` and `decisions` make them; `to_dict` is what `--json` prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xautolm.prior.decisions import Choice
from xautolm.prior.evidence import RatedGroup
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import Evidence
from xautolm.prior.similarity import Comparison, DistanceOptions, combined
from xautolm.records import Profile

#: Near tasks whose distances among each other are measured too.
TABLE_TASKS = 14
#: What the current task is called in that table.
THIS_TASK = "this data"


@dataclass(frozen=True, slots=True)
class NearTask:
    """A past task: how far it is, and what its experiences would teach.

    Attributes:
        distance: of its nearest machine; 0 for the same data.
        groups: the parts of the distance (`task`, `semantic`, `system`), without those that cannot be told.
        is_same_data: whether it is the current data, or largely a part of it.
        n_machines: machines on which there are experiences of it.
        n_experiences: experiences in the store, and `n_ok` those with a score.
        n_positive: successes that would count, with learning rates that sum to `weight_positive`.
        n_negative: failures that would count, with learning rates that sum to `weight_negative` (not positive).
    """

    dataset_id: str
    kind: str
    distance: float
    groups: Mapping[str, float]
    is_same_data: bool
    n_machines: int
    n_experiences: int
    n_ok: int
    n_positive: int = 0
    n_negative: int = 0
    weight_positive: float = 0.0
    weight_negative: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the space, before and after the prior, as `SearchModel.describe` tells it.

    Attributes:
        handle: `method`, `model` (over all methods), `<method>.model` or `<method>.<hyperparameter>`.
        before: `{"kind": "categorical", "weights": {choice: probability}}`, or the kind of a number with `p10`, `p50`
            and `p90`.
    """

    handle: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def shift(self) -> float:
        """How much the prior changes it, in [0, 1]: probability that moved, or how far the median moved.

        >>> before, after = ({"kind": "categorical", "weights": {"a": a, "b": 1 - a}} for a in (0.5, 0.7))
        >>> round(Decision("method", before, after).shift, 3)
        0.2
        """
        if self.before["kind"] == "categorical":
            weights = self.after["weights"]
            return float(sum(max(0.0, weights[name] - old) for name, old in self.before["weights"].items()))
        low, middle, high, moved = (self.before["p10"], self.before["p50"], self.before["p90"], self.after["p50"])
        if low > 0 and high >= 10 * low:  # a logarithmic range
            low, middle, high, moved = (math.log(value) for value in (low, middle, high, moved))
        return float(min(1.0, abs(moved - middle) / ((high - low) or 1.0)))


@dataclass(frozen=True, slots=True)
class Counted:
    """An experience that counts, and its learning rate (negative for a failure)."""

    dataset_id: str
    run_id: str
    trial_id: int
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that `xautolm explain` shows.

    Attributes:
        data: lines that sum the data up.
        store: the store's URL without its password.
        weights: group (`task`, `semantic`, `system`) -> its weight in the distance.
        near: past tasks of any kind, nearest first.
        table_names: this task and the nearest others, and `table` the distances among them, row by row.
        prior_kind: `reference` or another prior, `none` = a run would start cold; None where there is no fitting yet.
        decisions: what the prior changes; empty without a prior.
        counted: the experiences that count, most positive first.
        notes: sentences for people.
    """

    dataset_id: str
    kind: str
    data: tuple[str, ...]
    profile: Profile
    store: str
    weights: Mapping[str, float]
    near: tuple[NearTask, ...]
    table_names: tuple[str, ...]
    table: tuple[tuple[float, ...], ...]
    prior_kind: str | None
    decisions: tuple[Decision, ...] = ()
    counted: tuple[Counted, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def n_positive(self) -> int:
        return sum(item.weight > 0 for item in self.counted)

    @property
    def n_negative(self) -> int:
        return len(self.counted) - self.n_positive

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        profile = asdict(self.profile) | {"semantic": list(self.profile.semantic) if self.profile.semantic else None}
        return asdict(self) | {"profile": profile}


def near_tasks(rated: Sequence[RatedGroup], used: Sequence[Evidence] = ()) -> tuple[NearTask, ...]:
    """One line per data set and kind, nearest first.

    Args:
        rated: groups of a store, nearest first.
        used: the experiences that change the model.
    """
    groups: dict[tuple[str, str], list[RatedGroup]] = {}
    for item in rated:
        groups.setdefault((item.group.dataset_id, item.group.kind), []).append(item)
    evidence: dict[tuple[str, str], list[Evidence]] = {}
    for piece in used:
        evidence.setdefault((piece.experience.dataset_id, piece.experience.kind), []).append(piece)
    near = []
    for (dataset_id, kind), members in groups.items():
        closest, pieces = members[0], evidence.get((dataset_id, kind), [])
        positive = [piece.alpha for piece in pieces if piece.is_positive]
        negative = [piece.alpha for piece in pieces if not piece.is_positive]
        near.append(
            NearTask(
                dataset_id=dataset_id,
                kind=kind,
                distance=closest.distance,
                groups=closest.groups,
                is_same_data=closest.is_same_data,
                n_machines=len({member.group.system_id for member in members}),
                n_experiences=sum(member.group.n_experiences for member in members),
                n_ok=sum(member.group.n_ok for member in members),
                n_positive=len(positive),
                n_negative=len(negative),
                weight_positive=sum(positive),
                weight_negative=sum(negative),
            )
        )
    return tuple(near)


def task_table(
    profile: Profile, rated: Sequence[RatedGroup], options: DistanceOptions
) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]:
    """Distances between the current task and the `TABLE_TASKS` nearest others, the nearest machine of each.

    Features are normalised over the whole store, so that the first row holds the distances of `near_tasks` (but for
    the same data, which are measured as any other here).
    """
    nearest: dict[tuple[str, str], int] = {}
    for i, item in enumerate(rated, start=1):
        nearest.setdefault((item.group.dataset_id, item.group.kind), i)
    shown = [0, *list(nearest.values())[:TABLE_TASKS]]
    measure = Comparison([profile, *(item.group.profile for item in rated)], options)
    rows = [combined(measure.parts(i), options)[shown].tolist() for i in shown]
    return (THIS_TASK, *(rated[i - 1].group.dataset_id for i in shown[1:])), tuple(map(tuple, rows))


def decisions(before: SearchModel, after: SearchModel) -> tuple[Decision, ...]:
    """What the prior changes: the method, the model over all methods, then every decision of every method."""
    old, new = before.describe(), after.describe()
    listed = [Decision(handle, old[handle], new[handle]) for handle in old if handle in new]
    over_methods = Decision("model", _models(before), _models(after))
    return (*listed[:1], over_methods, *listed[1:])


def counted(used: Sequence[Evidence]) -> tuple[Counted, ...]:
    """The experiences that count, in the order in which they are replayed."""
    found = ((piece.experience, piece.alpha) for piece in used)
    return tuple(Counted(e.dataset_id, e.run_id, e.result.trial_id, alpha) for e, alpha in found)


def _models(model: SearchModel) -> dict[str, Any]:
    """Probability of each model whatever the method."""
    total: dict[str, float] = {}
    methods = model.beliefs["method"]
    if isinstance(methods, Choice):
        for method, weight in zip(methods.choices, methods.weights, strict=True):
            models = model.beliefs[f"{method}.model"]
            if isinstance(models, Choice):
                for name, share in zip(models.choices, models.weights, strict=True):
                    total[str(name)] = total.get(str(name), 0.0) + weight * share
    return {"kind": "categorical", "weights": total}
