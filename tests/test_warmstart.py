"""What a run believes before its first trial: the first run of a new user is warm, unless it is told not to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from xautolm import planning, preparation, warmstart
from xautolm.config import Settings, make_settings
from xautolm.experience.starter import RECORDED, describe
from xautolm.experience.store import ExperienceStore
from xautolm.metafeatures import build_profile
from xautolm.metafeatures.machine import system_features
from xautolm.prior.evidence import Rated
from xautolm.recording import Silent
from xautolm.records import Prior

EXAMPLE = Path(__file__).parents[1] / "examples" / "data" / "pros_cons.csv"


def prepared(own_store: str, **fields: object) -> tuple[list[Rated], Prior]:
    """What counts for the example data with an empty store, and the prior of it."""
    settings: Settings = make_settings({"data": str(EXAMPLE), "target": "label", "semantic": False, **fields})
    subject = preparation.describe(settings, Silent())
    profile = build_profile(subject.task, system_features("cpu"))
    with ExperienceStore(own_store) as store:
        rated = warmstart.past_trials(settings, store, subject.task, profile)
    return rated, warmstart.make_prior(settings, planning.whole_space(settings, subject), rated, profile)


@pytest.mark.parametrize("kind", ["learned", "reference", "knn"])
def test_the_first_run_of_a_new_user_is_warm(own_store, kind) -> None:
    rated, prior = prepared(own_store, prior=kind)

    assert {item.experience.source for item in rated} == {"starter"}
    distances = [item.distance for item in rated]
    assert distances == sorted(distances)
    assert prior.kind == kind
    assert prior.n_experiences > 0
    assert prior.n_starter == len(rated)
    assert Prior.from_dict(prior.to_dict()).n_starter == len(rated)


@pytest.mark.parametrize("fields", [{"starter": False}, {"prior": "none"}])
def test_a_run_without_the_package_and_with_an_empty_store_is_cold(own_store, fields) -> None:
    rated, prior = prepared(own_store, **fields)

    assert rated == []
    assert (prior.kind, prior.n_experiences) == ("none", 0)


def test_published_evaluations_and_data_sets_can_be_left_out(own_store) -> None:
    rated, _ = prepared(own_store, published=False, exclude_dataset=("trec", "liar"))

    (recorded,) = describe((RECORDED,))
    assert {item.experience.dataset_id for item in rated} == set(recorded.datasets) - {"trec", "liar"}
    assert {item.experience.run_id.partition("-")[0] for item in rated} == {"recorded", "everyday"}
