"""Exact replay: whole runs on the fake evaluators, written to run folders, proposed again from these folders alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xautolm import registry
from xautolm.cli import app
from xautolm.config import make_settings, read_settings_file, settings_to_yaml
from xautolm.errors import RunFolderError, UsageError
from xautolm.evaluate.fake import Evaluate, FakeBackend, analytic_evaluator, analytic_space
from xautolm.experience.journal import Journal, read_journal
from xautolm.methods.method import Facts
from xautolm.preparation import library_versions, make_ranking, read_decisions
from xautolm.prior.evidence import Rated
from xautolm.prior.knn import build_knn_prior
from xautolm.prior.model import SearchModel
from xautolm.prior.reference import build_reference_prior, cold_prior
from xautolm.records import (
    Budget,
    Cost,
    Experience,
    Objective,
    Pipeline,
    Prior,
    Profile,
    Trial,
    TrialError,
    TrialResult,
)
from xautolm.replaying import replay_run
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, search
from xautolm.search.plan import Plan
from xautolm.search.samplers import make_search
from xautolm.space.feasibility import Limits, Speed, TaskSize
from xautolm.space.params import Space
from xautolm.warmstart import with_predictors

PROFILE = Profile("classification/2", {"n_train": 1000.0, "n_classes": 2.0, "mean_chars": 60.0}, "system/2", {})
OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))
LIMITS = Limits(600.0, 1e4)
METHODS = ("head", "lora", "partial", "full")


@pytest.fixture(scope="module")
def space() -> Space:
    """What a run searches, on the made-up models."""
    models = analytic_space().models
    parts = [registry.resolve("methods", name).space(Facts(list(models.values()), (32, 64), 1000)) for name in METHODS]
    return Space(models, {part.method: part for part in parts})


@pytest.fixture(scope="module")
def past(space: Space) -> list[Rated]:
    rng, evaluate = np.random.default_rng(3), analytic_evaluator(space, seed=9)
    results = [evaluate(Trial(i, SearchModel.uniform(space).sample(rng), seed=i)) for i in range(80)]
    return [
        Rated(
            Experience("past", "past", "f" * 64, (), PROFILE, result, "1", {}, "r", "machine", "", "t", 600.0, 1e4),
            0.1,
            {},
        )
        for result in results
    ]


@pytest.fixture(scope="module")
def priors(space: Space, past: list[Rated]) -> dict[str, Prior]:
    reference = build_reference_prior(space, past)
    return {
        "none": cold_prior(),
        "reference": reference,
        "knn": build_knn_prior(space, past, PROFILE),
        "learned": with_predictors(reference, space, past, OBJECTIVES),
    }


@pytest.fixture
def begin(space: Space, priors: dict[str, Prior], tmp_path: Path) -> Callable[..., Path]:
    """Writes the folder of a run that has decided everything."""

    def write(prior: str = "none", sampler: str = "experience", seed: int = 4, **fields: object) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        settings = make_settings({"data": "d.csv", "prior": prior, "sampler": sampler, "seed": seed, **fields})
        defaults = tuple(Pipeline(part.models[0], name, part.default) for name, part in space.methods.items())
        plan = Plan(space, TaskSize(1000, 200, 2, (12,) * 101), LIMITS, Speed(5e11, 0.5, "measured"), defaults)
        (folder / "config.yaml").write_text(settings_to_yaml(settings))
        parts = {
            "run.json": {"run_id": "r", "status": "running", "versions": library_versions()},
            "data.json": {"profile": asdict(PROFILE)},
            "space.json": plan.to_dict(),
            "prior.json": priors[prior].to_dict(),
        }
        if priors[prior].learned is not None:
            parts["predictors.json"] = dict(priors[prior].learned)
        for name, value in parts.items():
            (folder / name).write_text(json.dumps(value))
        return folder

    return write


def some_fail(space: Space) -> Evaluate:
    """The analytic evaluator on a machine on which every seventh trial is too much."""
    works = analytic_evaluator(space, seed=1)

    def evaluate(trial: Trial) -> TrialResult:
        result = works(trial)
        if trial.trial_id % 7 != 5:
            return result
        return replace(result, status="oom", scores={}, error=TrialError("oom_train", "made up"))

    return evaluate


def sit(folder: Path, space: Space, n_slots: int, n_trials: int, stop_after: int = 10**9) -> None:
    """One sitting of a run: from its folder as `resume` does, until it is done or interrupted."""
    settings = make_settings(read_settings_file(folder / "config.yaml"))
    plan, prior, profile = read_decisions(folder)
    asker = make_search(settings.sampler, make_ranking(settings, plan, prior, profile), seed=settings.seed, prior=prior)
    backend, finished = FakeBackend(some_fail(space), n_slots), read_journal(folder / "trials.jsonl")
    n_new = 0
    with Journal(folder / "trials.jsonl") as journal:

        def keep(result: TrialResult) -> None:
            nonlocal n_new
            n_new += 1
            journal.append(result)

        events = Events(on_result=keep, should_stop=lambda: n_new >= stop_after, tick_s=1e9)
        clock = Clock(Budget(n_trials=n_trials), now=backend.now)
        search(asker, backend, clock, seed=settings.seed, finished=finished, events=events)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("n_slots", [1, 3])
@pytest.mark.parametrize("prior", ["none", "reference", "knn", "learned"])
@pytest.mark.parametrize("sampler", ["experience", "nspe"])
def test_a_run_that_was_interrupted_twice_is_replayed_exactly(
    begin: Callable[..., Path], space: Space, prior: str, sampler: str, n_slots: int
) -> None:
    folder = begin(prior, sampler)
    for n_trials, stop_after in ((26, 9), (26, 8), (26, 99)):
        sit(folder, space, n_slots, n_trials, stop_after)
    results = read_journal(folder / "trials.jsonl")
    assert sorted(result.trial_id for result in results) == list(range(26))
    again_under_old_id = [r for r in results if any(i > r.trial_id for i in r.seen)]
    assert bool(again_under_old_id) == (n_slots > 1)
    assert any(not result.is_ok for result in results)

    found = replay_run(folder)

    assert found.lines == ["26 of 26 trials are proposed again exactly as they were recorded"]
    assert (found.n_trials, found.differences) == (26, ())


def test_what_ran_beside_an_interrupted_trial_is_needed(begin: Callable[..., Path], space: Space) -> None:
    """The proposals of the first sitting knew pipelines that are in no journal line of their own."""
    folder = begin()
    for _ in range(4):
        sit(folder, space, 3, 24, stop_after=5)
    sit(folder, space, 3, 24)
    results = read_journal(folder / "trials.jsonl")
    finished = {result.pipeline.key for result in results}
    lost = {pipeline.key for result in results for pipeline in result.beside} - finished
    assert lost
    (folder / "trials.jsonl").unlink()
    with Journal(folder / "trials.jsonl") as journal:
        for result in results:
            journal.append(replace(result, beside=tuple(p for p in result.beside if p.key in finished)))

    assert replay_run(folder).differences


def test_other_settings_are_told_trial_by_trial(begin: Callable[..., Path], space: Space) -> None:
    folder = begin()
    sit(folder, space, 1, 8)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("seed: 4", "seed: 5"))
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"versions": {"numpy": "0.1"}}))

    found = replay_run(folder)
    printed = CliRunner().invoke(app, ["replay", str(folder)])
    as_json = CliRunner().invoke(app, ["replay", str(folder), "--json"])

    assert {difference.trial_id for difference in found.differences} == {4, 5, 6, 7}  # the first four are known-good
    assert printed.exit_code == as_json.exit_code == 1
    assert "4 of 8 trials are proposed again" in printed.stdout
    assert "now" in printed.stdout.splitlines()[1]
    assert "other versions than then: numpy 0.1 -> " in printed.stdout
    assert [d["trial_id"] for d in json.loads(as_json.stdout)["differences"]] == [4, 5, 6, 7]


def test_a_run_of_an_optuna_sampler_is_refused(begin: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="'optuna:TPESampler', whose own state is not recorded"):
        replay_run(begin(sampler="optuna:TPESampler"))


def test_a_journal_that_lost_a_trial_is_refused(begin: Callable[..., Path], space: Space) -> None:
    folder = begin()
    sit(folder, space, 1, 8)
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "trials.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))

    with pytest.raises(RunFolderError, match="knowing trial 2, which it lacks"):
        replay_run(folder)


def test_a_run_that_had_not_decided_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: d.csv\n")
    (tmp_path / "run.json").write_text("{}")

    with pytest.raises(RunFolderError, match=r"data\.json.*neither resumed nor replayed"):
        replay_run(tmp_path)


def test_a_journal_of_before_loads() -> None:
    result = TrialResult(0, "ok", Pipeline("m", "head"), {"f1": 0.5}, Cost(1.0), seed=0, beside=(Pipeline("m", "x"),))
    written = result.to_dict()
    assert TrialResult.from_dict(written) == result
    del written["beside"]
    assert TrialResult.from_dict(written) == replace(result, beside=())
