import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from recording_fixtures import SIZE, make_session, write_data

from benchmarks.everyday import main
from benchmarks.recorded import EVERYDAY, TABLE, all_experiences, load_table
from benchmarks.recording.card import write_everyday_card
from benchmarks.recording.everyday import SPEED, everyday_draw, everyday_session, everyday_space
from benchmarks.recording.limits import read_limits
from benchmarks.recording.session import Session, record_task
from benchmarks.recording.space import draw_pipeline, recorded_space
from benchmarks.recording.subsets import SubsetSize
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.feasibility import Limits, TaskSize

TASK = TaskSize(4000, 500, 6, tuple(range(5, 106)))


def test_defaults_come_first_and_everything_is_expected_to_fit() -> None:
    space, limits = everyday_space(4000), Limits(45.0, 4096.0)
    draw = everyday_draw(space, TASK, limits)
    pipelines = [draw(space, 0, i) for i in range(30)]
    kinds = [(pipeline.method, pipeline.model) for pipeline in pipelines]
    assert len(set(kinds[:10])) == 10  # each method with each model, one or two do not fit
    check = FitCheck(Plan(space, TASK, limits, SPEED, ()), is_cautious=False)
    assert all(check(pipeline).fits for pipeline in pipelines)
    assert any(not check(draw_pipeline(space, 0, i)).fits for i in range(30))
    assert all(recorded_space().contains(pipeline) for pipeline in pipelines)


def test_draws_are_the_same_in_any_order_and_shared_by_tasks() -> None:
    space = everyday_space(4000)
    draw = everyday_draw(space, TASK, Limits(45.0, 4096.0))
    again = everyday_draw(space, TASK, Limits(45.0, 4096.0))
    assert draw(space, 0, 25) == again(space, 0, 25)
    assert [draw(space, 0, i) for i in range(20, 30)] == [again(space, 0, i) for i in range(29, 19, -1)][::-1]
    wider = everyday_draw(space, TASK, Limits(600.0, 8192.0))
    more = {wider(space, 0, i).key for i in range(12, 200)}
    assert {draw(space, 0, i).key for i in range(12, 30)} <= more


def everyday(tmp_path: Path) -> Session:
    """A session of an everyday table in which nothing is yet; MRPC has 40 and 20 rows."""
    session = replace(make_session(tmp_path, everyday_space(30)), table=tmp_path / "everyday")
    session.table.mkdir()
    write_data(session.data, "mrpc")
    return session


def test_a_task_keeps_the_limits_and_rows_that_it_began_with(tmp_path: Path) -> None:
    session = everyday(tmp_path)
    first = everyday_session(session, "mrpc", SubsetSize(30, 999), Limits(40.0, 3000.0))
    entry = read_limits(session.table)["mrpc"]
    assert (entry["n_train"], entry["n_validation"], entry["time_limit_s"]) == (30, 20, 40.0)  # all 20 there are
    second = everyday_session(session, "mrpc", SIZE, Limits(99.0, 99.0))
    assert read_limits(session.table)["mrpc"] == entry
    assert [first.draw(first.space, 0, i) for i in range(9)] == [second.draw(second.space, 0, i) for i in range(9)]


def test_what_is_recorded_has_a_card_and_becomes_experience(tmp_path: Path) -> None:
    session = everyday_session(everyday(tmp_path), "mrpc", SubsetSize(30, 12), Limits(40.0, 3000.0))
    assert record_task(session, "mrpc", range(10)) == 10
    write_everyday_card(session.table)
    assert re.search(r"\| mrpc \| 10 \|", (session.table / "README.md").read_text())
    experiences = all_experiences(tmp_path)
    assert {e.run_id for e in experiences} == {"everyday-mrpc-0"}
    assert {e.time_limit_s for e in experiences} == {40.0}


def test_committed_rows_are_experiences_with_keys_of_their_own() -> None:
    keys = Counter((e.run_id, e.result.trial_id) for e in all_experiences(TABLE))
    assert max(keys.values()) == 1
    frame, limits = load_table(folder=EVERYDAY), read_limits(EVERYDAY)
    assert set(frame["task"]) == set(limits)
    for name, part in frame.groupby("task"):
        assert set(part["fingerprint"]) == {limits[str(name)]["fingerprint"]}
        assert not part["commit"].str.endswith("-dirty").any()


def test_command_refuses_what_it_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tasks", "imdb", "--table", str(tmp_path)]) == 2
    assert "got 'imdb'" in capsys.readouterr().err
    assert main(["--tasks", "mrpc", "--table", str(tmp_path), "--data-dir", str(tmp_path / "none")]) == 0
    assert "mrpc: skipped" in capsys.readouterr().out
