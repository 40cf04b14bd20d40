import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.records import ModelSpec
from xautolm.space.feasibility import (
    DEFAULT_SPEED,
    Limits,
    Speed,
    TaskSize,
    Workload,
    calibrated,
    check,
    estimate,
)

EMBEDDINGS, LAYER, POOLER = 11_917_824, 1_774_464, 147_840 + 768


def minilm(n_layers: int = 6) -> ModelSpec:
    n_params = EMBEDDINGS + POOLER + n_layers * LAYER
    return ModelSpec(
        "m", "", "", "bert", n_layers, n_layers < 6, n_params, EMBEDDINGS, 384, 12, 1536, 30522, 512, ("mean",)
    )


def full(model: ModelSpec, **changes: float) -> Workload:
    workload = Workload(
        n_trainable=model.n_params,
        backward_layers=model.n_layers,
        trains_embeddings=True,
        epochs=2,
        batch_size=16,
        max_length=64,
        train_fraction=1.0,
    )
    return replace(workload, **changes)


SIZE = TaskSize(4000, 500, 4, tuple(range(5, 106)))
HEAD = Workload(0, 0, False, epochs=0, batch_size=64, max_length=64, train_fraction=1.0)
HEAD_AT_512 = replace(HEAD, max_length=512)

rows = st.integers(1, 200_000)
lengths = st.integers(4, 512)
batches = st.integers(1, 256)
depths = st.integers(1, 24)


@given(n=rows, more=st.integers(1, 200_000), epochs=st.sampled_from([0.0, 1.0, 3.0]))
def test_time_grows_with_rows(n: int, more: int, epochs: float) -> None:
    model = minilm()
    workload = full(model, epochs=epochs)
    small = estimate(workload, model, replace(SIZE, n_train=n), DEFAULT_SPEED)
    large = estimate(workload, model, replace(SIZE, n_train=n + more), DEFAULT_SPEED)
    assert small.time_s < large.time_s
    assert small.memory_mib <= large.memory_mib


@given(n=lengths, more=st.integers(1, 512))
def test_time_and_memory_grow_with_the_length_until_the_longest_row(n: int, more: int) -> None:
    model = minilm()
    short = estimate(full(model, max_length=n), model, SIZE, DEFAULT_SPEED)
    long = estimate(full(model, max_length=n + more), model, SIZE, DEFAULT_SPEED)
    if n < 105:
        assert short.time_s < long.time_s
        assert short.memory_mib <= long.memory_mib, "short rows need less than saving the weights"
    else:
        assert short == long


@given(epochs=st.integers(1, 20), more=st.integers(1, 20))
def test_time_grows_with_epochs_and_memory_does_not(epochs: int, more: int) -> None:
    model = minilm()
    few = estimate(full(model, epochs=epochs), model, SIZE, DEFAULT_SPEED)
    many = estimate(full(model, epochs=epochs + more), model, SIZE, DEFAULT_SPEED)
    assert few.time_s < many.time_s
    assert few.memory_mib == many.memory_mib


@given(n=depths, more=depths)
def test_time_and_memory_grow_with_layers(n: int, more: int) -> None:
    shallow, deep = minilm(n), minilm(n + more)
    small = estimate(full(shallow), shallow, SIZE, DEFAULT_SPEED)
    large = estimate(full(deep), deep, SIZE, DEFAULT_SPEED)
    assert small.time_s < large.time_s
    assert small.memory_mib < large.memory_mib


@given(n=st.integers(0, 5), n_lora=st.sampled_from([0, 100_000]))
def test_time_and_memory_grow_with_the_layers_that_are_trained(n: int, n_lora: int) -> None:
    model = minilm()
    frozen = full(model, backward_layers=n, n_trainable=n * LAYER, n_lora=n_lora)
    trained = replace(frozen, backward_layers=n + 1, n_trainable=(n + 1) * LAYER)
    small, large = (estimate(workload, model, SIZE, DEFAULT_SPEED) for workload in (frozen, trained))
    assert small.time_s < large.time_s
    assert small.memory_mib < large.memory_mib


