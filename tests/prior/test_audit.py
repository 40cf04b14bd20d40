"""Leave one task out: does the prior of the others know what is good on it?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xautolm.experience.store import ExperienceStore
from xautolm.prior.audit import audit, audit_summary, top_membership
from xautolm.prior.reference import cold_prior
from xautolm.records import Experience, Pipeline, Profile

MakeExperience = Callable[..., Experience]
MakeProfile = Callable[..., Profile]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperienceStore]:
    with ExperienceStore(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.fixture
def task(experience: MakeExperience, profile: MakeProfile) -> Callable[..., list[Experience]]:
    """Forty trials of a task on which small batches work and large ones run out of memory, or the reverse."""

    def make(name: str, *, good: int = 8, rows: float = 1000.0, sketch: tuple[int, ...] = ()) -> list[Experience]:
        made = []
        for i in range(40):
            batch = 8 if i % 2 else 32
            pipeline = Pipeline("sm"[i % 4 // 2], "full", {"batch_size": batch, "epochs": 1 + i % 5})
            ok = batch == good
            one = experience(
                pipeline,
                status="ok" if ok else "oom",
                f1=0.5 + 0.04 * (i % 5),
                time_s=10.0,
                dataset=name,
                features=profile(rows, 2),
                sketch=sketch,
            )
            made.append(replace(one, result=replace(one.result, trial_id=i)))
        return made

    return make


def test_prior_of_tasks_that_agree_helps(store: ExperienceStore, task: Callable[..., list[Experience]]) -> None:
    store.add([*task("a"), *task("b", rows=1100.0), *task("c", rows=900.0)])
    lines = audit(store)
    assert [line.dataset_id for line in lines] == ["a", "b", "c"]
    for line in lines:
        assert (line.n, line.n_ok, line.verdict) == (40, 20, "helped")
        assert line.auc == pytest.approx(1.0)
        assert line.failure_share == 0.5
        assert line.top_failure_share == 0.0
        assert line.spearman is not None
        assert line.spearman > 0.1
        assert line.f1 == pytest.approx(0.58)
        assert line.top_f1 is not None
        assert line.top_f1 > 0.59
        assert line.n_learned > 60
        assert 0 < line.low <= line.gain <= line.high
    assert lines[0].nearest in ("b", "c")
    assert audit_summary(lines) == {
        **{"n_tasks": 3, "helped": 3, "hurt": 0, "neutral": 0, "alone": 0},
        "mean_gain": pytest.approx(sum(line.gain for line in lines) / 3),
    }


def test_prior_of_tasks_that_disagree_hurts(store: ExperienceStore, task: Callable[..., list[Experience]]) -> None:
    store.add([*task("a"), *task("b", rows=1100.0), *task("odd", good=32)])
    odd = audit(store)[-1]
    assert (odd.dataset_id, odd.verdict) == ("odd", "hurt")
    assert odd.auc is not None
    assert odd.auc < 0.1
    assert odd.top_failure_share == 1.0
    assert odd.top_f1 is None
    assert odd.high < 0


def test_task_without_others_is_alone_and_its_own_data_teach_it_nothing(
    store: ExperienceStore, task: Callable[..., list[Experience]]
) -> None:
    rows = tuple(range(256))
    store.add([*task("a", sketch=rows), *task("part of a", sketch=rows[:200])])
    for line in audit(store):
        assert (line.verdict, line.n_learned, line.nearest, line.auc) == ("alone", 0, None, 0.5)
        assert line.gain == pytest.approx(0.0)
    assert audit(store, "question-answering") == []


def test_prior_without_opinion_is_neutral(store: ExperienceStore, task: Callable[..., list[Experience]]) -> None:
    store.add([*task("a"), *task("b")])
    for line in audit(store, build=lambda space, rated: cold_prior()):
        assert (line.verdict, line.auc, line.gain) == ("neutral", 0.5, pytest.approx(0.0))
        assert line.low == pytest.approx(0.0) == line.high


def test_lines_are_plain_json_and_the_same_every_time(
    store: ExperienceStore, task: Callable[..., list[Experience]]
) -> None:
    store.add([*task("a"), *task("b")])
    lines = [line.to_dict() for line in audit(store)]
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines
    assert [line.to_dict() for line in audit(store)] == lines
    assert store.count() == 80


def test_what_is_neither_a_score_nor_a_failure_is_not_judged(
    store: ExperienceStore, task: Callable[..., list[Experience]]
) -> None:
    stopped = [replace(e, result=replace(e.result, status="stopped", scores={})) for e in task("a")[:10]]
    store.add([*stopped, *task("a")[10:], *task("b")])
    assert audit(store)[0].n == 30


def test_equal_opinions_share_the_top_fifth() -> None:
    assert top_membership(np.zeros(10)).tolist() == pytest.approx([0.2] * 10)
    assert top_membership(np.arange(10.0)).tolist() == [0.0] * 8 + [1.0, 1.0]
    twice = top_membership(np.array([1.0, 2.0, 3.0]), 0.5, counts=np.array([1.0, 0.0, 3.0]))
    assert twice[2] == pytest.approx(2 / 3)
    assert twice[0] == 0.0
