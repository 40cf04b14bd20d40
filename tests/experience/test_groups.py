"""Experiences by task and machine, the nearest loaded first; reading a store piece by piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
from experience_builders import make_experience, make_profile, make_result

from xautolm.experience import store as store_module

LAPTOP = make_profile()
SERVER = make_profile(system={"ram_gib": 512.0}, system_name="AMD EPYC 7B13")


pytestmark = pytest.mark.timeout(60)  # the first test on PostgreSQL starts the server


def on(profile, run_id, *trial_ids, **changes):
    return [make_experience(run_id, trial_id, profile=profile, **changes) for trial_id in trial_ids]


def test_a_group_is_one_task_on_one_machine_and_counts_its_experiences(store):
    failed = make_experience("a", 2, result=make_result(2, status="oom", scores={}), profile=LAPTOP)
    store.add([*on(LAPTOP, "a", 0, 1), failed, *on(SERVER, "b", 0), *on(LAPTOP, "c", 0, dataset_id="other")])
    groups = store.groups()
    assert [(g.dataset_id, g.profile, g.n_experiences, g.n_ok) for g in groups] == [
        ("reviews", LAPTOP, 3, 2),
        ("reviews", SERVER, 1, 1),
        ("other", LAPTOP, 1, 1),
    ]
    first, second, _ = groups
    assert (first.kind, first.fingerprint, first.sketch) == (
        "text-classification",
        "f" * 64,
        tuple(store.load()[0].sketch),
    )
    assert first.task_id == second.task_id
    assert first.sketch is second.sketch


def test_groups_of_a_kind_without_some_datasets(store):
    store.add(
        [*on(LAPTOP, "a", 0, dataset_id="liar"), *on(LAPTOP, "b", 0, dataset_id="trec"), *on(LAPTOP, "c", 0, kind="qa")]
    )
    assert [g.dataset_id for g in store.groups("text-classification", exclude_datasets=["liar"])] == ["trec"]
    assert [g.kind for g in store.groups("qa")] == ["qa"]
    assert len(store.groups()) == 3
    assert store.groups("unheard-of") == []


def test_groups_are_loaded_in_the_order_given_and_newest_first_up_to_the_limit(store):
    near, far, other = on(LAPTOP, "near", 0, 1, 2), on(SERVER, "far", 0, 1), on(LAPTOP, "x", 0, dataset_id="other")
    store.add([*far, *near, *other])
    by_name = {(g.dataset_id, g.profile.system_name): g for g in store.groups()}
    wanted = [by_name["reviews", ""], by_name["reviews", "AMD EPYC 7B13"]]
    assert store.load_groups(wanted) == [*reversed(near), *reversed(far)]
    assert store.load_groups(wanted, limit=4) == [*reversed(near), far[1]]
    assert store.load_groups(wanted, limit=2) == [near[2], near[1]]
    assert store.load_groups(wanted, limit=0) == store.load_groups([]) == []


def test_loaded_groups_share_profile_and_sketch(store):
    store.add(on(LAPTOP, "a", 0, 1))
    (group,) = store.groups()
    first, second = store.load_groups([group])
    assert first.profile is second.profile is group.profile
    assert first.sketch is second.sketch is group.sketch


def test_iterating_gives_what_load_gives_page_by_page(store, monkeypatch):
    monkeypatch.setattr(store_module, "PAGE_ROWS", 2)
    added = [*on(LAPTOP, "a", 0, 1, 2), *on(SERVER, "b", 0, kind="qa"), *on(SERVER, "b", 1)]
    store.add(added)
    assert list(store.iterate()) == added
    assert list(store.iterate("qa")) == [added[3]]
    assert list(store.iterate("unheard-of")) == []


def test_the_store_can_be_written_while_it_is_iterated(store, monkeypatch):
    monkeypatch.setattr(store_module, "PAGE_ROWS", 1)
    first = on(LAPTOP, "a", 0, 1)
    store.add(first)
    walk = store.iterate()
    assert next(walk) == first[0]
    assert store.add([replace(first[0], run_id="later")]) == 1
    assert [e.run_id for e in walk] == ["a", "later"]
