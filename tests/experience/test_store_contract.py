"""What every experience store does, SQLite or PostgreSQL: lossless, idempotent, concurrent."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest
from experience_builders import experiences, make_experience, make_profile, make_result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql import everything, query

from xautolm.errors import StoreError
from xautolm.experience.store import ExperienceStore
from xautolm.records import Pipeline, TrialError

pytestmark = pytest.mark.timeout(60)  # the first test on PostgreSQL starts the server


def test_experience_comes_back_as_it_was(store):
    full = make_experience(
        result=make_result(
            4,
            status="oom",
            scores={},
            error=TrialError("oom_train", "CUDA out of memory"),
            requested=Pipeline("m", "full", {"batch_size": 64, "learning_rate": 1.0}),
        ),
        profile=make_profile(semantic=(0.1, -0.2), system_name="AMD EPYC 7B13, NVIDIA A100"),
        time_limit_s=90.0,
        memory_limit_mib=2048.5,
    )
    assert store.add([full]) == 1
    (loaded,) = store.load()
    assert loaded == full
    assert type(loaded.result.requested.params["learning_rate"]) is float
    assert (type(loaded.sketch), type(loaded.profile.semantic)) == (tuple, tuple)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=st.lists(experiences, max_size=4, unique_by=lambda e: (e.run_id, e.result.trial_id)))
def test_any_experiences_come_back_in_order(new, emptied):
    with emptied() as url, ExperienceStore(url) as store:
        n_new = store.add(new)
        loaded = store.load(kind=None)
        assert loaded == [experience for experience in new if experience in loaded]
        assert n_new == len(loaded) == store.count()
        assert all(experience in loaded for experience in new if experience.source != "import")
        assert store.add(new) == 0


def test_second_add_changes_nothing(store):
    batch = [make_experience("run-a", 0), make_experience("run-a", 1), make_experience("run-b", 0)]
    assert store.add(batch[:2]) == 2
    assert store.add(iter(batch)) == 1
    assert store.add([*batch, *batch]) == 0
    assert store.load() == batch


def test_first_result_of_a_trial_stays(store):
    first, second = make_experience(), make_experience(result=make_result(0, scores={"f1": 0.1}))
    assert store.add([first, second]) == 1
    assert store.add([second]) == 0
    assert store.load() == [first]


def test_imported_content_is_added_once_whatever_its_numbers(store):
    imported = make_experience("import-1", 0, source="import")
    again = replace(imported, run_id="import-2", result=make_result(9), created_at="2027-01-01T00:00:00+00:00")
    assert store.add([imported]) == 1
    assert store.add([again]) == 0
    assert store.add([replace(again, source="machine")]) == 1


def test_own_trials_with_equal_content_are_all_kept(store):
    assert store.add(make_experience(f"run-{n}", 0) for n in range(3)) == 3


def test_nothing_to_add(store):
    assert store.add([]) == 0
    assert store.load() == []


def test_tasks_are_kept_once_and_shared_when_loaded(store, url):
    store.add(make_experience("run-a", trial_id) for trial_id in range(5))
    store.add([make_experience("run-b", 0, profile=make_profile(n_train=200.0))])
    first, *_, last_of_a, other = store.load()
    assert first.profile is last_of_a.profile
    assert first.sketch is last_of_a.sketch
    assert other.profile.task["n_train"] == 200.0
    assert [query(url, f"SELECT count(*) FROM {name}") for name in ("tasks", "systems")] == [[(2,)], [(1,)]]


def test_load_chooses_kind_and_leaves_out_datasets(store):
    store.add(
        [
            make_experience("r", 0, dataset_id="liar"),
            make_experience("r", 1, dataset_id="sst2"),
            make_experience("r", 2, dataset_id="trec"),
            make_experience("r", 3, kind="multi-label", dataset_id="tags"),
        ]
    )
    assert [e.dataset_id for e in store.load(exclude_datasets=("liar", "trec"))] == ["sst2"]
    assert [e.dataset_id for e in store.load(kind="multi-label")] == ["tags"]
    assert [e.dataset_id for e in store.load(kind=None)] == ["liar", "sst2", "trec", "tags"]
    assert store.count() == 4


def test_scalar_columns_say_what_the_json_says(store, url):
    store.add([make_experience(), make_experience("r", 1, result=make_result(1, status="timeout", scores={}))])
    rows = query(
        url,
        "SELECT run_id, trial_id, status, model, method, f1, time_s, dataset_id, "
        "tasks.schema_name, systems.schema_name FROM experiences "
        "JOIN tasks USING (task_id) JOIN systems USING (system_id) ORDER BY experience_id",
    )
    shared = ("all-MiniLM-L6-v2@3", "lora")
    named = ("reviews", "classification/1", "system/1")
    assert rows == [
        ("run-a", 0, "ok", *shared, 0.8125, 12.5, *named),
        ("r", 1, "timeout", *shared, None, 12.5, *named),
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (make_experience(result=make_result(0, scores={"f1": float("nan")})), "finite JSON values, but trial 0 of"),
        (make_experience(profile=make_profile(n_train=float("inf"))), "finite JSON values"),
        (make_experience(profile=make_profile(semantic=(float("-inf"),))), "finite JSON values"),
        (make_experience(time_limit_s=float("inf")), "`time_limit_s` must be finite or None"),
        (make_experience(dataset_id="file\udcff"), "finite JSON values"),
        (make_experience(dataset_id="a\0b"), "NUL"),
        (make_experience(result=make_result(2**31)), "`trial_id` must be an integer from 0"),
        (make_experience(versions={"torch": object()}), "finite JSON values"),
    ],
)
def test_value_that_cannot_be_kept_refuses_the_whole_batch(store, bad, message):
    good = make_experience("good", 0)
    store.add([make_experience("before", 0)])
    with pytest.raises(StoreError, match=message):
        store.add([good, bad])
    assert [e.run_id for e in store.load()] == ["before"]


def test_no_trace_of_user_text_in_the_database(store, url, tmp_path):
    marker = "Zanzibar42marker"
    error = TrialError("crashed", f"ValueError: bad row {marker}: '{marker}' in /home/{marker}/x.csv\n{marker}")
    store.add([make_experience(result=make_result(0, status="crashed", scores={}, error=error))])
    store.close()
    assert "anzibar" not in everything(url)
    assert not any(b"anzibar" in file.read_bytes() for file in tmp_path.iterdir())
    (loaded,) = store.load()
    assert loaded.result.error == TrialError("crashed", "ValueError: bad row … in x.csv")


def add_shared_and_own(url: str, number: int, n_trials: int, barrier) -> None:
    """One of several processes: creates the store if it is first, adds rows of its own and rows that all add."""
    barrier.wait()
    with ExperienceStore(url, busy_timeout_s=60.0) as store:
        for trial_id in range(n_trials):
            store.add([make_experience(f"run-{number}", trial_id), make_experience("shared", trial_id)])


@pytest.mark.parametrize(
    ("n_processes", "n_trials"),
    [(2, 10), pytest.param(8, 500, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
)
def test_processes_that_add_at_the_same_time_lose_and_double_nothing(fresh_url, n_processes, n_trials):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(n_processes)
    processes = [
        context.Process(target=add_shared_and_own, args=(fresh_url, number, n_trials, barrier))
        for number in range(n_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * n_processes
    with ExperienceStore(fresh_url) as store:
        keys = [(e.run_id, e.result.trial_id) for e in store.iterate()]
    runs = ["shared", *(f"run-{number}" for number in range(n_processes))]
    assert sorted(keys) == sorted((run_id, trial_id) for run_id in runs for trial_id in range(n_trials))
