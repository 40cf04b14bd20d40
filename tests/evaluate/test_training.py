"""One evaluation in this process: scores, the curve, the best checkpoint, costs, and what counts as diverged."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.utils.class_weight import compute_class_weight

from xautolm.evaluate import training, trial_data
from xautolm.evaluate.formulations import sequence
from xautolm.evaluate.job_folder import DivergedError, InvalidPipelineError
from xautolm.evaluate.loss import CrossEntropy, class_weights
from xautolm.evaluate.training import evaluate_pipeline
from xautolm.evaluate.trial_data import MAX_SUBSET, stratified_subset, subset_size

METHODS = ["head", "lora", "partial", "full"]


def trained(folder):
    """The checkpoint of a job."""
    return load_file(folder.path / "checkpoint" / "trained.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_a_separable_task(make_job, tiny_bert, method):
    longer = {} if method == "head" else {"epochs": 6, "learning_rate": 1e-2}
    spec, folder = make_job(tiny_bert, method, **longer)
    result = evaluate_pipeline(spec, folder)
    assert result["scores"]["f1"] > 0.85
    assert set(result["scores"]) == {"f1", "accuracy"}
    cost = result["cost"]
    assert 0 < cost["train_s"] < cost["time_s"]
    assert cost["cached_s"] == pytest.approx(0, abs=1e-6)  # the first trial fills the caches
    assert result["n_trained"] > 0
    assert json.loads(json.dumps(result)) == result
    assert json.loads((folder.path / "progress.json").read_text())["stage"] == "predict"
    assert trained(folder)


@pytest.mark.parametrize("method", ["head", "full"])
@pytest.mark.parametrize("family", ["tiny_distilbert", "tiny_gpt2"])
def test_other_families_are_evaluated_through_their_own_heads(make_job, request, family, method):
    spec, folder = make_job(request.getfixturevalue(family), method)
    assert evaluate_pipeline(spec, folder)["scores"]["f1"] > 0.6


def test_the_same_job_gives_the_same_scores(make_job, tiny_bert):
    jobs = [make_job(tiny_bert, "full", seed=seed, dropout=0.1, epochs=1) for seed in (5, 5, 6)]
    results = [evaluate_pipeline(*job) for job in jobs]
    curves = [[score for _, _, score in result["curve"]] for result in results]
    assert curves[0] == curves[1]
    assert results[0]["scores"] == results[1]["scores"]
    weights = [trained(folder) for _, folder in jobs]
    assert torch.equal(weights[0]["classifier.weight"], weights[1]["classifier.weight"])
    assert not torch.equal(weights[0]["classifier.weight"], weights[2]["classifier.weight"])


@pytest.mark.parametrize(("epochs", "n_points"), [(1, 8), (3, 8)])
def test_curve_has_at_most_eight_growing_points_and_ends_with_the_last_step(make_job, tiny_bert, epochs, n_points):
    spec, folder = make_job(tiny_bert, "full", epochs=epochs)
    curve = evaluate_pipeline(spec, folder)["curve"]
    steps, seconds, scores = zip(*curve, strict=True)
    assert len(curve) == n_points
    assert steps[-1] == epochs * 8  # 64 rows in batches of 8
    assert list(steps) == sorted(set(steps))
    assert list(seconds) == sorted(seconds)
    assert all(0 <= score <= 1 for score in scores)


def test_a_later_trial_reads_no_tokenizer_and_is_charged_for_it(make_job, tiny_bert, monkeypatch):
    first = evaluate_pipeline(*make_job(tiny_bert, "full", epochs=1))

    def refuse(path, *_):
        raise AssertionError(f"the tokenizer of {path} was loaded again")

    monkeypatch.setattr("xautolm.methods.readers._load", refuse)
    second = evaluate_pipeline(*make_job(tiny_bert, "full", epochs=1))
    assert second["scores"] == first["scores"]
    assert second["cost"]["cached_s"] > 0


def test_the_parts_of_a_trial_lie_within_its_costs(make_job, tiny_bert):
    result = evaluate_pipeline(*make_job(tiny_bert, "full", epochs=1))
    cost, parts = result["cost"], result["parts"]
    assert 0 < parts["tokenise_s"] < cost["load_s"]
    assert 0 < parts["validate_s"] < cost["train_s"]
    assert parts["latency_s"] > 0
    assert parts["save_s"] > 0


def test_short_training_has_one_point_per_step(make_job, tiny_bert):
    spec, folder = make_job(tiny_bert, "full", epochs=1, batch_size=32)
    assert [step for step, _, _ in evaluate_pipeline(spec, folder)["curve"]] == [1, 2]


def test_the_best_checkpoint_is_kept_and_not_the_last(make_job, tiny_bert, monkeypatch):
    scripted = iter([0.2, 0.9, 0.5, 0.9, 0.4, 0.3, 0.2, 0.1])
    seen = []
    predict = sequence.predict_logits

    def predicted(module, *args, **options):
        seen.append(module.classifier.weight.detach().clone())
        return predict(module, *args, **options)

    monkeypatch.setattr(sequence, "predict_logits", predicted)
    monkeypatch.setattr(training, "task_scores", lambda *_: {"f1": next(scripted, 0.77)})
    spec, folder = make_job(tiny_bert, "full")
    result = evaluate_pipeline(spec, folder)
    seen = seen[:9]  # what follows measures the latency
    assert [score for _, _, score in result["curve"]] == [0.2, 0.9, 0.5, 0.9, 0.4, 0.3, 0.2, 0.1]
    assert result["scores"] == {"f1": 0.77}  # of the whole validation set, with the best
    kept = trained(folder)["classifier.weight"]
    assert torch.equal(kept, seen[1])
    assert torch.equal(seen[8], seen[1])
    assert not torch.equal(seen[7], seen[1])


def test_final_scores_are_those_of_the_whole_validation_set(make_job, tiny_bert, monkeypatch):
    monkeypatch.setattr(trial_data, "subset_size", lambda *_: 8)
    n_rows = []
    score = training.task_scores
    monkeypatch.setattr(
        training, "task_scores", lambda kind, truth, *rest: n_rows.append(len(truth)) or score(kind, truth, *rest)
    )
    evaluate_pipeline(*make_job(tiny_bert, "full"))
    assert n_rows == [8] * 8 + [24]


@pytest.mark.parametrize("learning_rate", [1e30, math.inf])
def test_a_training_that_explodes_has_diverged(make_job, tiny_bert, learning_rate):
    spec, folder = make_job(tiny_bert, "full", learning_rate=learning_rate)
    with pytest.raises(DivergedError):
        evaluate_pipeline(spec, folder)


def test_a_pooling_that_the_model_lacks_is_invalid(make_job, tiny_bert):
    spec, folder = make_job(tiny_bert, "full", pooling="native")
    with pytest.raises(InvalidPipelineError, match="'native' is not one of"):
        evaluate_pipeline(spec, folder)


def test_time_saved_by_a_cache_is_added_to_the_cost(make_job, tiny_bert):
    first, again, other = (evaluate_pipeline(*make_job(tiny_bert, "head", max_length=n))["cost"] for n in (16, 16, 12))
    assert first["cached_s"] == pytest.approx(0, abs=1e-9)
    assert again["cached_s"] > 0
    assert other["cached_s"] == pytest.approx(0, abs=1e-9)  # another length is another entry


def test_features_of_a_native_head_are_those_that_the_checkpoint_rebuilds(make_job, tiny_distilbert):
    """The second trial reads cached features: its own untrained layers must be those that they came through."""
    jobs = [make_job(tiny_distilbert, "head", seed=seed) for seed in (1, 2)]
    for job in jobs:
        evaluate_pipeline(*job)
    first, second = (trained(folder) for _, folder in jobs)
    assert torch.equal(first["pre_classifier.weight"], second["pre_classifier.weight"])


def test_a_share_of_the_rows_is_trained_on(make_job, tiny_bert):
    spec, folder = make_job(tiny_bert, "full", train_fraction=0.25, epochs=1)
    assert evaluate_pipeline(spec, folder)["curve"][-1][0] == 2  # 16 rows in batches of 8


def test_subset_is_stratified_nested_and_sorted():
    labels = [0] * 100 + [1] * 10 + [2] * 3
    quarter, half = (stratified_subset(labels, share, 7) for share in (0.25, 0.5))
    assert [np.bincount(np.array(labels)[rows]).tolist() for rows in (quarter, half)] == [[25, 2, 1], [50, 5, 2]]
    assert set(quarter) < set(half)
    assert quarter == sorted(quarter)
    assert stratified_subset(labels, 0.25, 7) == quarter != stratified_subset(labels, 0.25, 8)
    assert stratified_subset(labels, 1.0, 7) == list(range(113))


def test_subset_has_a_row_of_every_class_however_small_the_share():
    labels = [0] * 1000 + [1] * 2 + [2]
    assert {labels[i] for i in stratified_subset(labels, 0.001, 0)} == {0, 1, 2}


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 1, 2, 2, 2, 2], [1, 1, 0, 2, 2]])
def test_class_weights_are_those_of_scikit_learn(labels):
    classes = np.unique(labels)
    expected = compute_class_weight("balanced", classes=classes, y=labels)
    assert class_weights(labels, len(classes)) == pytest.approx(expected)


def test_weighted_loss_is_that_of_torch():
    logits, labels = torch.tensor([[1.0, -1.0], [0.5, 0.2], [0.0, 3.0]]), torch.tensor([0, 1, 1])
    weights = torch.tensor([0.5, 2.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    assert CrossEntropy(weights)({"logits": logits}, labels) == expected
    with pytest.raises(DivergedError, match="nan"):
        CrossEntropy(None)({"logits": logits * math.nan}, labels)


def test_class_weighting_changes_what_is_learned(make_job, tiny_bert, tmp_path):
    labels = json.loads((tmp_path / "data" / "labels.json").read_text())
    labels["train"] = [0] * 56 + [1] * 8
    (tmp_path / "data" / "labels.json").write_text(json.dumps(labels))
    jobs = [make_job(tiny_bert, "full", class_weighting=on, epochs=1, learning_rate=1e-3) for on in (False, True)]
    for job in jobs:
        evaluate_pipeline(*job)
    plain, weighted = (trained(folder) for _, folder in jobs)
    assert not torch.equal(plain["classifier.weight"], weighted["classifier.weight"])


@pytest.mark.parametrize(
    ("n_rows", "epochs", "n_validation", "expected"),
    [
        (20_000, 3, 5_000, MAX_SUBSET),
        (1_000, 2, 5_000, round(0.15 * 3 / 8 * 2_000)),  # 8 passes over s rows cost 15 % of the training
        (100, 1, 5_000, 64),
        (20_000, 3, 40, 40),
    ],
)
def test_validation_subset_is_affordable(n_rows, epochs, n_validation, expected):
    assert subset_size(n_rows, epochs, n_validation) == expected
