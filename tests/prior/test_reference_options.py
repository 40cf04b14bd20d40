"""The options of the warm start: utilities, rates, decay, defects one by one, and the published configurations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from xautolm.prior.evidence import Rated, rate
from xautolm.prior.model import SearchModel
from xautolm.prior.presets import PRESETS, Configuration
from xautolm.prior.published import RawChoice
from xautolm.prior.reference import (
    BLAMES_ALL,
    DEFECTS,
    F1_AND_TIME,
    POOLS_FRONTS,
    REINFORCES_NOISE,
    ReferenceOptions,
    build_reference_prior,
    decay,
    weighed,
)
from xautolm.prior.utility import Utility, utilities
from xautolm.records import Experience, Pipeline, Profile
from xautolm.space.params import Space

MakePipeline = Callable[..., Pipeline]
MakeExperience = Callable[..., Experience]
MakeProfile = Callable[..., Profile]
Rate = Callable[[list[Experience]], list[Rated]]


@pytest.fixture
def rated(profile: MakeProfile) -> Rate:
    def run(experiences: list[Experience]) -> list[Rated]:
        return rate(experiences, profile(), "fp-mine", (), ReferenceOptions().distance)

    return run


@pytest.fixture
def mixed(pipeline: MakePipeline, experience: MakeExperience) -> list[Experience]:
    """Six successes and four failures of one task."""
    good = [experience(pipeline("s", epochs=e), f1=0.9 - e / 20, time_s=30.0 - e) for e in range(1, 7)]
    return [*good, *(experience(pipeline("l", epochs=e), status="oom") for e in range(1, 5))]


def alphas(rated: list[Rated], **options: object) -> tuple[list[float], list[float]]:
    """Rates of the successes and of the failures."""
    evidence = weighed(rated, ReferenceOptions(beta_scale=0.0, **options))  # type: ignore[arg-type]
    return [e.alpha for e in evidence if e.is_positive], [e.alpha for e in evidence if not e.is_positive]


def test_fixed_rates_do_not_depend_on_how_many_there_are(rated: Rate, mixed: list[Experience]) -> None:
    fixed = {"positive_mass": math.inf, "negative_mass": math.inf}
    positive, negative = alphas(rated(mixed * 5), **fixed)
    assert len(positive) == 30
    assert max(positive) <= 0.05
    assert set(negative) == {-0.02}


def test_adaptive_rates_share_a_mass(rated: Rate, mixed: list[Experience]) -> None:
    adaptive = {"max_positive_alpha": math.inf, "max_negative_alpha": math.inf}
    positive, negative = alphas(rated(mixed), **adaptive)
    assert sum(negative) == pytest.approx(-1.0)
    assert max(positive) <= 1 / 6
    assert sum(positive) < 1.0
    by_front, _ = alphas(rated(mixed), utility="linear_front", **adaptive)
    assert max(by_front) == pytest.approx(1 / 6)  # the first front has utility 1


def test_a_given_beta_overrules_the_scale() -> None:
    assert decay(np.array([2.0]), 0.5, beta=1.0)[0] == pytest.approx(math.exp(-2.0))
    assert decay(np.array([1.0, 3.0]), 0.5) == pytest.approx(np.exp(-0.5 / 3.0 * np.array([1.0, 3.0])))


@pytest.mark.parametrize(
    ("utility", "expected"),
    [
        ("weighted_sum", (0.5, 0.5, 0.25)),
        ("linear_front", (1.0, 1.0, 0.5)),
        ("logarithmic_front", (1.0, 1.0, math.log(2) / math.log(3))),
    ],
)
def test_utilities_of_two_good_trials_and_a_dominated_one(
    utility: Utility, expected: tuple[float, ...], pipeline: MakePipeline, experience: MakeExperience
) -> None:
    made = [experience(pipeline(epochs=e), f1=f1, time_s=t) for e, f1, t in ((1, 0.9, 30), (2, 0.5, 10), (3, 0.5, 20))]
    found = utilities(made, F1_AND_TIME, (0.5, 0.5), utility)
    assert [found[id(e)] for e in made] == pytest.approx(expected)


def test_pooled_fronts_mix_tasks(pipeline: MakePipeline, experience: MakeExperience) -> None:  # defect 8
    easy = experience(pipeline(epochs=1), f1=0.95, time_s=5.0, dataset="easy")
    hard = experience(pipeline(epochs=2), f1=0.30, time_s=50.0, dataset="hard")
    apart = utilities([easy, hard], F1_AND_TIME, (0.5, 0.5), "linear_front")
    pooled = utilities([easy, hard], F1_AND_TIME, (0.5, 0.5), "linear_front", is_pooled=True)
    assert (apart[id(easy)], apart[id(hard)]) == (1.0, 1.0)
    assert (pooled[id(easy)], pooled[id(hard)]) == (1.0, 0.5)


def test_a_bug_speaks_against_everything_only_with_defect_6(
    space: Space, rated: Rate, pipeline: MakePipeline, experience: MakeExperience
) -> None:
    bug = rated([experience(pipeline("l", batch_size=32), status="crashed", kind="bug")])
    assert build_reference_prior(space, bug, ReferenceOptions()).n_experiences == 0
    prior = build_reference_prior(space, bug, ReferenceOptions(defects=frozenset({BLAMES_ALL})))
    assert prior.model is not None
    moved = SearchModel.from_dict(prior.model)
    assert moved.log_probability(pipeline("l", batch_size=32)) < moved.log_probability(pipeline("s", batch_size=8))


def test_unknown_decisions_are_reinforced_at_random_only_with_defect_4(
    space: Space, rated: Rate, experience: MakeExperience
) -> None:
    stranger = rated([experience(Pipeline("bert-large", "full", {"batch_size": 8})) for _ in range(3)])
    quiet = build_reference_prior(space, stranger, ReferenceOptions(default_share=0.0))
    noisy = build_reference_prior(
        space, stranger, ReferenceOptions(default_share=0.0, defects=frozenset({REINFORCES_NOISE}))
    )
    assert quiet.model is not None
    assert noisy.model is not None
    cold = SearchModel.uniform(space).beliefs["full.model"]
    assert SearchModel.from_dict(quiet.model).beliefs["full.model"] == cold
    assert SearchModel.from_dict(noisy.model).beliefs["full.model"] != cold
    again = ReferenceOptions(default_share=0.0, defects=frozenset({REINFORCES_NOISE}))
    assert build_reference_prior(space, stranger, again) == noisy


def test_fixed_failures_with_all_defects_drive_weights_below_zero(
    space: Space, rated: Rate, pipeline: MakePipeline, experience: MakeExperience
) -> None:  # defects 1 and 2
    failures = rated([experience(pipeline("l"), status="oom") for _ in range(60)])
    prior = build_reference_prior(space, failures, Configuration("none", "fixed").options())
    assert prior.model is not None
    belief = SearchModel.from_dict(prior.model).beliefs["full.model"]
    assert isinstance(belief, RawChoice)
    assert min(belief.weights) < 0
    assert prior.starts == ()


def test_an_unknown_defect_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        ReferenceOptions(defects=frozenset({99}))


def test_every_published_configuration_is_there() -> None:
    assert len(PRESETS) == 3 * 3 * 4 + 2 * 3
    for column in ("liar", "median", "max"):
        for level in ("low", "moderate", "high"):
            for dataset in ("liar", "sst2", "meld", "ag_news"):
                assert (column, level, dataset) in PRESETS
    high = PRESETS["liar", "high", "meld"].options()
    assert (high.max_positive_alpha, high.max_negative_alpha, high.beta_scale) == (0.05, 0.02, 0.0)
    assert (high.positive_mass, high.defects, high.n_starts) == (math.inf, DEFECTS, 0)
    assert PRESETS["median", "high", "liar"].options().k_positive == 0
    assert POOLS_FRONTS in high.defects


def test_no_neg_ran_with_fixed_failures() -> None:
    preset = PRESETS["median", "moderate", "meld"]
    assert preset.options().max_negative_alpha == 0.02
    assert preset.options().k_negative is None
    assert preset.options(as_intended=True).k_negative == 0


def test_presets_run_on_real_evidence(space: Space, rated: Rate, mixed: list[Experience]) -> None:
    far = [replace(e, run_id="run-far", dataset_id="far", fingerprint="fp-far") for e in mixed]
    for preset in set(PRESETS.values()):
        for defects in (DEFECTS, frozenset[int]()):
            prior = build_reference_prior(space, rated([*mixed, *far]), preset.options(defects=defects))
            assert prior.kind == "reference"
            assert prior.model is not None
            SearchModel.from_dict(prior.model).sample(np.random.default_rng(0))
