"""The experience store: lossless, idempotent, concurrent."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from experience_builders import experiences, make_experience, make_profile, make_result
from hypothesis import given, settings
from hypothesis import strategies as st

from xautolm.errors import StoreError
from xautolm.experience.store import ExperienceStore
from xautolm.records import Pipeline, TrialError


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'experience.db'}"


@pytest.fixture
def store(url):
    with ExperienceStore(url) as opened:
        yield opened


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


@settings(max_examples=30, deadline=None)
@given(new=st.lists(experiences, max_size=4, unique_by=lambda e: (e.run_id, e.result.trial_id)))
def test_any_experiences_come_back_in_order(new, tmp_path_factory):
    with ExperienceStore(f"sqlite:///{tmp_path_factory.mktemp('store')}/e.db") as store:
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


def test_tasks_are_kept_once_and_shared_when_loaded(store, tmp_path):
    store.add(make_experience("run-a", trial_id) for trial_id in range(5))
    store.add([make_experience("run-b", 0, profile=make_profile(n_train=200.0))])
    first, *_, last_of_a, other = store.load()
    assert first.profile is last_of_a.profile
    assert first.sketch is last_of_a.sketch
    assert other.profile.task["n_train"] == 200.0
    with sqlite3.connect(tmp_path / "experience.db") as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("tasks", "systems")]
    assert counts == [2, 1]


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


def test_scalar_columns_say_what_the_json_says(store, tmp_path):
    store.add([make_experience(), make_experience("r", 1, result=make_result(1, status="timeout", scores={}))])
    query = (
        "SELECT run_id, trial_id, status, model, method, f1, time_s, dataset_id, "
        "tasks.schema_name, systems.schema_name FROM experiences "
        "JOIN tasks USING (task_id) JOIN systems USING (system_id) ORDER BY experience_id"
    )
    with sqlite3.connect(tmp_path / "experience.db") as connection:
        rows = connection.execute(query).fetchall()
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


def test_no_trace_of_user_text_in_the_database(store, tmp_path):
    marker = "Zanzibar42marker"
    error = TrialError("crashed", f"ValueError: bad row {marker}: '{marker}' in /home/{marker}/x.csv\n{marker}")
    store.add([make_experience(result=make_result(0, status="crashed", scores={}, error=error))])
    store.close()
    for file in tmp_path.iterdir():
        assert b"anzibar" not in file.read_bytes(), file
    (loaded,) = store.load()
    assert loaded.result.error == TrialError("crashed", "ValueError: bad row … in x.csv")


def add_shared_and_own(url: str, number: int, barrier) -> None:
    """One of several processes: creates the store if it is first, adds rows of its own and rows that all add."""
    barrier.wait()
    with ExperienceStore(url) as store:
        for trial_id in range(10):
            store.add([make_experience(f"run-{number}", trial_id), make_experience("shared", trial_id)])


def test_processes_that_add_at_the_same_time_lose_and_double_nothing(url):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=add_shared_and_own, args=(url, number, barrier)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with ExperienceStore(url) as store:
        loaded = store.load()
    keys = sorted((e.run_id, e.result.trial_id) for e in loaded)
    assert keys == sorted((run_id, trial) for run_id in ("run-0", "run-1", "shared") for trial in range(10))


def test_reader_is_not_blocked_by_a_writer(store, tmp_path):
    store.add([make_experience()])
    writer = sqlite3.connect(tmp_path / "experience.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.count() == 1
    writer.execute("ROLLBACK")
    writer.close()


def test_opening_an_up_to_date_store_does_not_load_the_migration_tool(url, store):
    code = (
        "import sys; from xautolm.experience.store import ExperienceStore;"
        f"ExperienceStore({url!r}).load(); loaded = sorted({{'alembic', 'torch'}} & set(sys.modules)); print(loaded)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_store_in_memory_works_for_one_process():
    with ExperienceStore("sqlite://") as store:
        assert store.add([make_experience()]) == 1
        assert store.load() == [make_experience()]
