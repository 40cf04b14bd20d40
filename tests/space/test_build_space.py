import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from xautolm.errors import UsageError
from xautolm.records import ModelSpec, ParamValue, Pipeline
from xautolm.space.build import adapt_default, build_space, length_choices, space_from_dict, space_to_dict
from xautolm.space.feasibility import (
    DEFAULT_SPEED,
    Limits,
    TaskSize,
    Verdict,
    Workload,
    check,
)
from xautolm.space.params import Categorical, Dropped, Float, Int, MethodSpace, Space

SIZE = TaskSize(4000, 500, 2, tuple(range(5, 106)))


def model(n_layers: int) -> ModelSpec:
    return ModelSpec(
        name=f"m{n_layers}",
        path="/models/m",
        revision="r",
        model_type="bert",
        n_layers=n_layers,
        is_cut=False,
        n_params=12_000_000 + n_layers * 1_774_464,
        n_params_embedding=11_900_000,
        hidden=384,
        n_heads=12,
        intermediate=1536,
        vocabulary=30522,
        context=512,
        poolings=("mean", "first"),
    )


MODELS = (model(6), model(3), model(1))

FULL = MethodSpace(
    method="full",
    models=("m6", "m3", "m1"),
    params={
        "learning_rate": Float(1e-5, 3e-4, log=True),
        "batch_size": Categorical((8, 16, 32, 64)),
        "epochs": Int(1, 6, log=True),
        "dropout": Categorical((0.0, 0.1)),
        "max_length": Categorical((32, 64, 128)),
        "pooling": Categorical(("mean", "first", "native")),
        "train_fraction": Categorical((0.25, 0.5, 1.0)),
        "class_weighting": Categorical((False, True)),
    },
    default={
        "learning_rate": 1e-4,
        "batch_size": 16,
        "epochs": 3,
        "dropout": 0.1,
        "max_length": 128,
        "pooling": "mean",
        "train_fraction": 1.0,
        "class_weighting": False,
    },
)
HEAD = MethodSpace(
    method="head",
    models=("m6", "m3", "m1"),
    params={"c": Float(1e-3, 1e2, log=True), "max_length": Categorical((32, 64, 128))},
    default={"c": 0.1, "max_length": 128},
)


def workload(pipeline: Pipeline, spec: ModelSpec) -> Workload:
    params: Mapping[str, ParamValue] = pipeline.params
    is_full = pipeline.method == "full"
    return Workload(
        n_trainable=spec.n_params if is_full else 0,
        backward_layers=spec.n_layers if is_full else 0,
        trains_embeddings=is_full,
        epochs=float(params.get("epochs", 0)),
        batch_size=int(params.get("batch_size", 64)),
        max_length=int(params["max_length"]),
        train_fraction=float(params.get("train_fraction", 1.0)),
    )


def check_with(
    time_s: float = 1e9, memory_mib: float = 1e9, models: tuple[ModelSpec, ...] = MODELS
) -> Callable[[Pipeline], Verdict]:
    by_name = {spec.name: spec for spec in models}

    def check_pipeline(pipeline: Pipeline) -> Verdict:
        spec = by_name[pipeline.model]
        return check(workload(pipeline, spec), spec, SIZE, DEFAULT_SPEED, Limits(time_s, memory_mib))

    return check_pipeline


def cheapest(name: str, **changes: ParamValue) -> Pipeline:
    smallest = {"batch_size": 8, "epochs": 1, "max_length": 32, "train_fraction": 0.25}
    return Pipeline(name, "full", {**FULL.default, **smallest, **changes})


def choices(space: Space, method: str, name: str) -> tuple[ParamValue, ...]:
    domain = space.methods[method].params[name]
    assert isinstance(domain, Categorical)
    return domain.choices


def test_nothing_is_dropped_when_everything_fits() -> None:
    earlier = (Dropped("org/gated", "gated"),)
    space = build_space(MODELS, [FULL, HEAD], check_with(), earlier)
    assert list(space.models) == ["m6", "m3", "m1"]
    assert dict(space.methods) == {"full": FULL, "head": HEAD}
    assert space.dropped == earlier


