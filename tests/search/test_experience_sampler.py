"""Our search as a sampler of any Optuna study: any space, any state of a trial, warm with experience, repeatable."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import PartialFixedSampler

from xautolm import ExperienceSampler
from xautolm.errors import StoreError, UsageError
from xautolm.experience.store import ExperienceStore
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult
from xautolm.search.samplers import suggest_pipeline
from xautolm.space.params import Space

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
Objective = Callable[[optuna.Trial], float]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class BrokenError(Exception):
    pass


def tuning(trial: optuna.Trial) -> float:
    """A conditional space: adapters have a rank, and choices that are no plain values."""
    method = trial.suggest_categorical("method", ["full", "lora"])
    rate = trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True)
    batch = trial.suggest_int("batch", 4, 64, step=4)
    trial.suggest_categorical("scheduler", ["linear", None, "cosine"])
    rank = trial.suggest_int("rank", 1, 64, log=True) if method == "lora" else 1
    if batch > 40 and method == "full":
        raise BrokenError
    return 0.9 - 0.05 * (math.log10(rate) + 4) ** 2 + 0.01 * math.log2(rank) + 0.001 * batch


def study_of(sampler: optuna.samplers.BaseSampler, objective: Objective = tuning, n: int = 25) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=n, catch=(BrokenError,))
    return study


def params(study: optuna.Study) -> list[dict[str, object]]:
    return [trial.params for trial in study.trials]


def test_a_conditional_space_is_searched_without_being_told_of_it() -> None:
    study = study_of(ExperienceSampler(seed=0), n=40)

    assert study.best_value > 0.96  # 1.0 can be had; draws find 0.93
    assert {trial.params["method"] for trial in study.trials} == {"full", "lora"}
    assert all(("rank" in trial.params) == (trial.params["method"] == "lora") for trial in study.trials)
    failed = [trial.number for trial in study.trials if trial.state == optuna.trial.TrialState.FAIL]
    assert len([number for number in failed if number >= 20]) <= 3
    assert len({tuple(point.items()) for point in params(study)}) == 40


def test_the_same_seed_repeats_a_study_and_another_sampler_goes_on_with_it() -> None:
    whole = study_of(ExperienceSampler(seed=3), n=24)
    halves = study_of(ExperienceSampler(seed=3), n=12)
    halves.sampler = ExperienceSampler(seed=3)
    halves.optimize(tuning, n_trials=12, catch=(BrokenError,))

    assert params(whole) == params(halves)
    assert params(whole) != params(study_of(ExperienceSampler(seed=4), n=24))


def test_parallel_trials_differ() -> None:
    study = optuna.create_study(direction="maximize", sampler=ExperienceSampler(seed=0))
    study.optimize(tuning, n_trials=24, n_jobs=4, catch=(BrokenError,))

    assert len(study.trials) == 24
    assert len({tuple(point.items()) for point in params(study)}) == 24


def test_several_objectives_spread_over_the_front() -> None:
    def trade(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", -1, 1)
        return 1 - x**2 - y**2, (x - 1) ** 2 + y**2

    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ExperienceSampler(seed=0))
    study.optimize(trade, n_trials=35)
    good = [trial.params["x"] for trial in study.best_trials if abs(trial.params["y"]) < 0.1]

    assert min(good) < 0.25
    assert max(good) > 0.75
    assert len(good) >= 8


def test_constraints_are_learned() -> None:
    def bounded(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("x", x - 0.4)
        return x

    late = study_of(ExperienceSampler(seed=0), bounded, 40).trials[20:]

    assert sum(trial.params["x"] <= 0.4 for trial in late) >= 15  # 8 of 20 draws
    assert max(trial.params["x"] for trial in late if trial.params["x"] <= 0.4) > 0.37


def test_an_enqueued_trial_keeps_its_values_and_gets_the_others() -> None:
    study = study_of(ExperienceSampler(seed=0), n=10)
    study.enqueue_trial({"method": "lora", "rank": 7})
    study.optimize(tuning, n_trials=1)

    assert study.trials[-1].params["method"] == "lora"
    assert study.trials[-1].params["rank"] == 7
    assert set(study.trials[-1].params) == {"method", "learning_rate", "batch", "scheduler", "rank"}


def test_partial_fixed_sampler_around_it_fixes_values() -> None:
    study = study_of(PartialFixedSampler({"method": "lora", "batch": 8}, ExperienceSampler(seed=0)), n=15)

    assert {(trial.params["method"], trial.params["batch"]) for trial in study.trials} == {("lora", 8)}
    assert all("rank" in trial.params for trial in study.trials)
    assert len({trial.params["rank"] for trial in study.trials}) > 5


@pytest.mark.parametrize("outcome", [math.nan, math.inf, None, "pruned", "early"])
def test_trials_without_a_usable_value_end_in_no_error_and_no_nan(outcome: float | str | None) -> None:
    def odd(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", [True, False, 1.5, "a"])
        if x > 0.5 or trial.number < 5:
            if outcome == "early":
                trial.report(x, 1)
            if isinstance(outcome, str):
                raise optuna.TrialPruned
            return outcome  # type: ignore[return-value]  # what users' objectives return by mistake
        return x

    study = optuna.create_study(sampler=ExperienceSampler(seed=0))
    study.optimize(odd, n_trials=20)

    assert all(0 <= trial.params["x"] <= 1 for trial in study.trials)
    assert any(trial.value is not None and math.isfinite(trial.value) for trial in study.trials)


def test_a_range_that_changes_from_trial_to_trial_is_kept() -> None:
    def moving(trial: optuna.Trial) -> float:
        high = 1.0 + trial.number % 3
        x = trial.suggest_float("x", 0, high)
        assert 0 <= x <= high
        return x

    study_of(ExperienceSampler(seed=0), moving, 20)


def test_given_distributions_are_proposed_from_the_first_trial_on() -> None:
    space = {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(("a", "b"))}
    sampler = ExperienceSampler(space=space, seed=0)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()

    assert set(trial.relative_params) == {"x", "c"}


def test_pipelines_of_our_space_are_proposed_whole(space: Space) -> None:
    def objective(trial: optuna.Trial) -> float:
        pipeline = suggest_pipeline(trial, space)
        assert space.contains(pipeline)
        assert set(trial.params) <= set(trial.relative_params)
        return float(len(pipeline.model))

    study = study_of(ExperienceSampler(space=space, seed=0), objective, 25)

    assert len({trial.params["method"] for trial in study.trials}) == len(space.methods)


def past(rate: float, batch: int, f1: float, *, dataset: str = "near", ok: bool = True) -> Experience:
    scores = {"f1": f1} if ok else {}
    error = None if ok else TrialError("oom_train", "")
    pipeline = Pipeline("bert", "lora", {"learning_rate": rate, "batch_size": batch, "warmup_ratio": 0.1})
    result = TrialResult(
        trial_id=int(1e7 * rate) + 1000 * batch,
        status="ok" if ok else "oom",
        pipeline=pipeline,
        scores=scores,
        cost=Cost(time_s=10.0),
        error=error,
        seed=0,
    )
    profile = Profile("classification/2", {"n_rows": 100.0 if dataset == "near" else 1e6}, "system/2", {"cores": 2.0})
    return Experience(
        result=result,
        kind="text-classification",
        dataset_id=dataset,
        fingerprint=f"fingerprint of {dataset}",
        profile=profile,
        space_version="1",
        sketch=(),
        run_id=f"run of {dataset}",
        versions={},
        model_revision="",
        source="machine",
        created_at="2026-11-01T00:00:00+00:00",
    )


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'past.db'}"
    with ExperienceStore(url) as opened:
        good = [past(rate, batch, 0.9) for rate in (2e-4, 3e-4, 4e-4) for batch in (16, 32)]
        bad = [past(rate, 16, 0.3) for rate in (1e-6, 1e-5)] + [past(3e-4, 64, 0.0, ok=False) for _ in range(3)]
        opened.add([*good, *bad])
    return url


def rates(sampler: ExperienceSampler, n: int = 8) -> Sequence[float]:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-7, 1.0, log=True)
        trial.suggest_categorical("bs", [16, 32, 64])
        trial.suggest_float("dropout", 0, 0.5)
        return -abs(math.log10(rate) + 3.5)

    return [trial.params["lr"] for trial in study_of(sampler, objective, n).trials]


def test_experience_is_where_a_study_starts(store: str) -> None:
    names = {"lr": "learning_rate", "bs": "batch_size"}
    warm, cold = ExperienceSampler(store, rename=names, seed=0), ExperienceSampler(seed=0)

    def off(found: Sequence[float]) -> float:
        return sum(abs(math.log10(rate) + 3.5) for rate in found) / len(found)

    assert off(rates(warm)) < 0.6 * off(rates(cold))
    assert warm.evidence.n_experiences == 9
    assert [task.dataset_id for task in warm.evidence.tasks] == ["near"]
    assert warm.evidence.matched == ("lr", "bs")
    assert warm.evidence.unmatched == ("dropout",)
    assert warm.evidence.unused == ("method", "model", "warmup_ratio")
    assert "not matched: dropout" in str(warm.evidence)


def test_names_that_do_not_match_leave_a_study_cold(store: str) -> None:
    warm = ExperienceSampler(store, seed=0)

    assert rates(warm) == rates(ExperienceSampler(seed=0))
    assert warm.evidence.matched == ()
    assert warm.evidence.unmatched == ("lr", "bs", "dropout")
    assert str(ExperienceSampler().evidence) == "cold: no experience is used"


def test_a_path_is_a_store_and_a_profile_orders_tasks(store: str) -> None:
    with ExperienceStore(store) as opened:
        opened.add([past(1e-2, 16, 0.95, dataset="far")])
    profile = Profile("classification/2", {"n_rows": 110.0}, "system/2", {"cores": 2.0})

    sampler = ExperienceSampler(Path(store.removeprefix("sqlite:///")), task=profile)

    assert [task.dataset_id for task in sampler.evidence.tasks] == ["near", "far"]
    assert ExperienceSampler(store, task=Profile("generation/1", {}, "", {})).evidence.n_experiences == 0


def test_a_pickled_or_copied_sampler_goes_on_as_the_original() -> None:
    whole = study_of(ExperienceSampler(seed=3), n=16)
    for copied in (lambda sampler: pickle.loads(pickle.dumps(sampler)), copy.deepcopy):
        study = study_of(ExperienceSampler(seed=3), n=10)
        study.sampler = copied(study.sampler)
        study.optimize(tuning, n_trials=6, catch=(BrokenError,))

        assert params(study) == params(whole)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"store": 3}, "`store`"),
        ({"task": {"n": 1}}, "`task`"),
        ({"space": ["x"]}, "`space`"),
        ({"space": {"x": (0, 1)}}, "'x'"),
        ({"seed": "a"}, "`seed`"),
        ({"seed": -1}, "`seed`"),
        ({"rename": "lr"}, "`rename`"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExperienceSampler(**arguments)  # type: ignore[arg-type]


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        ExperienceSampler(tmp_path / "nowhere.db")
