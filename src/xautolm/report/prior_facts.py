"""What a prior rests on and what it changes, as the pages and the console show it.

`from_run` reads the files of a run folder and takes nothing in them for granted; `from_explanation` has its facts
from `xautolm explain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xautolm.errors import XAutoLMError
from xautolm.prior.explanation import Decision, Explanation, NearTask, decisions
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import ReferenceOptions
from xautolm.prior.similarity import GROUPS
from xautolm.report.rows import finite
from xautolm.report.wording import clean, number, percent, plural
from xautolm.space.build import space_from_dict

#: Shift of a decision (`Decision.shift`) from which on it is shown as changed.
LEAST_SHIFT = 0.005
#: Choices of a hyperparameter that are written out.
N_CHOICES = 8
#: Rank correlation from which on experience is said to have helped, below its negative to have misled.
_AGREES = 0.2
#: Past tasks that the page lists.
N_TASKS = 25


@dataclass(frozen=True, slots=True)
class NeighbourRow:
    """One past task.

    Attributes:
        distance: None when unknown.
        parts: distance by task, semantic and system features, None where it cannot be told.
        n_good: experiences that count as good, and `n_bad` as failures.
        n_experiences: all that there are of it, and `n_ok` those with a score; None when unknown.
        weight_good: sum of their learning rates, None when unknown; like `weight_bad`.
        remark: what else there is to say.
        mark: `=` for the same data, `~` for another kind of task, which teaches nothing here.
    """

    name: str
    distance: float | None
    parts: tuple[float | None, ...]
    n_good: int
    n_bad: int
    n_experiences: int | None = None
    n_ok: int | None = None
    weight_good: float | None = None
    weight_bad: float | None = None
    remark: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One hyperparameter of a method before and after the prior, in words; `move` says both at once."""

    name: str
    before: str
    after: str
    move: str
    shift: float


