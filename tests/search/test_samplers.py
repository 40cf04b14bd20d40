"""Optuna around the search: same pipelines through a study, other samplers by name, clear refusals."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest

from xautolm.errors import UsageError
from xautolm.evaluate.fake import FakeBackend, analytic_evaluator
from xautolm.prior.reference import cold_prior
from xautolm.records import Budget, Objective, Trial
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, search
from xautolm.search.proposals import Proposer
from xautolm.search.samplers import (
    PipelineSampler,
    StudyAsker,
    decisions,
    distributions,
    make_search,
    optuna_samplers,
    suggest_pipeline,
)
from xautolm.space.feasibility import Verdict
from xautolm.space.params import Space

MakeProposer = Callable[..., Proposer]


def test_a_study_with_our_sampler_suggests_our_proposals(make_proposer: MakeProposer, space: Space) -> None:
    sampler, expected = PipelineSampler(make_proposer()), make_proposer()
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for trial_id in range(12):
        sampler.show(trial_id, ())
        trial = study.ask()
        pipeline = suggest_pipeline(trial, space)
        assert pipeline == expected.propose(trial_id, ())
        assert trial.params == decisions(pipeline)


def test_a_foreign_parameter_is_refused_by_name(make_proposer: MakeProposer) -> None:
    study = optuna.create_study(sampler=PipelineSampler(make_proposer()))
    with pytest.raises(UsageError, match="'depth'"):
        study.ask().suggest_int("depth", 1, 3)


def test_study_asker_adds_nothing_to_the_proposals(make_proposer: MakeProposer, space: Space) -> None:
    evaluate, asker, expected, seen = (
        analytic_evaluator(space),
        make_search("experience", make_proposer(), seed=0),
        make_proposer(),
        [],
    )
    for i in range(25):
        pipeline = asker.ask(i, tuple(seen))
        assert pipeline == expected.propose(i, tuple(seen))
        seen.append(evaluate(Trial(i, pipeline, seed=i)))
        asker.tell(seen[-1])


@pytest.mark.parametrize("name", ["RandomSampler", "TPESampler", "NSGAIISampler"])
def test_any_optuna_sampler_drives_the_search_repeatably(name: str, make_proposer: MakeProposer, space: Space) -> None:
    def run(seed: int) -> list[object]:
        backend = FakeBackend(analytic_evaluator(space))
        asker = make_search(f"optuna:{name}", make_proposer(), seed=seed)
        clock = Clock(Budget(n_trials=25), now=backend.now)
        return [r.pipeline for r in search(asker, backend, clock, seed=seed, events=Events(tick_s=1e9))]

    first = run(0)
    assert all(space.contains(pipeline) for pipeline in first)  # type: ignore[arg-type]
    assert first == run(0)
    assert first != run(1)


def test_failures_are_told_as_failed_and_resumed_results_are_known(make_proposer: MakeProposer, space: Space) -> None:
    backend = FakeBackend(analytic_evaluator(space))
    first = make_search("optuna:TPESampler", make_proposer(), seed=0)
    clock = Clock(Budget(n_trials=40), now=backend.now)
    results = search(first, backend, clock, seed=0, events=Events(tick_s=1e9))
    resumed = make_search("optuna:TPESampler", make_proposer(), seed=0)
    assert isinstance(first, StudyAsker)
    assert isinstance(resumed, StudyAsker)
    resumed.ask(40, results)
    states = [[trial.state.name for trial in asker.study.trials] for asker in (first, resumed)]
    assert states[0] == ["COMPLETE" if r.is_ok else "FAIL" for r in results] == states[1][:40]
    assert "FAIL" in states[0]
    assert first.study.trials[0].params == resumed.study.trials[0].params
    assert first.study.best_trials[0].values == resumed.study.best_trials[0].values


def test_a_trial_asked_for_again_after_an_interruption_is_closed_first(make_proposer: MakeProposer) -> None:
    asker = make_search("experience", make_proposer(), seed=0)
    assert isinstance(asker, StudyAsker)
    assert asker.ask(0, ()) == asker.ask(0, ())
    assert [trial.state.name for trial in asker.study.trials] == ["FAIL", "RUNNING"]


@pytest.mark.parametrize("name", ["tpe", "TPESampler", "optuna:GridSampler", "optuna:", "optuna:nope", ""])
def test_unknown_names_are_refused_with_the_choices(name: str, make_proposer: MakeProposer) -> None:
    with pytest.raises(UsageError, match=r"`experience`, `nspe`, .*`optuna:TPESampler`.* got"):
        make_search(name, make_proposer(), seed=0)


def test_a_sampler_that_cannot_do_several_objectives_is_refused(make_proposer: MakeProposer) -> None:
    assert "CmaEsSampler" in optuna_samplers()
    with pytest.raises(UsageError, match="'optuna:CmaEsSampler' cannot be used here"):
        make_search("optuna:CmaEsSampler", make_proposer(), seed=0)


def test_single_objective_search_works(space: Space) -> None:
    objectives = (Objective("f1", "maximize"),)
    fits = Verdict(True, "", 1.0, 1.0)
    proposer = Proposer(space, cold_prior(), objectives, 0, lambda pipeline, seen: fits)
    backend = FakeBackend(analytic_evaluator(space))
    clock = Clock(Budget(n_trials=15), now=backend.now)
    assert len(search(make_search("experience", proposer, seed=0), backend, clock, seed=0)) == 15


def test_creating_a_search_says_nothing_and_leaves_optunas_level(
    make_proposer: MakeProposer, capsys: pytest.CaptureFixture[str]
) -> None:
    level = optuna.logging.get_verbosity()
    make_search("experience", make_proposer(), seed=0).ask(0, ())
    assert optuna.logging.get_verbosity() == level
    assert capsys.readouterr() == ("", "")


def test_every_decision_of_a_pipeline_has_a_distribution(make_proposer: MakeProposer, space: Space) -> None:
    for i in range(20):
        pipeline = make_proposer().propose(i, ())
        expected = distributions(pipeline.method, space)
        assert decisions(pipeline).keys() == expected.keys()
