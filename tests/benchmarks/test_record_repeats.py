"""Recorded pipelines once more: alone, and with other seeds."""

from pathlib import Path

import pytest
from recording_fixtures import CountingBackend, make_session

from benchmarks.record import main
from benchmarks.recorded import load_table, read_shard
from benchmarks.recording.card import card
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.repeats import AGAIN, ALONE, compare_again, compare_alone, read_repeats, repeat_task
from benchmarks.recording.session import Session, record_task
from xautolm.errors import UsageError
from xautolm.records import Trial
from xautolm.space.params import Space


class KilledError(BaseException):
    """Stands for a signal that ends the process."""


def recorded_session(tmp_path: Path, space: Space) -> Session:
    session = make_session(tmp_path, space)
    record_task(session, "trec", range(20))
    return session


def test_alone_repeats_the_first_that_worked_with_their_own_seeds(tmp_path: Path, space: Space) -> None:
    session = recorded_session(tmp_path, space)
    recorded = read_rows(session.table, "trec", 0)
    assert repeat_task(session, "trec", 4, ALONE) == 4
    rows = read_shard(session.table / "repeats" / "trec-alone.parquet")
    expected = [index for index in sorted(recorded) if recorded[index]["status"] == "ok"][:4]
    assert [row["pipeline"] for row in rows] == expected
    for row in rows:
        table_row = recorded[row["pipeline"]]
        assert (row["seed"], row["pipeline_key"]) == (table_row["seed"], table_row["pipeline_key"])


def test_again_repeats_with_two_more_seeds_each(tmp_path: Path, space: Space) -> None:
    session = recorded_session(tmp_path, space)
    assert repeat_task(session, "trec", 3, AGAIN) == 6
    groups = read_repeats(session.table, "trec", AGAIN, read_rows(session.table, "trec", 0))
    assert [len({row["seed"] for row in group}) for group in groups] == [3, 3, 3]
    assert all(len({row["pipeline_key"] for row in group}) == 1 for group in groups)


def test_repeats_are_no_rows_of_the_table(tmp_path: Path, space: Space) -> None:
    session = recorded_session(tmp_path, space)
    before = load_table(folder=session.table)
    repeat_task(session, "trec", 2, AGAIN)
    assert load_table(folder=session.table).equals(before)


def test_a_killed_repeat_goes_on_and_runs_nothing_twice(tmp_path: Path, space: Space) -> None:
    session = recorded_session(tmp_path, space)

    def die(trial: Trial) -> None:
        if len(backend.launched) == 3:
            raise KilledError

    backend = CountingBackend(space, die)
    with pytest.raises(KilledError):
        repeat_task(make_session(tmp_path, space, backend), "trec", 6, ALONE)
    assert not (session.table / "repeats").exists()
    kept = set(read_rows(session.table, "trec", 0, kind=ALONE))
    again = CountingBackend(space)
    assert repeat_task(make_session(tmp_path, space, again), "trec", 6, ALONE) == 6
    assert not kept & {index for _, index in again.launched}
    assert len(kept) + len(again.launched) == 6


def test_too_few_recorded_pipelines_are_an_error(tmp_path: Path, space: Space) -> None:
    with pytest.raises(UsageError, match="expected 4 recorded pipelines of 'trec' that worked, found 0; run"):
        repeat_task(make_session(tmp_path, space), "trec", 4, ALONE)


def test_the_card_says_what_repeats_show(tmp_path: Path, space: Space) -> None:
    session = recorded_session(tmp_path, space)
    assert "No trial was repeated alone yet" in card(session.table)
    assert "Nothing was repeated yet" in card(session.table)
    repeat_task(session, "trec", 4, ALONE)
    repeat_task(session, "trec", 3, AGAIN)
    text = card(session.table)
    assert "4 trials were repeated alone on the machine" in text
    assert "they took 1.00 of their time" in text.replace("\n", " ")  # simulated trials have no neighbours
    assert "| trec | 3 | " in text


def test_alone_is_compared_by_the_median_deviation() -> None:
    pairs = [({"time_s": alone}, {"time_s": 10.0}) for alone in (8.0, 9.5, 10.0, 10.5, 20.0)]
    found = compare_alone(pairs)
    assert (found.n, found.ratio) == (5, 1.0)
    assert found.deviation == pytest.approx(0.05)
    assert found.quartiles == (0.95, 1.05)


def test_noise_pools_the_variances_of_steady_pipelines() -> None:
    def row(f1: float | None, time_s: float = 1.0) -> dict[str, object]:
        return {"status": "ok" if f1 is not None else "timeout", "f1": f1, "time_s": time_s}

    found = compare_again([[row(0.5), row(0.7, 2.0)], [row(0.6), row(0.6)], [row(0.9), row(None)]])
    assert (found.n, found.n_other_ends) == (3, 1)
    assert found.f1_sd == pytest.approx(0.1)  # variances 0.02 and 0
    assert found.time_spread == pytest.approx(1.5)


def test_both_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--alone", "4", "--again", "12"]) == 2
    assert "expected `--alone` or `--again`, got both" in capsys.readouterr().err