@given(n=batches, more=batches)
def test_memory_grows_with_the_batch_and_time_does_not(n: int, more: int) -> None:
    model = minilm()
    small = estimate(full(model, batch_size=n), model, SIZE, DEFAULT_SPEED)
    large = estimate(full(model, batch_size=n + more), model, SIZE, DEFAULT_SPEED)
    assert small.memory_mib <= large.memory_mib
    assert small.memory_mib < large.memory_mib or n < 16, "predictions need more only beside tiny batches"
    assert small.time_s >= large.time_s


@given(fraction=st.floats(0.01, 0.9))
def test_a_share_of_the_rows_is_cheaper(fraction: float) -> None:
    model = minilm()
    part = estimate(full(model, train_fraction=fraction), model, SIZE, DEFAULT_SPEED)
    assert part.time_s < estimate(full(model), model, SIZE, DEFAULT_SPEED).time_s


@given(n=rows, validation=rows, fraction=st.floats(0.001, 1), epochs=st.floats(0, 10), length=st.integers(0, 5000))
def test_estimates_are_finite_and_positive(
    n: int, validation: int, fraction: float, epochs: float, length: int
) -> None:
    size = TaskSize(n, validation, 2, (length,) * 101)
    model = minilm()
    needed = estimate(full(model, epochs=epochs, train_fraction=fraction), model, size, DEFAULT_SPEED)
    assert 0 < needed.time_s < math.inf
    assert 0 < needed.memory_mib < math.inf


def test_methods_are_ordered_by_what_they_train() -> None:
    model = minilm()
    partial = full(model, n_trainable=2 * LAYER, backward_layers=2, trains_embeddings=False)
    lora = full(model, n_trainable=200_000, n_lora=200_000, trains_embeddings=False)
    needed = [estimate(w, model, SIZE, DEFAULT_SPEED) for w in (HEAD, partial, full(model))]
    assert [n.time_s for n in needed] == sorted(n.time_s for n in needed)
    assert [n.memory_mib for n in needed] == sorted(n.memory_mib for n in needed)
    assert estimate(lora, model, SIZE, DEFAULT_SPEED).time_s < needed[-1].time_s
    assert estimate(lora, model, SIZE, DEFAULT_SPEED).memory_mib < needed[-1].memory_mib


# Peak resident memory above the interpreter with torch and transformers loaded, MiB; one thread, bf16 autocast,
# AdamW, 6 steps of full fine-tuning; without the copy of the best checkpoint.
@pytest.mark.parametrize(
    ("n_layers", "batch", "tokens", "measured_mib"),
    [(6, 16, 13, 519), (1, 16, 13, 350), (6, 16, 64, 706), (6, 16, 128, 1037), (6, 32, 128, 1514), (6, 32, 256, 3600)],
)
def test_memory_agrees_with_measurements(n_layers: int, batch: int, tokens: int, measured_mib: float) -> None:
    model = minilm(n_layers)
    size = TaskSize(4000, 500, 4, (tokens,) * 101)
    needed = estimate(full(model, batch_size=batch, max_length=512), model, size, DEFAULT_SPEED)
    best_copy_mib = 4 * model.n_params / 2**20
    assert needed.memory_mib - best_copy_mib == pytest.approx(measured_mib, rel=0.3)


@pytest.mark.parametrize(("n_layers", "rows_per_s"), [(6, 50), (1, 145)])
def test_default_speed_gives_the_reference_throughput(n_layers: int, rows_per_s: float) -> None:
    model = minilm(n_layers)
    size = TaskSize(4000, 0, 2, (12,) * 101)
    took = estimate(full(model, epochs=1), model, size, DEFAULT_SPEED)
    assert 4000 / took.time_s == pytest.approx(rows_per_s, rel=0.35)


def test_a_faster_machine_is_faster() -> None:
    model = minilm()
    slow = estimate(full(model), model, SIZE, DEFAULT_SPEED)
    fast = estimate(full(model), model, SIZE, replace(DEFAULT_SPEED, flops_per_s=1e15))
    assert fast.time_s < slow.time_s / 3
    assert fast.memory_mib == slow.memory_mib


