"""Scores agree with the packages that others take them from, on random predictions.

The `evaluate` package brings no metric with it: it fetches them from a hub, where seqeval's and ROUGE's wrap these
packages and SQuAD's is the official script, from which the table of `test_answer_metrics.py` has its values.
"""

import random

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, root_mean_squared_error

from xautolm.evaluate.metrics.answers import generation_scores
from xautolm.evaluate.metrics.entities import tagging_scores
from xautolm.evaluate.metrics.sequence import multi_label_scores, regression_scores


def test_label_sets_as_scikit_learn():
    rng = np.random.default_rng(0)
    for n_labels in (2, 5):
        truth, predicted = (rng.random((60, n_labels)) < 0.3 for _ in range(2))
        scores = multi_label_scores(*([np.flatnonzero(row) for row in rows] for rows in (truth, predicted)), n_labels)

        assert scores["f1"] == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0.0))
        assert scores["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro"))
        assert scores["accuracy"] == pytest.approx((truth == predicted).all(axis=1).mean())


def test_numbers_as_scipy_and_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 80)  # with ties
    predicted = truth + rng.standard_normal(80).round()
    scores = regression_scores(truth, predicted)

    assert scores["pearson"] == pytest.approx(pearsonr(truth, predicted).statistic)
    assert scores["spearman"] == pytest.approx(spearmanr(truth, predicted).statistic)
    assert scores["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted))


@pytest.mark.parametrize("letters", ["BI", "BIES"])
def test_entities_as_seqeval(letters):
    seqeval = pytest.importorskip("seqeval.metrics")
    names = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC", "A-B"))]
    rng = random.Random(0)
    for _ in range(40):
        lengths = [rng.randrange(1, 12) for _ in range(6)]
        truth = [[rng.randrange(len(names)) for _ in range(n)] for n in lengths]
        predicted = [[tag if rng.random() < 0.7 else rng.randrange(len(names)) for tag in row] for row in truth]
        as_names = [[[names[tag] for tag in row] for row in rows] for rows in (truth, predicted)]
        scores = tagging_scores(truth, predicted, names)

        for key in ("f1", "precision", "recall", "accuracy"):
            theirs = getattr(seqeval, f"{key}_score")(*as_names)
            assert scores[key] == pytest.approx(theirs), (key, as_names)


def test_rouge_as_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    rng = random.Random(0)
    words = ["The", "the", "house,", "houses", "7", "seven-up", "über", "中文", "it's", "cat", "Cat."]
    for _ in range(100):
        references = [" ".join(rng.choices(words, k=rng.randrange(9))) for _ in range(2)]
        text = " ".join(rng.choices(words, k=rng.randrange(9)))
        theirs = scorer.score_multi(references, text)["rougeL"].fmeasure
        rows = [[{"text": reference, "start": None} for reference in references]]

        assert generation_scores(rows, [text])["rouge_l"] == pytest.approx(theirs)
