"""The probabilistic model of pipelines: one belief per decision of the conditional space.

Decisions are named by handles: `method`, `<method>.model` and `<method>.<hyperparameter>`. The distribution
of models belongs to its method, because what fits under one method may not fit under another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from xautolm.prior.decisions import Belief, Choice, Numeric, belief_from_dict, uniform_belief
from xautolm.prior.published import RawBelief, RawChoice, RawFlag, published_beliefs, raw_from_dict
from xautolm.records import ParamValue, Pipeline
from xautolm.space.params import Space

#: Share of the decisions that a variation of a pipeline changes.
VARIED_SHARE = 1 / 6


@dataclass(frozen=True, slots=True)
class SearchModel:
    """A distribution over the pipelines of a space. Immutable: an update returns a new model.

    Attributes:
        beliefs: handle -> belief.
        shared: handle -> the handle that holds its belief, for decisions that share one (only as published).
    """

    beliefs: Mapping[str, Belief | RawBelief]
    shared: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def uniform(cls, space: Space) -> SearchModel:
        """The cold model: no preference among methods, models and values."""
        beliefs: dict[str, Belief | RawBelief] = {"method": Choice.uniform(tuple(space.methods))}
        for method, part in space.methods.items():
            beliefs[f"{method}.model"] = Choice.uniform(part.models)
            for name, domain in part.params.items():
                beliefs[f"{method}.{name}"] = uniform_belief(domain)
        return cls(MappingProxyType(beliefs))

    @classmethod
    def informed(cls, space: Space, default_share: float) -> SearchModel:
        """The cold model with a preference for known-good values.

        Args:
            space: where pipelines come from.
            default_share: extra weight, in [0, 1), of each categorical hyperparameter's default; the rest is shared
                equally. Methods, models and numeric hyperparameters stay uniform. 0 gives `uniform`, as published.
        """
        beliefs = dict(cls.uniform(space).beliefs)
        for method, part in space.methods.items():
            for name, value in part.default.items():
                belief = beliefs.get(f"{method}.{name}")
                if isinstance(belief, Choice):
                    beliefs[f"{method}.{name}"] = belief.preferring(value, default_share)
        return cls(MappingProxyType(beliefs))

    @classmethod
    def published(cls, space: Space, defects: Collection[int]) -> SearchModel:
        """The cold model with some of the published defects (`prior.published`); without any it is `uniform`."""
        return cls(*published_beliefs(space, defects))

    def aligned(self, space: Space) -> SearchModel:
        """This model on another space: decisions whose domain changed, or that are new, start cold.

        Published beliefs become the repaired ones, cold. Handles come in the order of the space, so that a model read
        from a file samples as the one written.
        """
        cold = SearchModel.uniform(space)
        beliefs = {h: self._kept(h, belief) for h, belief in cold.beliefs.items()}
        return SearchModel(MappingProxyType(beliefs))

    def _kept(self, handle: str, cold: Belief | RawBelief) -> Belief | RawBelief:
        mine = self.beliefs.get(handle)
        return mine if type(mine) is type(cold) and _domain_of(mine) == _domain_of(cold) else cold

    def sample(self, rng: np.random.Generator) -> Pipeline:
        """Draw a pipeline: the method, then its model, then its hyperparameters."""
        method = str(self.beliefs["method"].sample(rng))
        drawn = {name: belief.sample(rng) for name, belief in self._of_method(method).items()}
        return Pipeline(model=str(drawn.pop("model")), method=method, params=drawn)

    def varied(self, pipeline: Pipeline, rng: np.random.Generator) -> Pipeline:
        """A neighbour of a pipeline: one decision in six drawn anew or moved by a step, at least one of them."""
        beliefs = self._of_method(pipeline.method)
        changed = rng.random(len(beliefs)) < VARIED_SHARE
        changed[rng.integers(len(beliefs))] = True
        values = {"model": pipeline.model, **pipeline.params}
        varied: dict[str, ParamValue] = {}
        for (name, belief), is_changed in zip(beliefs.items(), changed.tolist(), strict=True):
            value = values.get(name)
            if value is not None and not is_changed:
                varied[name] = value
            elif value is not None and isinstance(belief, Choice | Numeric):
                varied[name] = belief.near(value, rng)
            else:
                varied[name] = belief.sample(rng)
        return Pipeline(model=str(varied.pop("model")), method=pipeline.method, params=varied)

    def _of_method(self, method: str) -> dict[str, Belief | RawBelief]:
        """Bare name (`model`, hyperparameters) -> belief, in the order of the space."""
        prefix = f"{method}."
        shared = {h: self.beliefs[holder] for h, holder in self.shared.items() if h.startswith(prefix)}
        own = {h: belief for h, belief in self.beliefs.items() if h.startswith(prefix)}
        return {h[len(prefix) :]: belief for h, belief in (shared | own).items()}

    def resolved(self, pipeline: Pipeline, handles: Collection[str] | None = None) -> dict[str, ParamValue]:
        """What a pipeline says about this model's decisions: handle -> value.

        Args:
            pipeline: a pipeline of this or of another space.
            handles: bare names (`method`, `model`, hyperparameters) to look at; None = all.

        Returns:
            Only decisions that exist here, with a value of their domain. The rest is skipped, not replaced.
        """
        named = {"method": pipeline.method, "model": pipeline.model, **pipeline.params}
        resolved: dict[str, ParamValue] = {}
        for name, value in named.items():
            handle = name if name == "method" else f"{pipeline.method}.{name}"
            handle = self.shared.get(handle, handle)
            belief = self.beliefs.get(handle)
            if belief is None or (handles is not None and name not in handles):
                continue
            known = belief.resolve(value)
            if known is not None:
                resolved[handle] = known
        return resolved

    def updated(
        self, pipelines: Sequence[Pipeline], alpha: float, handles: Collection[str] | None = None
    ) -> SearchModel:
        """Move towards (alpha > 0) or away from (alpha < 0) the merged decisions of some pipelines.

        Args:
            pipelines: the observations; decisions that do not resolve are skipped.
            alpha: learning rate, per occurrence for choices and per update for numbers.
            handles: bare names that may change; None = all.
        """
        observed: dict[str, list[ParamValue]] = {}
        for pipeline in pipelines:
            for handle, value in self.resolved(pipeline, handles).items():
                observed.setdefault(handle, []).append(value)
        if not observed or alpha == 0:
            return self
        changed = {handle: self.beliefs[handle].updated(values, alpha) for handle, values in observed.items()}
        return replace(self, beliefs=MappingProxyType({**self.beliefs, **changed}))

    def completed(self, pipeline: Pipeline, rng: np.random.Generator) -> Pipeline:
        """The pipeline with a random draw for every decision that it leaves open here (published defect 4)."""
        known = self.beliefs["method"].resolve(pipeline.method)
        method = str(self.beliefs["method"].sample(rng) if known is None else known)
        named: dict[str, ParamValue] = {"model": pipeline.model, **pipeline.params}
        drawn: dict[str, ParamValue] = {}
        for name, belief in self._of_method(method).items():
            resolved = belief.resolve(named[name]) if name in named else None
            drawn[name] = belief.sample(rng) if resolved is None else resolved
        return Pipeline(model=str(drawn.pop("model")), method=method, params=drawn)

    def log_probability(self, pipeline: Pipeline) -> float:
        """Log-probability of a pipeline's resolvable decisions; numbers count relative to a uniform draw."""
        values = self.resolved(pipeline)
        return sum(self.beliefs[handle].log_probability(value) for handle, value in values.items())

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` gives an equal model back."""
        shared = {handle: {"shared": holder} for handle, holder in self.shared.items()}
        return shared | {handle: belief.to_dict() for handle, belief in self.beliefs.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SearchModel:
        shared = {handle: state["shared"] for handle, state in value.items() if "shared" in state}
        beliefs = {
            handle: raw_from_dict(state) if "raw" in state else belief_from_dict(state)
            for handle, state in value.items()
            if handle not in shared
        }
        return cls(MappingProxyType(beliefs), MappingProxyType(shared))

    def describe(self) -> dict[str, dict[str, Any]]:
        """For reports: handle -> weights of the choices, or the quantiles of a number in its own unit."""
        return {handle: belief.describe() for handle, belief in self.beliefs.items()}


def _domain_of(belief: Belief | RawBelief | None) -> object:
    if belief is None or isinstance(belief, RawFlag):
        return None
    return belief.choices if isinstance(belief, Choice | RawChoice) else belief.domain