def test_shared_layers_of_albert_count_once_per_use() -> None:
    albert = replace(minilm(12), model_type="albert", n_params=EMBEDDINGS + LAYER)
    bert = replace(minilm(12))
    took = [estimate(HEAD, model, SIZE, DEFAULT_SPEED).time_s for model in (albert, bert)]
    assert took[0] == pytest.approx(took[1], rel=0.1)


def test_check_names_every_limit_that_is_exceeded() -> None:
    model = minilm()
    verdict = check(full(model), model, SIZE, DEFAULT_SPEED, Limits(time_s=1, memory_mib=10))
    assert not verdict.fits
    assert "of memory, the limit is 10 MiB; needs about" in verdict.reason
    assert verdict.reason.endswith("the limit is 1 s")
    assert verdict.limits == Limits(time_s=1, memory_mib=10)


def test_check_accepts_what_fits() -> None:
    model = minilm()
    needed = estimate(full(model), model, SIZE, DEFAULT_SPEED)
    verdict = check(full(model), model, SIZE, DEFAULT_SPEED, Limits(needed.time_s, needed.memory_mib))
    assert (verdict.fits, verdict.reason) == (True, "")
    assert (verdict.time_s, verdict.memory_mib) == (needed.time_s, needed.memory_mib)


def test_calibration_moves_toward_the_observed_ratio_with_evidence() -> None:
    scales = [calibrated(DEFAULT_SPEED, [(30.0, 10.0)] * n).scale for n in (0, 1, 2, 10, 1000)]
    assert scales == sorted(scales)
    assert scales[0] == 1
    assert scales[1] == pytest.approx(3 ** (1 / 3))
    assert scales[-1] == pytest.approx(3, rel=0.01)


def test_calibration_scales_every_estimate_and_adds_up() -> None:
    model = minilm()
    before = estimate(full(model), model, SIZE, DEFAULT_SPEED)
    speed = calibrated(DEFAULT_SPEED, [(40.0, 10.0), (40.0, 10.0)])
    assert estimate(full(model), model, SIZE, speed).time_s == pytest.approx(2 * before.time_s)
    assert calibrated(speed, [(10.0, 40.0), (10.0, 40.0)]).scale == pytest.approx(1)


def test_calibration_ignores_impossible_pairs_and_outliers() -> None:
    broken = [(0.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)]
    assert calibrated(DEFAULT_SPEED, broken) == DEFAULT_SPEED
    pairs = [(10.0, 10.0)] * 4 + [(1e6, 1.0)]
    assert calibrated(Speed(1e9, 1.0, "measured"), pairs).scale == 1


# The same measurement for predictions of 64 rows in evaluation mode.
@pytest.mark.parametrize(("tokens", "measured_mib"), [(32, 144), (128, 239), (256, 460), (512, 716)])
def test_memory_of_predictions_agrees_with_measurements(tokens: int, measured_mib: float) -> None:
    needed = estimate(HEAD_AT_512, minilm(), TaskSize(100, 100, 2, (tokens,) * 101), DEFAULT_SPEED)
    assert 0.9 * measured_mib < needed.memory_mib < 1.3 * measured_mib


def test_intermediate_validations_are_charged() -> None:
    model = minilm()
    size = replace(SIZE, n_train=20_000)
    few, many = (estimate(full(model), model, replace(size, n_validation=n), DEFAULT_SPEED).time_s for n in (64, 256))
    forward_s = (many - few) / (8 * 192 + 192)
    larger = estimate(full(model), model, replace(size, n_validation=1256), DEFAULT_SPEED).time_s
    assert larger - many == pytest.approx(1000 * forward_s), "beyond 256 rows only the final pass grows"


def test_twice_the_epochs_train_twice_as_long() -> None:
    model = minilm()
    size = replace(SIZE, n_train=50_000, n_validation=0)
    speed = Speed(flops_per_s=1e8, startup_s=0, source="default")
    once, twice = (estimate(full(model, epochs=n), model, size, speed).time_s for n in (1, 2))
    assert twice / once == pytest.approx(2, rel=0.01)
