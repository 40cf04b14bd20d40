"""Baselines as jobs: scores, costs, and what gives nothing to learn from."""

import json

import pytest

from xautolm.evaluate.baselines import score_baseline
from xautolm.evaluate.job_folder import InvalidPipelineError, JobFolder

SETTINGS = {"c": 10.0, "max_features": 1000, "train_fraction": 1.0}


@pytest.fixture
def score(tmp_path):
    def run(name, texts, labels, pairs=None, n_classes=2, kind="text-classification", **settings):
        folder = tmp_path / "job"
        folder.mkdir(exist_ok=True)
        rows = json.dumps({"texts": texts, "pairs": pairs})
        for split in ("train", "validation"):
            (tmp_path / f"{split}.json").write_text(rows)
        names = [str(label) for label in range(n_classes)]
        both = {"train": labels, "validation": labels, "kind": kind, "names": names}
        (tmp_path / "labels.json").write_text(json.dumps(both))
        spec = {"baseline": name, "data": str(tmp_path), "params": SETTINGS | settings, "data_seed": 0}
        return score_baseline(spec, JobFolder(folder))

    return run


def test_majority_class_is_the_most_frequent_of_the_training_rows(score):
    found = score("majority", ["a"] * 10, [1] * 7 + [0] * 3)
    assert found["scores"]["accuracy"] == pytest.approx(0.7)
    assert found["scores"]["f1"] == pytest.approx(0.5 * 14 / 17)  # the other class counts 0


def test_words_tell_the_classes_apart(score):
    texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(40)]
    found = score("tfidf_logreg", texts, [i % 2 for i in range(40)])
    assert found["scores"] == {"f1": 1.0, "accuracy": 1.0}
    cost = found["cost"]
    assert cost["time_s"] == pytest.approx(cost["load_s"] + cost["train_s"] + cost["predict_s"])
    assert cost["latency_ms"] > 0
    assert found["n_trained"] > 40
    assert found["curve"] == []


def test_the_second_text_of_a_pair_counts(score):
    labels = [i % 2 for i in range(40)]
    found = score("tfidf_logreg", ["same"] * 40, labels, pairs=["yes" if label else "no" for label in labels])
    assert found["scores"]["f1"] == 1.0


def test_a_share_of_the_rows_is_learned_from_and_all_are_scored(score):
    texts = [f"word{i}" for i in range(40)]
    labels = [i % 2 for i in range(40)]
    few, all_rows = (score("tfidf_logreg", texts, labels, train_fraction=share)["n_trained"] for share in (0.5, 1.0))
    assert few == all_rows / 2 + 0.5  # 20 words less, each with a weight and a frequency; one intercept


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [(["\N{GRINNING FACE}"] * 8, [0, 1] * 4, "empty vocabulary"), (["some words"] * 8, [1] * 8, "classes")],
)
def test_nothing_to_learn_from_is_an_invalid_baseline_and_no_crash(score, texts, labels, said):
    with pytest.raises(InvalidPipelineError, match=said):
        score("tfidf_logreg", texts, labels)
    assert score("majority", texts, labels)["scores"]["accuracy"] >= 0.5
