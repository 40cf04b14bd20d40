"""An exported study in each kind of database: it comes back as it was, and other tables keep it out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from experience_builders import make_experience, make_result, pipelines
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.errors import DataError, UsageError
from xautolm.experience.importers.optuna_storage import opened_for_writing
from xautolm.experience.importers.optuna_study import read
from xautolm.experience.store import ExperienceStore
from xautolm.records import Objective
from xautolm.search.study import study_content, write_study
from xautolm.space.params import Int, MethodSpace, Space

# Optuna makes its tables one by one, which takes a server seconds.
pytestmark = pytest.mark.timeout(60)
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))


@pytest.fixture
def experiences():
    return [make_experience("run-a", trial_id) for trial_id in range(3)]


def write(url, experiences):
    content = study_content(experiences, OBJECTIVES, (), Space({}, {}), {"kind": "text-classification"})
    with opened_for_writing(url) as storage:
        return write_study(content, storage, "reviews", "the storage")


def test_experiences_come_back_and_a_second_study_of_the_name_is_refused(fresh_url, experiences) -> None:
    write(fresh_url, experiences)
    with pytest.raises(UsageError, match="already holds a study 'reviews'"):
        write(fresh_url, [replace(experience, run_id="another") for experience in experiences])
    imported = read(fresh_url)
    assert imported.rejected == []
    assert imported.experiences == experiences


@settings(max_examples=40, deadline=None)
@given(st.lists(pipelines, min_size=1, max_size=5), st.sampled_from(["ok", "oom"]))
def test_pipelines_of_any_kind_can_be_shown(tried, status) -> None:
    experiences = [
        make_experience("run-a", i, result=replace(make_result(i), pipeline=pipeline, status=status))
        for i, pipeline in enumerate(tried)
    ]
    part = MethodSpace(tried[0].method, (tried[0].model,), {name: Int(1, 2) for name in tried[0].params}, {})
    content = study_content(experiences, OBJECTIVES, (), Space({}, {part.method: part}), {})
    study = write_study(content, None, "reviews")
    for trial, pipeline in zip(study.trials, tried, strict=True):
        shown = {name.removeprefix(f"{pipeline.method}."): value for name, value in trial.params.items()}
        assert {name: shown[name] for name in pipeline.params} == pipeline.params


def test_an_experience_store_is_no_place_for_a_study(url, store, experiences) -> None:
    store.add(experiences)
    with pytest.raises(DataError, match="an experience store"):
        write(url, experiences)
    with ExperienceStore(url) as opened:
        assert list(opened.load()) == experiences