@dataclass(frozen=True, slots=True)
class PriorFacts:
    """What a run believes before its first trial.

    Attributes:
        neighbours: the past tasks that it rests on, nearest first.
        decisions: every decision before and after; empty when nothing is known about them.
    """

    sentence: str
    neighbours: tuple[NeighbourRow, ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def has_parts(self) -> bool:
        return any(part is not None for row in self.neighbours for part in row.parts)

    @property
    def has_counts(self) -> bool:
        """Whether any experience counts; else there is only to say how many there are."""
        return any(row.n_good or row.n_bad for row in self.neighbours)

    @property
    def has_weights(self) -> bool:
        return any(row.weight_good is not None for row in self.neighbours)

    @property
    def methods(self) -> Mapping[str, tuple[DecisionRow, ...]]:
        """Method -> its decisions that the prior changes, the most changed first."""
        rows: dict[str, list[DecisionRow]] = {}
        for decision in self.decisions:
            method, _, name = decision.handle.partition(".")
            if name:
                rows.setdefault(clean(method, 60), []).append(decision_row(decision, name))
        changed = {
            method: sorted((row for row in listed if row.shift >= LEAST_SHIFT), key=lambda row: -row.shift)
            for method, listed in rows.items()
        }
        return {method: tuple(listed) for method, listed in changed.items() if listed}


def from_run(in_run: Mapping[str, Any], in_file: Mapping[str, Any], space: Mapping[str, Any]) -> PriorFacts:
    """The facts of a run folder.

    Args:
        in_run: `prior` of `run.json`.
        in_file: `prior.json`, empty when there is none.
        space: `space.json`, empty when there is none.
    """
    facts = {**in_run, **in_file}
    n_experiences = round(finite(facts.get("n_experiences")) or 0)
    listed = facts.get("neighbours") or ()
    neighbours = tuple(_neighbour(entry) for entry in listed if isinstance(entry, Mapping))
    if not facts:
        return PriorFacts("The run folder does not say whether past experience was used.")
    if n_experiences == 0:
        return PriorFacts("Cold start: no past experience was used.", neighbours)
    weight = finite(in_run.get("weight", in_file.get("weight")))  # the file has that of before the first trial
    share = f", weight {weight:.2f}" if weight is not None else ""
    kind = clean(facts.get("kind", ""), 40)
    nearest = f"; nearest task: {neighbours[0].name}" if neighbours else ""
    experiences = plural(n_experiences, "past experience")
    package = ", some that come with the package among them" if finite(facts.get("n_starter")) else ""
    sentence = f"Warm start from {experiences}{package} (prior `{kind}`{share}){nearest}.{_worth(in_run)}"
    return PriorFacts(sentence, neighbours, _decisions(facts.get("model"), space))


def _worth(in_run: Mapping[str, Any]) -> str:
    """Whether experience helped the run, in words; empty where that is not told.

    >>> _worth({"agreement": -0.4, "weight": 0.02})
    " It misled: the scores it expected and those of this run's trials have a rank correlation of -0.40."
    """
    agreement = finite(in_run.get("agreement"))
    if agreement is None:
        return ""
    verdict = "helped" if agreement > _AGREES else "misled" if agreement < -_AGREES else "told little about this task"
    scores = "the scores it expected and those of this run's trials"
    return f" It {verdict}: {scores} have a rank correlation of {agreement:+.2f}."


def from_explanation(explanation: Explanation) -> PriorFacts:
    """The facts of `xautolm explain`."""
    neighbours = tuple(_near(task, explanation.kind) for task in explanation.near[:N_TASKS])
    if not explanation.counted:
        return PriorFacts("", neighbours)
    counts = f"{explanation.n_positive:,} good and {explanation.n_negative:,} failed"
    total = plural(len(explanation.counted), "past experience")
    return PriorFacts(f"{total} would count: {counts}.", neighbours, explanation.decisions)


def decision_row(decision: Decision, name: str) -> DecisionRow:
    """A decision in words; of many choices those that move most are written out."""
    if decision.before["kind"] == "categorical":
        old, new = decision.before["weights"], decision.after["weights"]
        moved = sorted(old, key=lambda choice: -abs(new[choice] - old[choice]))[:N_CHOICES]
        shown = [choice for choice in old if choice in moved]
        before, after = (", ".join(f"{clean(c, 60)}: {percent(w[c])}" for c in shown) for w in (old, new))
        move = ", ".join(f"{clean(c, 60)}: {100 * old[c]:.0f} -> {100 * new[c]:.0f} %" for c in shown)
        return DecisionRow(clean(name, 60), before, after, move, decision.shift)
    before, after = (
        f"{number(value['p50'])} ({number(value['p10'])} to {number(value['p90'])})"
        for value in (decision.before, decision.after)
    )
    return DecisionRow(clean(name, 60), before, after, f"{before} -> {after}", decision.shift)


def _neighbour(entry: Mapping[str, Any]) -> NeighbourRow:
    groups = entry.get("groups")
    parts = groups if isinstance(groups, Mapping) else {}
    return NeighbourRow(
        name=clean(entry.get("dataset_id", ""), 80),
        distance=finite(entry.get("distance")),
        parts=tuple(finite(parts.get(name)) for name in GROUPS),
        n_good=round(finite(entry.get("n_positive")) or 0),
        n_bad=round(finite(entry.get("n_negative")) or 0),
    )


def _near(task: NearTask, kind: str) -> NeighbourRow:
    remarks = ["the same data"] if task.is_same_data else []
    remarks += [task.kind.replace("-", " ")] if task.kind != kind else []
    remarks += [plural(task.n_machines, "machine")] if task.n_machines > 1 else []
    return NeighbourRow(
        name=clean(task.dataset_id, 80),
        distance=task.distance,
        parts=tuple(task.groups.get(name) for name in GROUPS),
        n_good=task.n_positive,
        n_bad=task.n_negative,
        n_experiences=task.n_experiences,
        n_ok=task.n_ok,
        weight_good=task.weight_positive,
        weight_bad=task.weight_negative,
        remark=", ".join(remarks),
        mark="~" if task.kind != kind else "=" if task.is_same_data else "",
    )


def _decisions(model: Any, space: Mapping[str, Any]) -> tuple[Decision, ...]:
    """Before and after, from the files of a run; empty when they do not fit together."""
    try:
        cold = SearchModel.informed(space_from_dict(space), ReferenceOptions().default_share)
        return decisions(cold, SearchModel.from_dict(model))
    except (XAutoLMError, KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError):
        return ()


def most_changed(facts: PriorFacts, limit: int) -> Sequence[tuple[str, DecisionRow]]:
    """Method and decision of the largest shifts over all methods."""
    rows = [(method, row) for method, listed in facts.methods.items() for row in listed]
    return sorted(rows, key=lambda item: -item[1].shift)[:limit]
