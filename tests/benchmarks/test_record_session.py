from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from recording_fixtures import SIZE, CountingBackend, accept_limits, make_result, make_session, write_data

from benchmarks.record import main
from benchmarks.recorded import load_table, result_of
from benchmarks.recording.ledger import read_rows
from benchmarks.recording.limits import read_limits
from benchmarks.recording.pilot import N_DRAWS, pilot_task
from benchmarks.recording.session import record_task
from benchmarks.recording.space import draw_pipeline
from benchmarks.recording.subsets import DEFAULT_DATA, SOURCES, SubsetSize, has_data, load_subset
from xautolm.errors import DataError, RunError, UsageError
from xautolm.evaluate.fake import FakeBackend
from xautolm.records import Trial, TrialResult
from xautolm.search.loop import trial_seed
from xautolm.space.params import Space


class KilledError(BaseException):
    """Stands for a signal that ends the process."""


def test_the_same_pipelines_run_with_the_same_seeds_on_every_task(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    for name in ("trec", "sst2"):
        assert record_task(session, name, range(20)) == 20
    frame = load_table(folder=session.table)
    keys = {task: part["pipeline_key"].tolist() for task, part in frame.groupby("task")}
    assert keys["trec"] == keys["sst2"] == [draw_pipeline(space, 0, i).key for i in range(20)]
    assert frame["seed"].tolist() == [trial_seed(0, i) for i in range(20)] * 2
    assert set(frame["status"]) > {"ok"}  # failures are kept


def test_resume_after_a_kill_runs_what_is_missing_and_nothing_twice(tmp_path: Path, space: Space) -> None:
    def die(trial: Trial) -> None:
        if len(backend.launched) == 14:
            raise KilledError

    backend = CountingBackend(space, die)
    session = make_session(tmp_path, space, backend)
    with pytest.raises(KilledError):
        record_task(session, "trec", range(20))
    finished = set(read_rows(session.table, "trec", 0))
    assert 12 <= len(finished) <= 14
    again = CountingBackend(space)
    assert record_task(make_session(tmp_path, space, again), "trec", range(20)) == 20
    assert sorted(index for _, index in again.launched) == sorted(set(range(20)) - finished)
    assert load_table("trec", session.table)["pipeline"].tolist() == list(range(20))


def test_finished_work_is_not_repeated(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    record_task(session, "trec", range(5))
    backend = CountingBackend(space)
    record_task(make_session(tmp_path, space, backend), "trec", range(5, 10))
    assert sorted(index for _, index in backend.launched) == [5, 6, 7, 8, 9]
    assert len(load_table("trec", session.table)) == 10


def test_time_out_lets_running_trials_end_and_launches_no_more(tmp_path: Path, space: Space) -> None:
    backend = CountingBackend(space)
    session = make_session(tmp_path, space, backend, is_out=lambda: len(backend.launched) >= 7)
    assert record_task(session, "trec", range(20)) == len(backend.launched)
    assert 7 <= len(backend.launched) <= 8


def test_a_stop_drops_running_trials_and_keeps_finished_ones(tmp_path: Path, space: Space) -> None:
    backend = CountingBackend(space)
    session = make_session(tmp_path, space, backend, should_stop=lambda: len(backend.launched) >= 7)
    n_recorded = record_task(session, "trec", range(20))
    assert 4 <= n_recorded < len(backend.launched)


def test_interrupted_trials_are_no_rows_and_three_in_a_row_end_the_session(tmp_path: Path, space: Space) -> None:
    def evaluate(trial: Trial) -> TrialResult:
        status = "ok" if trial.trial_id < 2 else "interrupted"
        return replace(make_result(trial.trial_id, status=status), pipeline=trial.pipeline)

    session = make_session(tmp_path, space, lambda scratch, limits: FakeBackend(evaluate, n_slots=1))
    with pytest.raises(RunError, match="3 trials in a row were interrupted"):
        record_task(session, "trec", range(10))
    assert sorted(read_rows(session.table, "trec", 0)) == [0, 1]


def test_scratch_is_deleted(tmp_path: Path, space: Space) -> None:
    folders: list[Path] = []
    backend = CountingBackend(space)

    def remember(scratch: Path, limits: object) -> FakeBackend:
        folders.append(scratch)
        assert (scratch / "work" / "data" / "train.json").exists()
        return backend(scratch, limits)

    record_task(make_session(tmp_path, space, remember), "trec", range(2))
    assert folders
    assert not folders[0].exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accepted": False, "problems": ["too many."]}, "was not accepted: too many"),
        ({"space_id": "0"}, "recorded space has changed"),
        ({"fingerprint": "0"}, "the data have changed"),
    ],
)
def test_recording_needs_limits_of_these_data_and_this_space(
    tmp_path: Path, space: Space, changes: dict[str, object], message: str
) -> None:
    session = make_session(tmp_path, space)
    accept_limits(session, "trec", **changes)
    with pytest.raises(UsageError, match=message):
        record_task(session, "trec", range(2))
    assert not read_rows(session.table, "trec", 0)


