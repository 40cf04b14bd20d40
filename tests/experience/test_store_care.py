"""Looking into a store, removing from it, and finding damage in it; on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from experience_builders import make_experience, make_profile, make_result
from sql import query

from xautolm.errors import UsageError
from xautolm.experience.integrity import CHANGED, Problem, check
from xautolm.experience.overview import best_of, count_statuses, datasets, overview
from xautolm.experience.pruning import Rule, prune
from xautolm.experience.store import ExperienceStore
from xautolm.records import TrialError

pytestmark = pytest.mark.timeout(60)  # the first test on PostgreSQL starts the server

NAMED = make_profile(system_name="AMD EPYC")


def failed(run_id, trial_id, **changes):
    result = make_result(trial_id, status="oom", scores={}, error=TrialError("oom_train", "CUDA out of memory"))
    return make_experience(run_id, trial_id, result=result, **changes)


def scored(run_id, trial_id, f1, **changes):
    return make_experience(run_id, trial_id, result=make_result(trial_id, scores={"f1": f1}), **changes)


SOME = [
    scored("a", 0, 0.5),
    scored("a", 1, 0.9, created_at="2026-03-01T00:00:00+00:00"),
    failed("a", 2),
    scored("b", 0, 0.7, profile=NAMED, source="starter", created_at="2025-01-01T00:00:00"),
    scored("c", 0, 0.6, dataset_id="trec", kind="multi-label", source="import", created_at="last Tuesday"),
]


@pytest.fixture
def filled(store):
    store.add(SOME)
    return store


def test_overview_counts_everything(filled):
    found = overview(filled)
    assert (found.n_experiences, found.n_tasks, found.n_datasets, found.schema) == (5, 2, 2, "0002")
    assert found.kinds == {"text-classification": 4, "multi-label": 1}
    assert found.statuses == {"ok": 4, "oom": 1}
    assert found.sources == {"machine": 3, "import": 1, "starter": 1}
    assert found.machines == {"": 4, "AMD EPYC": 1}
    assert found.models == {"all-MiniLM-L6-v2@3": 5}
    assert (found.oldest, found.newest) == ("2025-01-01T00:00:00", "last Tuesday")
    assert found.size_bytes > 10_000


def test_overview_of_an_empty_store(store):
    found = overview(store)
    assert (found.n_experiences, found.kinds, found.oldest) == (0, {}, None)
    assert datasets(store) == []


def test_datasets_are_listed_with_their_best_score(filled):
    first, second = datasets(filled)
    assert (first.dataset_id, first.n_experiences, first.n_ok, first.best_f1, first.n_machines) == (
        "reviews",
        4,
        3,
        0.9,
        2,
    )
    assert (second.dataset_id, second.kind, second.best_f1) == ("trec", "multi-label", 0.6)


def test_the_best_experiences_of_a_dataset_come_first(filled):
    best = best_of(filled, "reviews", limit=2)
    assert [row["f1"] for row in best] == [0.9, 0.7]
    assert filled.get(best[0]["experience_id"]) == SOME[1]
    assert count_statuses(filled, "reviews") == {"ok": 3, "oom": 1}


def test_an_experience_is_found_by_its_number_only(filled):
    assert [filled.get(number) for number in (1, 5)] == [SOME[0], SOME[4]]
    assert [filled.get(number) for number in (0, -1, 6, 10**12)] == [None] * 4


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (Rule(older_than=datetime(2025, 6, 1, tzinfo=UTC)), [0, 1, 2, 4]),
        (Rule(older_than=datetime(2030, 1, 1, tzinfo=UTC)), [4]),
        (Rule(datasets=["trec", "unheard-of"]), [0, 1, 2, 3]),
        (Rule(source="starter"), [0, 1, 2, 4]),
        (Rule(datasets=["reviews"], source="machine"), [3, 4]),
        (Rule(keep=1), [2, 3, 4]),
        (Rule(datasets=["reviews"], keep=2), [1, 2, 3, 4]),
    ],
)
def test_pruning_removes_what_the_rule_says_and_nothing_else(filled, rule, left):
    expected = [SOME[i] for i in left]
    removed = prune(filled, rule, is_rehearsal=True)
    assert filled.load(kind=None) == SOME
    assert prune(filled, rule) == removed
    assert sum(removed.values()) == len(SOME) - len(left)
    assert filled.load(kind=None) == expected
    assert prune(filled, rule) == {}


def test_pruning_removes_tasks_and_machines_that_nothing_refers_to(filled, url):
    prune(filled, Rule(datasets=["trec"]))
    prune(filled, Rule(source="starter"))
    assert query(url, "SELECT dataset_id FROM tasks") == [("reviews",)]
    assert query(url, "SELECT name FROM systems") == [("",)]


def test_a_rule_without_a_condition_is_refused():
    with pytest.raises(UsageError, match="say what to remove"):
        Rule()
    with pytest.raises(UsageError, match="must not be negative"):
        Rule(source="machine", keep=-1)


def test_nothing_of_a_pruned_data_set_stays_in_the_file(tmp_path):
    with ExperienceStore(f"sqlite:///{tmp_path / 'e.db'}") as store:
        store.add([make_experience("a", 0), make_experience("b", 0, dataset_id="Zanzibar42")])
        prune(store, Rule(datasets=["Zanzibar42"]))
        assert not any(b"anzibar42" in file.read_bytes() for file in tmp_path.iterdir())
        assert store.count() == 1


def test_numbers_of_pruned_experiences_are_never_given_again(filled):
    prune(filled, Rule(datasets=["trec"]))
    filled.add([make_experience("new", 0)])
    assert filled.get(5) is None
    assert filled.get(6).run_id == "new"


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_sound_store_has_no_problems(filled):
    assert list(check(filled)) == []


@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        (
            "UPDATE experiences SET f1 = 0.99 WHERE experience_id = 1",
            [("experience 1", "says something else in f1 than in `result`")],
        ),
        (
            "UPDATE experiences SET result = '[1]' WHERE experience_id = 2",
            [("experience 2", "cannot be read (TypeError: list indices must be integers or slices, not str)")],
        ),
        ("UPDATE experiences SET model_revision = 'forged' WHERE experience_id = 3", [("experience 3", CHANGED)]),
        (
            "UPDATE tasks SET dataset_id = 'forged' WHERE dataset_id = 'trec'",
            [("task 2", CHANGED), ("experience 5", CHANGED)],
        ),
        ("UPDATE systems SET name = 'forged' WHERE name = 'AMD EPYC'", [("system 2", CHANGED)]),
    ],
)
def test_what_was_changed_afterwards_is_found(filled, url, statement, problems):
    execute(url, statement)
    assert list(check(filled)) == [Problem(*problem) for problem in problems]


def test_damage_that_only_sqlite_lets_in_is_found(tmp_path):
    with ExperienceStore(f"sqlite:///{tmp_path / 'e.db'}") as store:
        store.add(SOME)
        connection = sqlite3.connect(tmp_path / "e.db")
        with connection:
            connection.execute("UPDATE experiences SET result = '{\"x\": NaN' WHERE experience_id = 1")
            connection.execute("UPDATE tasks SET sketch = '{' WHERE dataset_id = 'trec'")
            connection.execute("UPDATE experiences SET system_id = 77 WHERE experience_id = 3")
        connection.close()
        found = {problem.where: problem.what for problem in check(store)}
    assert found.keys() == {"experience 1", "experience 3", "task 2"}
    assert found["experience 3"] == "refers to nothing in `systems`"
    assert "cannot be read" in found["experience 1"]


def test_a_damaged_page_is_found(tmp_path):
    path = tmp_path / "e.db"
    with ExperienceStore(f"sqlite:///{path}") as store:
        store.add(make_experience(f"r{n}", n) for n in range(200))
        execute(f"sqlite:///{path}", "PRAGMA wal_checkpoint(TRUNCATE)")
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_experiences_status'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 8 : (page - 1) * 4096 + 40] = b"\xff" * 32
    path.write_bytes(content)
    with ExperienceStore(f"sqlite:///{path}") as store:
        assert "database" in {problem.where for problem in check(store)}
