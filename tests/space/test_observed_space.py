"""A space put together from what was tried."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.records import Pipeline
from xautolm.space.observed import observed_domain, observed_space
from xautolm.space.params import Categorical, Float, Int

values = st.one_of(
    st.booleans(), st.integers(-5, 2000), st.floats(-10, 1e6, allow_nan=False), st.sampled_from(["mean", "first"])
)
pipelines = st.builds(
    Pipeline,
    st.sampled_from(["s", "m"]),
    st.sampled_from(["head", "full"]),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), values),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(pipelines, max_size=40))
def test_every_pipeline_can_be_resolved_in_the_space_that_is_made_of_them(tried: list[Pipeline]) -> None:
    from xautolm.prior.model import SearchModel

    model = SearchModel.uniform(observed_space(tried)) if tried else None
    for pipeline in tried:
        assert model is not None
        resolved = model.resolved(pipeline)
        assert len(resolved) == 2 + len(pipeline.params)


def test_choices_and_ranges_are_told_apart() -> None:
    assert observed_domain(["mean", "first"]) == Categorical(("first", "mean"))
    assert observed_domain([False, True]) == Categorical((False, True))
    assert observed_domain([16]) == Categorical((16,))
    assert observed_domain([32, 64, 128, 256]) == Categorical((32, 64, 128, 256))
    assert observed_domain(list(range(1, 11))) == Int(1, 10)
    assert observed_domain([n**3 for n in range(1, 20)]) == Int(1, 6859, log=True)
    assert observed_domain([1e-5, 1e-4]) == Categorical((1e-5, 1e-4))
    assert observed_domain([10.0**-n for n in range(20)]) == Float(1e-19, 1.0, log=True)
    assert observed_domain([n / 20 for n in range(20)]) == Float(0.0, 0.95)


def test_models_belong_to_their_method() -> None:
    space = observed_space([Pipeline("s", "head", {}), Pipeline("m", "full", {}), Pipeline("l", "full", {})])
    assert {name: part.models for name, part in space.methods.items()} == {"full": ("l", "m"), "head": ("s",)}
    assert observed_space([]).methods == {}