def test_recording_without_a_pilot_is_refused(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    write_data(session.data, "liar")
    with pytest.raises(UsageError, match=r"expected limits of 'liar'.*--pilot --tasks liar"):
        record_task(session, "liar", range(2))


def test_a_table_is_not_continued_under_other_limits(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    record_task(session, "trec", range(2))
    accept_limits(session, "trec", time_limit_s=61.0)
    with pytest.raises(UsageError, match="recorded under another 'time_limit_s'"):
        record_task(session, "trec", range(4))


def test_pilot_chooses_limits_that_recording_accepts(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    write_data(session.data, "meld")
    choice = pilot_task(session, "meld", SIZE)
    assert choice is not None
    entry = read_limits(session.table)["meld"]
    assert (entry["n_train"], entry["n_validation"]) == (SIZE.n_train, SIZE.n_validation)
    assert entry["pilot"]["n_draws"] == N_DRAWS
    assert entry["pilot"]["failed_share"] == pytest.approx(choice.failed_share, abs=1e-4)
    assert entry["accepted"] == (not choice.problems)
    assert not list(session.table.glob("*.parquet"))
    accept_limits(session, "meld")
    record_task(session, "meld", range(1))
    with pytest.raises(UsageError, match="they are set once"):
        pilot_task(session, "meld", SIZE)


def test_pilot_goes_on_after_a_stop_and_starts_again_on_other_rows(tmp_path: Path, space: Space) -> None:
    backend = CountingBackend(space)
    session = make_session(tmp_path, space, backend, is_out=lambda: len(backend.launched) >= 9)
    assert pilot_task(session, "trec", SIZE) is None
    again = CountingBackend(space)
    assert pilot_task(make_session(tmp_path, space, again), "trec", SIZE) is not None
    assert len(backend.launched) + len(again.launched) == N_DRAWS
    other = CountingBackend(space)
    pilot_task(make_session(tmp_path, space, other), "trec", SubsetSize(16, 6))
    assert len(other.launched) == N_DRAWS


def test_slow_pilot_draws_are_stopped_soon_after_the_slowest_cheap_one(tmp_path: Path, space: Space) -> None:
    limits_s: list[float] = []

    def evaluate(trial: Trial) -> TrialResult:
        return replace(make_result(trial.trial_id, time_s=8.0), pipeline=trial.pipeline)

    def backend(scratch: Path, limits: object) -> FakeBackend:
        limits_s.append(limits.time_s)  # type: ignore[attr-defined]
        return FakeBackend(evaluate, n_slots=2)

    pilot_task(make_session(tmp_path, space, backend), "trec", SIZE, time_limit_s=90.0)
    assert limits_s == [90.0, 10.0]


def test_subset_is_stratified_seeded_and_has_no_test_rows(tmp_path: Path) -> None:
    write_data(tmp_path, "trec", n_train=400, n_validation=100)
    task = load_subset(tmp_path, "trec", SubsetSize(101, 40))
    assert (task.train.n_rows, task.validation.n_rows, task.test) == (101, 40, None)
    assert Counter(task.labels[label] for label in task.validation.labels) == {"rare": 10, "common": 30}
    assert Counter(task.train.labels)[task.labels.index("rare")] in (25, 26)
    assert task == load_subset(tmp_path, "trec", SubsetSize(101, 40))
    assert task.dataset_id == "trec"
    with pytest.raises(DataError, match="at least 500 rows"):
        load_subset(tmp_path, "trec", SubsetSize(500, 40))


@pytest.mark.parametrize("name", SOURCES)
def test_shared_data_give_the_subsets_that_are_recorded(name: str) -> None:
    if not has_data(DEFAULT_DATA, name):
        pytest.skip(f"no data in {DEFAULT_DATA / name}")
    task = load_subset(DEFAULT_DATA, name, SubsetSize())
    assert (task.train.n_rows, task.validation.n_rows) == (1000, 500)
    assert set(task.train.labels) == set(range(len(task.labels)))


def test_command_skips_tasks_without_data_and_writes_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--table", str(tmp_path / "table"), "--data-dir", str(tmp_path), "--tasks", "sst2"]
    assert main(arguments) == 0
    assert "sst2: skipped, no training and validation file" in capsys.readouterr().out
    assert "Nothing yet" in (tmp_path / "table" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--tasks", "imdb"], "got 'imdb'"), (["--n", "0"], "at least 1 for `--n`")],
)
def test_command_refuses_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["--table", str(tmp_path / "table"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "table").exists()


def test_card_states_limits_and_what_is_recorded(tmp_path: Path, space: Space) -> None:
    session = make_session(tmp_path, space)
    record_task(session, "trec", range(20))
    main(["--card", "--table", str(session.table), "--tasks", "trec", "--data-dir", str(session.data)])
    card = (session.table / "README.md").read_text()
    assert "| trec | 60.0 s | 2000 MiB | 35% | 10% | 2 | 2.0 | yes |" in card
    rows = [result_of(row) for row in load_table("trec", session.table).to_dict("records")]
    n_failed = sum(not row.is_ok for row in rows)
    assert f"| trec | 20 | {n_failed / 20:.0%} |" in card
    assert "20 rows:" in card
