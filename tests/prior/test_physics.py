"""Pipelines in physical terms: the numbers mean what their names say, and nothing makes them infinite."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.prior.anatomy import ModelBook, completed
from xautolm.prior.costs import Setting, work_of
from xautolm.prior.physics import INPUTS, Physicist, column, usual_rate
from xautolm.records import ModelSpec, ParamValue, Pipeline, Profile

TASK = {"n_train": 8000.0, "n_classes": 4.0, "imbalance": 0.5, "mean_chars": 120.0, "cv_chars": 0.5}
SYSTEM = {"physical_cores": 8.0, "max_frequency_ghz": 3.0, "ram_gib": 64.0, "gpu_memory_gib": 0.0}
OURS = Setting(Profile("classification/1", TASK, "system/1", SYSTEM), time_limit_s=600.0, memory_limit_mib=8000.0)
PUBLISHED = replace(OURS, is_published=True)
FULL: dict[str, ParamValue] = {
    "learning_rate": 5e-5, "batch_size": 16, "epochs": 2, "max_length": 128, "train_fraction": 1.0,
    "warmup_ratio": 0.06, "weight_decay": 0.01, "dropout": 0.1, "pooling": "mean", "class_weighting": False,
}  # fmt: skip


def row(pipeline: Pipeline, setting: Setting = OURS, book: ModelBook | None = None) -> dict[str, float]:
    return dict(zip(INPUTS, Physicist(book or ModelBook()).row(pipeline, setting), strict=True))


def full(model: str = "bert-base-uncased", method: str = "full", **params: ParamValue) -> Pipeline:
    return Pipeline(model, method, {**FULL, **params})


def test_sizes_come_from_the_catalogue() -> None:
    values = row(full("roberta-base"))
    assert math.exp(values["log_params"]) == pytest.approx(124_645_632)
    assert math.exp(values["log_layers"]) == pytest.approx(12)
    assert values["trainable_share"] == pytest.approx(1.0)
    assert (values["is_decoder"], values["is_seq2seq"]) == (0.0, 0.0)
    assert row(full("gpt2"))["is_decoder"] == 1.0
    assert row(full("google-t5/t5-small"))["is_seq2seq"] == 1.0


def test_a_model_of_the_run_wins_over_the_catalogue() -> None:
    mine = ModelSpec("gpt2", "", "", "bert", 3, True, 1000, 100, 8, 2, 32, 50, 64, ())
    assert math.exp(row(full("gpt2"), book=ModelBook([mine]))["log_params"]) == pytest.approx(1000)


def test_unknown_models_are_sized_by_their_name_or_not_at_all() -> None:
    named = row(full("acme/Secret-3b"))
    assert math.exp(named["log_params"]) == pytest.approx(3e9)
    assert math.isnan(named["is_decoder"])
    assert math.isfinite(named["log_time"])
    unknown = row(full("acme/secret"))
    assert math.isnan(unknown["log_params"])
    assert math.isnan(unknown["log_time"])
    assert math.isfinite(unknown["log_rate"])


def test_twice_the_batch_is_twice_the_tokens_and_half_the_updates() -> None:
    small, large = row(full(batch_size=16)), row(full(batch_size=32))
    assert large["log_step_tokens"] - small["log_step_tokens"] == pytest.approx(math.log(2))
    assert large["log_updates"] - small["log_updates"] == pytest.approx(-math.log(2))
    assert large["log_epoch_tokens"] == small["log_epoch_tokens"]
    assert large["log_memory"] > small["log_memory"]


def test_ratios_are_costs_over_limits() -> None:
    values = row(full())
    assert values["time_ratio"] == pytest.approx(values["log_time"] - math.log(600))
    assert values["memory_ratio"] == pytest.approx(values["log_memory"] - math.log(8000))
    unlimited = row(full(), replace(OURS, time_limit_s=math.nan))
    assert math.isnan(unlimited["time_ratio"])


@pytest.mark.parametrize("setting", [OURS, PUBLISHED])
def test_more_work_costs_more(setting: Setting) -> None:
    base, longer = row(full(), setting), row(full(epochs=6), setting)
    assert longer["log_time"] > base["log_time"]
    assert longer["log_memory"] == base["log_memory"]
    larger = row(full("bert-large-uncased"), setting)
    assert larger["log_time"] > base["log_time"]
    assert larger["log_memory"] > base["log_memory"]
    frozen = row(full(method="partial", n_layers=1), setting)
    assert frozen["log_memory"] < base["log_memory"]
    assert frozen["log_flops"] < base["log_flops"]


def test_published_rows_are_padded_to_the_maximum_length() -> None:
    assert math.exp(row(full(max_length=512), PUBLISHED)["log_length"]) == pytest.approx(512)
    assert math.exp(row(full(max_length=512))["log_length"]) < 60
    assert math.exp(row(full(max_length=4096), PUBLISHED)["log_length"]) == pytest.approx(512)  # BERT has no more


def test_plain_gradient_descent_keeps_no_moments_and_hardly_moves() -> None:
    adam, plain = (row(full(optimizer=name), PUBLISHED) for name in ("adamw", "sgd"))
    assert plain["log_memory"] < adam["log_memory"]
    assert plain["log_travel"] < adam["log_travel"] - 5
    assert (adam["adaptivity"], plain["adaptivity"]) == (1.0, 0.0)


def test_a_warm_up_that_outlasts_the_training_halves_the_way() -> None:
    params = {name: value for name, value in FULL.items() if name != "warmup_ratio"}
    quick, slow = (
        row(Pipeline("bert-base-uncased", "full", {**params, "warmup_steps": steps}), PUBLISHED)
        for steps in (0, 1_000_000)
    )
    assert (quick["warmup_share"], slow["warmup_share"]) == (0.0, 1.0)
    assert quick["log_travel"] - slow["log_travel"] == pytest.approx(math.log(2))


def test_the_rate_is_seen_relative_to_the_methods_default() -> None:
    assert row(full(learning_rate=usual_rate("full")))["log_rate_ratio"] == 0.0
    assert usual_rate("lora") > usual_rate("full")
    assert usual_rate("no such method") > 0


def test_a_method_that_is_not_here_has_no_costs() -> None:
    values = row(full(method="carp"))
    assert math.isnan(values["log_time"])
    assert math.isfinite(values["log_params"])


def test_missing_hyperparameters_get_usual_costs_but_stay_unknown() -> None:
    values = row(Pipeline("bert-base-uncased", "full", {"learning_rate": 1e-4}))
    assert math.isfinite(values["log_time"])
    assert math.isnan(values["log_batch"])


def test_a_task_without_a_size_has_no_costs() -> None:
    empty = replace(OURS, profile=Profile("classification/0", {}, "system/0", {}))
    model = ModelBook().find("gpt2")
    assert model is not None
    assert work_of("full", FULL, model, empty) is None


def test_figures_are_completed_from_the_shape() -> None:
    shaped = completed("x", "bert", None, n_layers=12, hidden=768, vocabulary=30_000)
    assert shaped is not None
    assert shaped.n_params == pytest.approx(110e6, rel=0.05)
    assert completed("x", "bert", None, n_layers=12) is None


values = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(), st.booleans(), st.text(max_size=5), st.sampled_from(["adamw", "1/4"])
)
names = st.sampled_from([*FULL, "optimizer", "lora_r", "lora_alpha", "n_layers", "warmup_steps", "c", "data_downsize"])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["bert-base-uncased", "albert-base-v1", "gpt2", "x-7b", "y", ""]),
    st.sampled_from(["full", "partial", "lora", "head", "carp"]),
    st.dictionaries(names, values),
    st.dictionaries(st.sampled_from([*TASK]), st.floats()),
    st.booleans(),
    st.one_of(st.none(), st.floats()),
)
def test_no_pipeline_task_or_limit_makes_an_input_infinite(
    model: str, method: str, params: dict[str, ParamValue], task: dict[str, float], published: bool, limit: float | None
) -> None:
    from xautolm.prior.costs import _positive

    profile = Profile("classification/1", {**TASK, **task}, "system/1", SYSTEM)
    setting = Setting(profile, _positive(limit), _positive(limit), published)
    made = Physicist(ModelBook()).row(Pipeline(model, method, params), setting)
    assert len(made) == len(INPUTS) == column(INPUTS[-1]) + 1
    assert not any(math.isinf(value) for value in made)
