"""Experiences that come with the package: real, without any text, and beside the user's own."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from experience_builders import make_experience, make_result

from benchmarks.starter import without_texts
from xautolm.errors import DataError, StoreError
from xautolm.experience import starter
from xautolm.experience.starter import PARTS, PUBLISHED, RECORDED, Starter, Together, describe, read_part
from xautolm.experience.store import ExperienceStore
from xautolm.records import Pipeline, TrialError


def texts_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


@pytest.mark.parametrize("part", PARTS)
def test_nothing_in_the_package_may_be_a_text(part) -> None:
    with gzip.open(starter.part_file(part), "rt", encoding="utf-8") as file:
        texts = {text for line in file for text in texts_of(json.loads(line))}

    assert texts
    assert [text for text in texts if any(char.isspace() for char in text)] == []
    assert max(map(len, texts)) <= 120


@pytest.mark.parametrize("part", PARTS)
def test_every_experience_of_the_package_is_one_that_a_store_takes(part, own_store) -> None:
    experiences = read_part(part)
    with ExperienceStore(own_store) as store:
        assert store.add(experiences) == len(experiences) > 0
    assert {experience.source for experience in experiences} == {"starter"}


def test_both_parts_hold_successes_and_failures() -> None:
    recorded, published = describe()

    assert (recorded.part, published.part) == (RECORDED, PUBLISHED)
    assert {"sst2", "trec", "ag_news", "liar", "meld"} <= set(recorded.datasets)
    assert set(published.datasets) == {"liar", "meld", "ag_news", "squad"}
    for part in (recorded, published):
        assert sum(part.statuses.values()) == part.n_experiences == sum(part.datasets.values())
        assert {"ok", "oom", "timeout"} <= set(part.statuses)


def test_groups_can_be_chosen_as_those_of_a_store() -> None:
    package = Starter()

    assert {group.kind for group in package.groups()} == {"text-classification", "question-answering"}
    assert {group.dataset_id for group in package.groups("question-answering")} == {"squad"}
    assert "liar" not in {group.dataset_id for group in package.groups(exclude_datasets=["liar"])}
    assert {group.dataset_id for group in Starter([RECORDED]).groups()}.isdisjoint({"squad"})
    for group in package.groups():
        members = package.load_groups([group])
        assert len(members) == group.n_experiences
        assert sum(member.result.is_ok for member in members) == group.n_ok


def test_the_experiences_of_a_group_come_last_first() -> None:
    package = Starter([RECORDED])
    first = package.groups()[0]

    numbers = [experience.result.trial_id for experience in package.load_groups([first])]

    assert numbers == sorted(numbers, reverse=True)


def test_a_store_and_the_package_are_read_in_the_order_that_is_asked_for(own_store) -> None:
    own = make_experience(dataset_id="own")
    with ExperienceStore(own_store) as store:
        store.add([own])
        together = Together(store, Starter([RECORDED]))
        mine, *theirs = together.groups("text-classification")

        assert mine.dataset_id == "own"
        loaded = together.load_groups([theirs[0], mine, theirs[1]])
        assert [e.dataset_id for e in loaded].index("own") == theirs[0].n_experiences
        assert len(loaded) == theirs[0].n_experiences + 1 + theirs[1].n_experiences
        assert len(together.load_groups([theirs[0], mine, theirs[1]], theirs[0].n_experiences + 1)) == (
            theirs[0].n_experiences + 1
        )
        assert together.load_groups([mine, theirs[0]], 1)[0].dataset_id == "own"


def test_either_may_be_missing(own_store) -> None:
    assert Together(None, None).groups() == []
    assert len(Together(None, Starter()).groups()) == len(Starter().groups())
    with ExperienceStore(own_store) as store:
        assert Together(store, None).groups() == []


def test_a_damaged_package_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(starter, "FOLDER", tmp_path)
    read_part.cache_clear()
    try:
        with pytest.raises(StoreError, match="--no-starter"):
            read_part(RECORDED)
        (tmp_path / f"{RECORDED}.jsonl.gz").write_bytes(b"nonsense")
        with pytest.raises(StoreError, match="--no-starter"):
            read_part(RECORDED)
    finally:
        read_part.cache_clear()


def test_a_text_that_would_get_into_the_package_is_refused() -> None:
    experience = make_experience()
    pipeline = Pipeline("bert", "full", {"prompt": "Is this good?"})
    with pytest.raises(DataError, match="numbers and names"):
        list(without_texts([replace(experience, result=replace(experience.result, pipeline=pipeline))]))


def test_error_messages_and_names_of_machines_stay_out() -> None:
    failure = TrialError("oom_train", "CUDA out of memory. Tried to allocate 200.00 MiB.")
    experience = make_experience(result=make_result(status="oom", scores={}, error=failure))
    named = replace(experience, profile=replace(experience.profile, system_name="Anna's laptop"))

    (bare,) = without_texts([named])

    assert bare.profile.system_name == ""
    assert bare.result.error == TrialError("oom_train", "")
