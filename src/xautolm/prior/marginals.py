"""What past trials say about single variables of a space that is not ours: a distribution of each one's values.

A user's study has its own names, its own ranges and no model of ours; what carries over is which values did well or
failed on near tasks, variable by variable, and the best points as far as the study has their variables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest

from xautolm.pareto import objective_value
from xautolm.prior.decisions import Belief, uniform_belief
from xautolm.prior.evidence import Rated
from xautolm.prior.reference import Evidence, ReferenceOptions, neighbours, weighed
from xautolm.records import Neighbour, Objective, ParamValue
from xautolm.space.params import Domain

#: Scores of which less is better; of all others more is.
LOWER_IS_BETTER = frozenset({"rmse", "loss"})


class PastTrials:
    """Past trials, near tasks first, as distributions of named values.

    Each trial moves a distribution by the rules and weights of the `reference` prior (method.md 1.5-1.8): a success
    towards its value, the more the better and the nearer its task; a failure away from it, when the variable can have
    to do with such a failure (`prior.blame`).

    Args:
        rated: experiences with their distances (`prior.evidence.nearest`).
    """

    def __init__(self, rated: Sequence[Rated]) -> None:
        score = _common_score(rated)
        self._evidence: list[Evidence] = []
        self._score = score
        if score is not None:
            options = ReferenceOptions(objectives=(score,), utility_weights=(1.0,))
            self._evidence = weighed(rated, options)

    @property
    def n_experiences(self) -> int:
        """Experiences that teach something."""
        return len(self._evidence)

    @cached_property
    def tasks(self) -> tuple[Neighbour, ...]:
        """Where they come from, nearest first."""
        return neighbours(self._evidence)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of all values that they have."""
        return frozenset(name for item in self._evidence for name in _values(item))

    def belief(self, name: str, domain: Domain) -> Belief | None:
        """The distribution of one variable; None when no past trial has a value that the domain offers.

        Args:
            name: of the value in past trials: `model`, `method` or a hyperparameter.
            domain: of the variable.
        """
        belief, is_known = uniform_belief(domain), False
        for item in self._evidence:
            value = _values(item).get(name)
            if value is None or (item.handles is not None and name not in item.handles):
                continue
            resolved = belief.resolve(value)
            if resolved is not None:
                belief, is_known = belief.updated([resolved], item.alpha), True
        return belief if is_known else None

    def best(self, n: int) -> list[Mapping[str, ParamValue]]:
        """The best points of the nearest task, of the next, and so on, then their second best; n at most."""
        if self._score is None:
            return []
        score, sign = self._score, -1.0 if self._score.direction == "maximize" else 1.0
        tasks: dict[str, list[Evidence]] = {}
        for item in sorted(self._evidence, key=lambda item: item.distance):
            if item.is_positive:
                tasks.setdefault(item.experience.dataset_id, []).append(item)
        ranked = [
            sorted(items, key=lambda item: sign * objective_value(item.experience.result, score))[:n]
            for items in tasks.values()
        ]
        rounds = [item for choices in zip_longest(*ranked) for item in choices if item is not None]
        return [_values(item) for item in rounds[:n]]


def _values(item: Evidence) -> Mapping[str, ParamValue]:
    return item.experience.result.pipeline.to_dict()


def _common_score(rated: Sequence[Rated]) -> Objective | None:
    """The score that most successes have; without successes F1, so that failures still teach."""
    if not rated:
        return None
    counts = Counter(name for item in rated if item.experience.result.is_ok for name in item.experience.result.scores)
    name = min(counts, key=lambda name: (-counts[name], name != "f1", name)) if counts else "f1"
    return Objective(name, "minimize" if name in LOWER_IS_BETTER else "maximize")
