from pathlib import Path
from typing import Any

import pytest
from recording_fixtures import accept_limits, make_result, make_session

from benchmarks.recorded import COLUMNS, Row, load_table, result_of, row_of, to_experiences
from benchmarks.recording.ledger import Ledger, read_rows
from benchmarks.recording.provenance import row_facts
from benchmarks.recording.subsets import SubsetSize, load_subset
from xautolm.errors import UsageError
from xautolm.space.feasibility import Limits
from xautolm.space.params import Space


@pytest.fixture
def facts(tmp_path: Path, space: Space) -> Row:
    session = make_session(tmp_path, space)
    task = load_subset(session.data, "trec", SubsetSize(12, 6))
    measured = {"model_revision": "abc", "load_1m": 1.5}
    return {**row_facts(space, task, Limits(60.0, 2000.0), 0), **measured}


def fill(ledger: Ledger, facts: Row, indices: Any) -> None:
    for index in indices:
        status = "timeout" if index % 3 == 0 else "ok"
        ledger.add(row_of(make_result(index, time_s=1.0 + index, status=status), facts))


def test_a_row_has_every_column_and_gives_the_trial_back(facts: Row) -> None:
    for result in (make_result(3), make_result(4, status="timeout")):
        row = row_of(result, facts)
        assert set(row) == set(COLUMNS)
        assert result_of(row) == result


def test_shards_appear_with_every_ten_pipelines_and_load_as_they_were(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(1, 13))
        assert not list(table.glob("*.parquet"))
        fill(ledger, facts, [0])
    assert [path.name for path in table.glob("*.parquet")] == ["trec-000.parquet"]
    frame = load_table("trec", table)
    assert frame["pipeline"].tolist() == list(range(10))
    written = [make_result(i, time_s=1.0 + i, status="timeout" if i % 3 == 0 else "ok") for i in range(10)]
    assert [result_of(row) for row in frame.to_dict("records")] == written
    assert len(load_table("sst2", table)) == 0
    assert sorted(read_rows(table, "trec", 0)) == list(range(13))


def test_journal_keeps_only_what_no_shard_has(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(12))
    assert (table / ".partial-trec.jsonl").read_text().count("\n") == 2


def test_torn_last_line_is_cut_off_and_its_pipeline_is_missing_again(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(4))
    journal = table / ".partial-trec.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    with Ledger(table, "trec", 0) as ledger:
        assert sorted(ledger.rows) == [0, 1, 2]
        fill(ledger, facts, range(3, 10))
    assert load_table("trec", table)["pipeline"].tolist() == list(range(10))


def test_kill_between_shard_and_journal_doubles_nothing(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(9))
        before = (table / ".partial-trec.jsonl").read_bytes()
        fill(ledger, facts, [9])
    (table / ".partial-trec.jsonl").write_bytes(before)
    with Ledger(table, "trec", 0) as ledger:
        assert sorted(ledger.rows) == list(range(10))
        fill(ledger, facts, [10])
    assert load_table("trec", table)["pipeline"].tolist() == list(range(10))


def test_damaged_line_is_named(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(2))
    journal = table / ".partial-trec.jsonl"
    journal.write_bytes(b"{oops\n" + journal.read_bytes())
    with pytest.raises(UsageError, match="line 1 of"):
        Ledger(table, "trec", 0)


def test_a_task_is_recorded_by_one_process_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path, "trec", 0), pytest.raises(UsageError, match="another process is recording 'trec'"):
        Ledger(tmp_path, "trec", 0)
    with Ledger(tmp_path, "trec", 0), Ledger(tmp_path, "sst2", 0), Ledger(tmp_path, "trec", 1):
        pass


def test_repeats_with_another_seed_have_files_of_their_own(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "shards"
    for seed in (0, 1):
        with Ledger(table, "trec", seed) as ledger:
            assert not ledger.rows
            fill(ledger, {**facts, "table_seed": seed}, range(10))
    assert sorted(path.name for path in table.glob("*.parquet")) == ["trec-000.parquet", "trec-seed1-000.parquet"]
    assert load_table("trec", table)["table_seed"].tolist() == [0] * 10 + [1] * 10


def test_table_becomes_experiences_with_the_profile_of_their_task(tmp_path: Path, facts: Row) -> None:
    table = tmp_path / "table"
    with Ledger(table, "trec", 0) as ledger:
        fill(ledger, facts, range(10))
    experiences = to_experiences(load_table(folder=table), table)
    assert [experience.result.trial_id for experience in experiences] == list(range(10))
    first = experiences[0]
    assert (first.dataset_id, first.source, first.fingerprint) == ("trec", "starter", facts["fingerprint"])
    assert first.profile.task["n_train"] == 12
    assert first.profile.system["logical_cores"] >= 1
    assert len(first.sketch) == 18


def test_experiences_need_the_profile_of_the_recorded_subset(tmp_path: Path, space: Space, facts: Row) -> None:
    session = make_session(tmp_path, space)
    with Ledger(session.table, "trec", 0) as ledger:
        fill(ledger, {**facts, "fingerprint": "other"}, range(10))
    accept_limits(session, "trec")
    with pytest.raises(UsageError, match=r"profile of the recorded subset of 'trec'"):
        to_experiences(load_table(folder=session.table), session.table)
