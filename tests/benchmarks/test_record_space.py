from collections import Counter
from dataclasses import replace

from benchmarks.recording.space import BATCH_SIZES, LENGTHS, draw_pipeline, recorded_space, space_id
from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.space.params import Categorical, Float, Int, Space

N = 3000


def test_pipeline_is_a_pure_function_of_seed_and_number(space: Space) -> None:
    first = [draw_pipeline(space, 0, i) for i in range(20)]
    again = [draw_pipeline(recorded_space(), 0, i) for i in reversed(range(20))]
    assert first == again[::-1]
    assert len({pipeline.key for pipeline in first}) == 20
    assert first != [draw_pipeline(space, 1, i) for i in range(20)]


def test_pipeline_zero_never_changes(space: Space) -> None:
    pipeline = draw_pipeline(space, 0, 0)
    assert (pipeline.model, pipeline.method) == ("all-MiniLM-L6-v2@3", "full")
    assert pipeline.params["learning_rate"] == 1.63e-05
    assert pipeline.params["batch_size"] == 2
    assert pipeline.params["max_length"] == 512


def test_space_has_the_published_choices_and_else_what_the_methods_declare(space: Space) -> None:
    assert list(space.methods) == ["head", "partial", "lora", "full"]
    assert [model.n_layers for model in space.models.values()] == [6, 3, 1]
    models = list(space.models.values())
    for name, part in space.methods.items():
        assert part.models == tuple(space.models)
        own = registry.resolve("methods", name).space(Facts(models, LENGTHS, 1000)).params
        published = {"max_length": Categorical(LENGTHS)}
        if name != "head":
            published |= {"batch_size": Categorical(BATCH_SIZES), "epochs": Int(1, 10)}
        assert dict(part.params) == {**own, **published}


def test_draws_are_uniform_over_every_decision(space: Space) -> None:
    drawn = [draw_pipeline(space, 3, i) for i in range(N)]
    assert all(space.contains(pipeline) for pipeline in drawn)
    assert_even(Counter(pipeline.method for pipeline in drawn), 4)
    assert_even(Counter(pipeline.model for pipeline in drawn), 3)
    trained = [pipeline for pipeline in drawn if pipeline.method != "head"]
    assert_even(Counter(pipeline.params["batch_size"] for pipeline in trained), 8)
    assert_even(Counter(pipeline.params["epochs"] for pipeline in trained), 10)
    rates = [float(pipeline.params["learning_rate"]) for pipeline in drawn if pipeline.method == "full"]
    low, high = 1e-5, 3e-4
    assert 0.4 < sum(rate < (low * high) ** 0.5 for rate in rates) / len(rates) < 0.6


def test_a_new_hyperparameter_leaves_the_other_draws_alone_but_changes_the_identity(space: Space) -> None:
    part = space.methods["full"]
    grown = replace(part, params={"extra": Float(0.0, 1.0), **part.params})
    other = replace(space, methods={**space.methods, "full": grown})
    for i in range(10):
        params = dict(draw_pipeline(other, 0, i).params)
        params.pop("extra", None)
        assert params == dict(draw_pipeline(space, 0, i).params)
    assert space_id(other) != space_id(space)
    assert space_id(recorded_space()) == space_id(space)


def assert_even(counts: Counter[object], n_choices: int) -> None:
    expected = counts.total() / n_choices
    assert len(counts) == n_choices
    assert all(abs(n - expected) < 5 * expected**0.5 for n in counts.values()), counts