def test_models_that_exceed_memory_are_dropped_per_method_with_the_figures() -> None:
    limit = check_with()(cheapest("m3")).memory_mib + 1
    space = build_space(MODELS, [FULL, HEAD], check_with(memory_mib=limit))
    assert space.methods["full"].models == ("m3", "m1")
    assert space.methods["head"].models == ("m6", "m3", "m1")
    (item,) = [item for item in space.dropped if item.what == "full with m6"]
    assert "of memory, the limit is" in item.reason


def test_a_model_that_only_large_batches_bring_under_the_time_limit_is_kept() -> None:
    small_batch, large_batch = (check_with()(cheapest("m6", batch_size=size)).time_s for size in (8, 64))
    assert large_batch < small_batch
    space = build_space(MODELS, [FULL], check_with(time_s=large_batch + 0.01))
    assert "m6" in space.methods["full"].models
    assert 64 in choices(space, "full", "batch_size")


def test_models_that_exceed_the_time_limit_are_dropped_with_the_figures() -> None:
    limit = check_with()(cheapest("m3", batch_size=64)).time_s + 0.01
    space = build_space(MODELS, [FULL], check_with(time_s=limit))
    assert space.methods["full"].models == ("m3", "m1")
    (item,) = [item for item in space.dropped if item.what == "full with m6"]
    assert "the limit is" in item.reason


def test_choices_that_fit_with_no_model_are_dropped_and_the_default_moves() -> None:
    limit = check_with()(cheapest("m1", batch_size=64, max_length=32)).memory_mib - 1
    space = build_space(
        MODELS, [replace(FULL, default={**FULL.default, "batch_size": 64})], check_with(memory_mib=limit)
    )
    assert choices(space, "full", "batch_size") == (8, 16, 32)
    assert space.methods["full"].default["batch_size"] == 32
    assert "full.batch_size=64" in {item.what for item in space.dropped}


def test_every_default_of_a_reduced_space_stays_inside_it() -> None:
    limit = check_with()(cheapest("m1")).memory_mib + 5
    space = build_space(MODELS, [FULL], check_with(memory_mib=limit))
    part = space.methods["full"]
    assert space.contains(Pipeline(part.models[0], "full", part.default))
    assert len(choices(space, "full", "max_length")) < 3 or len(choices(space, "full", "batch_size")) < 4


def test_a_method_without_models_is_dropped_and_models_without_methods_too() -> None:
    limit = check_with()(Pipeline("m1", "head", {"c": 0.1, "max_length": 32})).memory_mib + 1
    space = build_space(MODELS, [FULL, HEAD], check_with(memory_mib=limit))
    assert list(space.methods) == ["head"]
    assert list(space.models) == list(space.methods["head"].models)
    assert Dropped("full", "no model fits") in space.dropped


