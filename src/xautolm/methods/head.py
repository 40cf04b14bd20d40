"""Head only: the encoder stays frozen, its features are computed once, and a logistic regression is fitted on them."""

from __future__ import annotations

from typing import Any

from xautolm.methods.method import Facts, Params, shared_default, shared_params
from xautolm.records import ModelSpec
from xautolm.space.feasibility import Workload
from xautolm.space.params import Float, MethodSpace


class HeadOnly:
    """Multinomial logistic regression (scikit-learn, L2, strength 1/C) on cached encoder features."""

    name = "head"
    trains_by_gradient = False

    def space(self, facts: Facts) -> MethodSpace:
        return MethodSpace(
            method=self.name,
            models=tuple(model.name for model in facts.models),
            params={"c": Float(1e-3, 1e2, log=True), **shared_params(facts)},
            default={"c": 0.1, **shared_default(facts)},
        )

    def workload(self, model: ModelSpec, params: Params) -> Workload:
        return Workload(
            n_trainable=0,
            backward_layers=0,
            trains_embeddings=False,
            epochs=0.0,
            batch_size=64,
            max_length=int(params["max_length"]),
            train_fraction=float(params["train_fraction"]),
        )

    def prepare(self, classifier: Any, params: Params) -> Any:
        for parameter in classifier.parameters():
            parameter.requires_grad_(False)
        return classifier


METHOD = HeadOnly()
