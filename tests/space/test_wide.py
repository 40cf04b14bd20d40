"""The wide space holds the published hyperparameters; the usual one and what is known about it stay as they are."""

import pytest
from model_folders import MakeModel

from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.records import Pipeline
from xautolm.space.catalogue import read_model
from xautolm.space.params import Categorical, Float, Int, MethodSpace, Space
from xautolm.space.wide import widened


@pytest.fixture
def offered(make_model: MakeModel):
    """The usual part of a method over a model of 24 layers."""
    from dataclasses import replace

    model = replace(read_model(make_model(), "m"), n_layers=24)

    def of(method: str) -> MethodSpace:
        return registry.resolve("methods", method).space(Facts([model], (64, 128), 1000))

    return of


@pytest.mark.parametrize("method", ["full", "partial", "lora"])
def test_everything_usual_stays_possible_and_the_default_too(offered, method) -> None:
    usual = offered(method)
    wide = widened(usual)
    space = Space(models={}, methods={method: wide})
    assert {**wide.default} == {**wide.default, **usual.default}
    assert space.contains(Pipeline("m", method, wide.default))
    for name, domain in usual.params.items():
        for value in domain.choices if isinstance(domain, Categorical) else (domain.low, domain.high):
            assert wide.params[name].contains(value), (name, value)


@pytest.mark.parametrize(
    ("method", "name", "values"),
    [
        ("full", "batch_size", (2, 4, 8, 16, 32, 64, 128, 256)),
        ("full", "learning_rate", (5e-6, 1e-5, 5e-5, 1e-4)),
        ("full", "epochs", (1, 10)),
        ("full", "weight_decay", (0.0, 0.001, 0.005, 0.01, 0.1)),
        ("full", "dropout", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("full", "optimizer", ("adamw", "sgd", "adagrad")),
        ("full", "lr_scheduler", ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant")),
        ("full", "max_grad_norm", (0.5, 1.0, 5.0, 0.0)),
        ("full", "class_weighting", (False, True)),
        ("partial", "n_layers", (1, 2, 4, 8, 16, 24)),
        ("lora", "lora_r", (1, 2, 4, 8, 16, 32)),
        ("lora", "lora_dropout", (0.0, 0.1, 0.2, 0.3)),
        ("lora", "lora_bias", ("none", "lora_only", "all")),
        ("lora", "lora_init", ("kaiming", "gaussian")),
    ],
)
def test_published_values_are_reachable(offered, method, name, values) -> None:
    domain = widened(offered(method)).params[name]
    assert all(domain.contains(value) for value in values)


@pytest.mark.parametrize(("rank", "alpha"), [(r, alpha) for r in (4, 8, 16, 32) for alpha in (8, 16, 32)])
def test_published_alphas_are_reachable_at_common_ranks(offered, rank, alpha) -> None:
    ratios = widened(offered("lora")).params["lora_alpha_ratio"]
    assert isinstance(ratios, Categorical)
    assert alpha / rank in ratios.choices


def test_a_method_of_ones_own_is_widened_and_one_without_a_rate_is_not(offered) -> None:
    own = MethodSpace("own", ("m",), {"learning_rate": Float(1e-3, 1e-1), "epochs": Int(1, 3)}, {"epochs": 1})
    assert widened(own).params["epochs"] == Int(1, 10, log=True)
    assert "optimizer" in widened(own).params
    assert "lora_bias" not in widened(own).params
    assert widened(offered("head")) == offered("head")
    assert widened(widened(own)) == widened(own)
