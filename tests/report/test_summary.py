"""The facts of a run: reason, counts, prior, times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xautolm.records import Cost, Pipeline
from xautolm.report.summary import read_run, summarise
from xautolm.report.text import render_text

from .conftest import TYPICAL_EXTRAS, make_trial, warm_extras


@pytest.fixture
def summary(make_run):
    return lambda *args, **kwargs: summarise(read_run(make_run(*args, **kwargs)))


def test_reason_names_lead_cost_share_and_thrifty_alternative(summary):
    best = summary(extras=TYPICAL_EXTRAS).best
    text = " ".join(best.reasons)
    assert "Trial 4 has the highest validation macro F1 of 4 scored trials: 0.815" in text
    assert "0.015 ahead of the next, trial 0" in text
    assert "4.0 times the time (40.0 s)" in text
    assert "Thrifty alternative: trial 0" in text
    assert "gives up 0.015 macro F1 and needs 25 % of the time (10.0 s)" in text
    assert "trained on 50 % of the training rows (about 4,000 of 8,000)" in text
    assert "best of 4 trials is optimistic" in text
    assert best.train_share == 0.5


def test_thrifty_alternative_gives_up_two_hundredths_at_most(summary, trial):
    rows = [trial(0, 0.780, 5.0), trial(1, 0.795, 10.0), trial(2, 0.800, 50.0)]
    assert summary(rows).best.thrifty.trial_id == 0
    assert summary([trial(0, 0.779, 5.0), *rows[1:]]).best.thrifty.trial_id == 1
    assert summary([trial(0, 0.779, 5.0), rows[2]]).best.thrifty is None


def test_default_share_is_all_training_rows(summary, trial):
    best = summary([trial(0, 0.8)]).best
    assert best.train_share == 1.0
    assert "trained on all training rows" in " ".join(best.reasons)
    assert "the only one that gave a score" in best.reasons[0]


def test_recommendation_that_is_not_the_highest_is_said_so(summary, trial):
    reasons = summary([trial(0, 0.7, 5.0), trial(1, 0.9, 50.0)], best=0).best.reasons
    assert "although trial 1" in reasons[0]
    assert "highest" not in " ".join(reasons)


def baseline(trial, trial_id, method, f1, time_s=0.4, **fields):
    return trial(trial_id, f1, time_s, model="none", method=method, start_s=0.0, **fields)


def test_baseline_ahead_is_admitted(summary, trial):
    found = summary([baseline(trial, -2, "tfidf_logreg", 0.85), trial(0, 0.8)], best=0)
    text = " ".join(found.best.reasons)
    assert (
        "TF-IDF + logistic regression scores macro F1 0.850 in 0.40 s: the recommended pipeline is 0.050 below" in text
    )
    assert "cannot be exported" in text
    assert [row.label for row in found.front] == ["base"]
    assert found.best.trial.trial_id == 0


def test_baselines_are_compared_and_counted_apart(summary, trial):
    rows = [baseline(trial, -1, "majority", 0.3, 0.01), baseline(trial, -2, "tfidf_logreg", None, status="invalid")]
    rows += [trial(0, 0.7, 5.0, method="head"), trial(1, 0.8)]
    named = {"majority": -1, "tfidf_logreg": -2, "embedding_logreg": 0}
    found = summary(rows, baselines=named)
    assert [(facts.name, facts.verdict, facts.is_ahead) for facts in found.baselines] == [
        ("majority class", "the recommended pipeline is 0.500 above", False),
        ("TF-IDF + logistic regression", "no score (invalid)", False),
        ("frozen embedding + logistic regression", "the recommended pipeline is 0.100 above", False),
    ]
    assert "2 trials (2 ok, 0 failed) beside 2 baselines" in found.status_sentence
    assert len(found.trials) == 2
    assert found.n_failed == 0
    assert [row.trial_id for row in found.front] == [-1, 0, 1]
    assert "baseline" not in " ".join(found.best.reasons)
    text = render_text(found)
    assert "- frozen embedding + logistic regression (trial 0): 0.700 in 5.0 s;" in text
    assert "- TF-IDF + logistic regression: no score (invalid)" in text


@pytest.mark.parametrize("named", [None, [], {"majority": "x"}, {"majority": -1}, "text"])
def test_baselines_that_run_json_garbles_are_left_out(summary, trial, named):
    assert summary([trial(0, 0.8)], baselines=named).baselines == ()


def test_refit_and_missing_test_score_are_mentioned(summary, trial):
    text = " ".join(summary([trial(0, 0.8)], refit={"n_rows": 9000, "time_s": 70.0}, test=None).best.reasons)
    assert "trained once more on training and validation data, 9,000 rows (70.0 s)" in text
    assert "no test score" in text


def test_failures_are_counted_with_messages_and_seconds(summary, trial):
    failed = [trial(i, time_s=5.0, error=("oom_train", "no memory")) for i in range(3)]
    facts = {f.status: f for f in summary([trial(9, 0.8, 10.0), *failed]).spent}
    assert (facts["oom"].n_trials, facts["oom"].spent_s) == (3, 15.0)
    assert facts["oom"].examples == ("trial 0: oom_train: no memory (3 trials)",)
    assert "--memory" in facts["oom"].advice
    assert facts["ok"].spent_s == 10.0


def test_time_spent_leaves_out_what_a_cache_saved(summary, trial):
    result = trial(0, 0.8, 10.0)
    cached = replace(result, cost=replace(result.cost, cached_s=4.0))
    report = summary([cached])
    assert report.spent[0].spent_s == 6.0
    assert report.trials[0].time_s == 10.0


def test_stopped_trials_are_no_failures(summary):
    report = summary()
    assert report.n_failed == 2
    assert (
        "7 trials (4 ok, 1 stopped early, 2 failed) in 2 min 30 s of a budget of 3 min 00 s" in report.status_sentence
    )


def test_interrupted_trials_are_not_counted(summary, trial):
    rows = [trial(0, 0.8), replace(trial(1), status="interrupted")]
    report = summary(rows, n_trials=1, status="interrupted")
    assert "1 trial (1 ok, 0 failed)" in report.status_sentence
    assert report.n_failed == 0


def test_cold_and_warm_prior_in_words(summary):
    assert summary().prior.sentence == "Cold start: no past experience was used."
    prior = summary(extras=TYPICAL_EXTRAS).prior
    assert "120 past experiences" in prior.sentence
    assert "nearest task: sst2" in prior.sentence
    (row,) = prior.neighbours
    assert (row.name, row.distance, row.n_good, row.n_bad) == ("sst2", 0.12, 30, 10)
    assert row.parts == (None, None, None)
    assert prior.decisions == (), "the run folder does not hold the model"


def test_profile_is_listed_by_feature_without_its_embedding(summary):
    profile = {"schema": "classification/2", "task": {"n_train": 80.0}, "system_schema": "system/2"}
    profile |= {"system": {"ram_gib": 8.0}, "semantic": [0.1] * 384}
    data = summary(extras={"data": TYPICAL_EXTRAS["data"] | {"profile": profile}}).data
    assert data.profile == (("n_train", "80"), ("ram_gib", "8"))


def test_warm_run_tells_the_parts_of_distances_and_what_the_prior_changed(summary):
    prior = summary(extras=warm_extras()).prior
    assert prior.neighbours[0].parts == (0.4, None, 0.1)
    by_handle = {decision.handle: decision for decision in prior.decisions}
    assert by_handle["method"].before["weights"] == {"full": 0.5, "head": 0.5}
    assert by_handle["method"].after["weights"]["head"] > 0.51
    assert by_handle["model"].after["weights"]["s"] > 0.5
    (row,) = prior.methods["head"]
    assert (row.name, row.move) == ("model", "s: 50 -> 67 %, m: 50 -> 33 %")
    assert [row.name for row in prior.methods["full"]] == ["model"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prior", {"model": 5}),
        ("prior", {"model": {"method": {"choices": ["head"], "weights": "many"}}}),
        ("prior", {"model": {"method": {"domain": {}}}}),
        ("space", {}),
        ("space", {"methods": [{"method": "head"}]}),
    ],
)
def test_damaged_beliefs_are_left_out(summary, name, value):
    extras = warm_extras()
    prior = summary(extras=extras | {name: (extras[name] if value else {}) | value}).prior
    assert prior.decisions == ()
    assert prior.neighbours[0].name == "sst2"


def test_prior_of_run_json_is_enough(summary):
    prior = summary(prior={"kind": "reference", "n_experiences": 1, "weight": 1.0}).prior
    assert prior.sentence == "Warm start from 1 past experience (prior `reference`, weight 1.00)."


def test_the_report_says_that_experiences_of_the_package_counted(summary):
    extras = warm_extras()
    extras["prior"] |= {"n_starter": 30}
    assert summary(extras=extras).prior.sentence.startswith(
        "Warm start from 40 past experiences, some that come with the package among them (prior `reference`"
    )


@pytest.mark.parametrize(
    ("agreement", "says"), [(0.61, "It helped: "), (-0.4, "It misled: "), (0.1, "It told little about this task: ")]
)
def test_the_report_says_by_how_much_experience_helped_or_hurt(summary, agreement, says):
    """What the run found out replaces what it believed before its first trial."""
    in_run = {"kind": "learned", "n_experiences": 9, "weight": 0.25, "agreement": agreement}
    prior = summary(prior=in_run, extras=warm_extras()).prior
    assert f", weight 0.25); nearest task: sst2. {says}" in prior.sentence
    assert f"rank correlation of {agreement:+.2f}." in prior.sentence


def test_nothing_is_claimed_of_what_the_folder_does_not_say(summary):
    assert "does not say" in summary(prior=None).prior.sentence


def test_anytime_curve_only_rises_and_leaves_long_pauses_out(summary, trial):
    rows = [
        trial(0, 0.6, 10.0, start_s=0),
        trial(1, 0.5, 10.0, start_s=10),
        trial(2, 0.7, 10.0, start_s=5000),  # resumed after more than an hour
    ]
    assert summary(rows).anytime == ((10.0, 0.6, 0), (30.0, 0.7, 2))


def test_parallel_trials_keep_their_own_times(summary, trial):
    rows = [trial(0, 0.6, 100.0, start_s=0), trial(1, 0.7, 10.0, start_s=95)]
    assert summary(rows).anytime == ((100.0, 0.6, 0), (105.0, 0.7, 1))


def test_missing_stamps_cost_only_the_anytime_curve(summary, trial):
    report = summary([replace(trial(0, 0.6), started_at="", finished_at="yesterday")])
    assert report.anytime == ()
    assert report.best.trial.score == 0.6


def test_score_that_is_no_number_is_no_score(summary, trial):
    report = summary([trial(0, 0.6), replace(trial(1, 0.7), scores={"f1": float("nan")})], best=0)
    assert report.trials[1].score is None
    assert report.best.trial.trial_id == 0


def test_rescued_trial_keeps_what_was_asked_for(summary, trial):
    asked = Pipeline("all-MiniLM-L6-v2@3", "lora", {"batch_size": 64})
    assert summary([replace(trial(0, 0.6), requested=asked)]).trials[0].rescued_from == "batch=64"


def test_uneven_load_on_the_front_is_noted(summary, trial):
    rows = [trial(0, 0.6, 5.0), replace(trial(1, 0.7, 10.0), n_threads=2)]
    assert any("different numbers of threads" in note for note in summary(rows).notes)
    assert not summary([trial(0, 0.6, 5.0), trial(1, 0.7, 10.0)]).notes


def test_minimised_metric_prefers_the_lowest(summary, trial):
    rows = [replace(trial(i, 0.0, 10.0 + i), scores={"rmse": v}) for i, v in enumerate((0.5, 0.3))]
    objectives = [{"name": "rmse", "direction": "minimize"}, {"name": "time", "direction": "minimize"}]
    for row in rows:
        row.scores["f1"] = 0.0  # the fabricated front reads f1
    report = summary(rows, objectives=objectives, best=1, front=[0, 1], test={"rmse": 0.35})
    assert "lowest validation RMSE" in report.best.reasons[0]
    assert "0.200 ahead" in report.best.reasons[0]
    assert report.anytime[-1][1] == 0.3


def test_oversized_and_wrongly_typed_optional_files_do_not_break_the_report(summary):
    extras = {
        "space": {"models": 3, "dropped": [1, {"what": None}]},
        "prior": {"neighbours": [{}, 5], "n_experiences": "many"},
        "data": {"rows": [1], "labels": {"a": "b", "c": 2}, "length_tokens": None, "warnings": "text", "profile": 0},
    }
    report = summary(extras=extras)
    assert report.data.labels == (("c", 2),)
    assert report.dropped == (("None", ""),)


def test_constraints_are_explained_and_decide_what_is_recommended(summary):
    bound = {"name": "time", "is_minimum": False, "bound": 10.0}
    trials = [make_trial(0, 0.8, 8.0), make_trial(1, 0.9, 12.0)]

    kept = summary(trials, constraints=[bound], front=[0], best=0)
    broken = summary(trials, constraints=[bound | {"bound": 1.0}])

    assert kept.best.trial.trial_id == 0
    assert "Constraint time <= 10: 1 of 2 scored trials keep it; only they are compared." in kept.notes
    assert "No trial keeps the constraint time <= 1: front and recommendation disregard it." in broken.notes


def test_an_estimate_of_energy_is_named_as_one(summary, trial):
    rows = [replace(trial(0, 0.8), cost=Cost(10.0, energy_wh_estimate=0.25))]
    found = summary(rows, energy_wh_estimate=1.5, energy_source="estimate")
    assert any("about 1.5 Wh" in note and "no measurements" in note for note in found.notes)
    assert "Its trial used 0.25 Wh (an estimate by a model of the machine, no measurement)." in found.best.reasons
    measured = summary([replace(rows[0], cost=Cost(10.0, energy_wh=0.25))], energy_wh=1.5, energy_source="rapl")
    assert "The machine used 1.5 Wh during the run (rapl)." in measured.notes
    assert "Its trial used 0.25 Wh (by its counters)." in measured.best.reasons
    assert not any("Wh" in text for text in (*summary([trial(0, 0.8)]).notes, *summary([trial(0, 0.8)]).best.reasons))