@pytest.mark.parametrize(
    ("limits", "flag", "figure"),
    [({"memory_mib": 100}, "--memory", "the limit is 100 MiB"), ({"time_s": 1}, "--trial-timeout", "the limit is 1 s")],
)
def test_nothing_left_is_an_error_that_names_the_binding_limit(
    limits: dict[str, float], flag: str, figure: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build_space(MODELS, [FULL, HEAD], check_with(**limits))
    message = str(caught.value)
    assert figure in message
    assert "needs about" in message
    assert f"Raise `{flag}`" in message
    assert ("--memory" in message) != ("--trial-timeout" in message)


def test_no_method_or_no_model_is_an_error() -> None:
    for models, methods in ((MODELS, []), ((), [FULL])):
        with pytest.raises(UsageError, match="Expected a method with a usable model"):
            build_space(models, methods, check_with())


def test_a_default_that_fits_is_left_alone() -> None:
    space = build_space(MODELS, [FULL], check_with())
    assert adapt_default(space, "full", check_with()) == Pipeline("m6", "full", FULL.default)


def test_a_slow_default_first_trains_fewer_epochs_then_fewer_rows() -> None:
    default = Pipeline("m6", "full", FULL.default)
    time_s = {n: check_with()(replace(default, params={**default.params, "epochs": n})).time_s for n in (1, 2, 3)}
    for n in (1, 2):
        limits = check_with(time_s=time_s[n] / 0.6 + 0.1)
        adapted = adapt_default(build_space(MODELS, [FULL], limits), "full", limits)
        assert dict(adapted.params) == {**FULL.default, "epochs": n}
    limits = check_with(time_s=time_s[1] / 0.6 - 0.1)
    adapted = adapt_default(build_space(MODELS, [FULL], limits), "full", limits)
    assert dict(adapted.params) == {**FULL.default, "epochs": 1, "train_fraction": 0.5}


def test_a_default_that_needs_too_much_memory_takes_a_smaller_batch_and_keeps_its_epochs() -> None:
    default = Pipeline("m6", "full", FULL.default)
    smaller = replace(default, params={**default.params, "batch_size": 8})
    limits = check_with(memory_mib=check_with()(smaller).memory_mib + 1)
    adapted = adapt_default(build_space(MODELS, [FULL], limits), "full", limits)
    assert adapted == smaller


def test_a_smaller_model_is_the_last_resort() -> None:
    limits = check_with(time_s=check_with()(cheapest("m6", batch_size=16)).time_s / 0.6 - 0.1)
    space = build_space(MODELS, [FULL], limits)
    assert "m6" in space.methods["full"].models
    adapted = adapt_default(space, "full", limits)
    assert adapted.model == "m3"
    assert limits(adapted).time_s <= 0.6 * limits(adapted).limits.time_s


@pytest.mark.parametrize("time_s", [15, 20, 30, 60, 300])
@pytest.mark.parametrize("memory_mib", [450, 600, 1200])
def test_an_adapted_default_is_in_the_space_and_fits(time_s: float, memory_mib: float) -> None:
    limits = check_with(time_s, memory_mib)
    space = build_space(MODELS, [FULL, HEAD], limits)
    for method in space.methods:
        adapted = adapt_default(space, method, limits)
        assert space.contains(adapted)
        assert limits(adapted).fits


def test_adapting_steps_through_real_domains_and_swaps_a_pooling_the_model_lacks() -> None:
    other = replace(model(1), name="gpt", model_type="gpt2", poolings=("native",))
    part = replace(FULL, models=("gpt",), params={**FULL.params, "train_fraction": Float(0.1, 1.0)})
    unlimited = check_with(models=(other,))
    default = Pipeline("gpt", "full", FULL.default)
    limits = check_with(unlimited(default).time_s / 8, models=(other,))
    space = build_space((other,), [part], limits)
    adapted = adapt_default(space, "full", limits)
    assert adapted.params["pooling"] == "native"
    assert 0.1 <= float(adapted.params["train_fraction"]) < 1
    assert space.contains(adapted)


def test_length_choices_cover_the_middle_to_the_longest_rows() -> None:
    short = [12] * 101
    assert length_choices(short, 512) == (32,)
    assert length_choices([40] * 60 + [120] * 41, 512) == (64, 128)
    assert length_choices([5] * 51 + [3000] * 50, 512) == (32, 64, 128, 256, 512)
    assert length_choices([5] * 51 + [3000] * 50, 128) == (32, 64, 128)


@pytest.mark.parametrize("context", [1, 31, 32, 100, 512, 8192])
@pytest.mark.parametrize("quantiles", [[0] * 101, [33] * 101, list(range(0, 1010, 10))])
def test_length_choices_never_exceed_the_context_and_are_never_empty(context: int, quantiles: list[int]) -> None:
    lengths = length_choices(quantiles, context)
    assert lengths
    assert max(lengths) <= context
    assert list(lengths) == sorted(set(lengths))


def test_space_survives_json() -> None:
    space = build_space(MODELS, [FULL, HEAD], check_with(memory_mib=600), [Dropped("x", "y")])
    again = space_from_dict(json.loads(json.dumps(space_to_dict(space))))
    assert again == space
    assert space_to_dict(again) == space_to_dict(space)
    default = again.methods["full"].default
    assert [type(value) for value in default.values()] == [type(value) for value in FULL.default.values()]
