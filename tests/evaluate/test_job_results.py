"""How failures are classified, and how scores are computed."""

import errno
import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from xautolm.evaluate.job_folder import DivergedError, InvalidPipelineError, JobFolder
from xautolm.evaluate.jobs import classify_error
from xautolm.evaluate.metrics import classification_scores, softmax


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "stage", "expected"),
    [
        (MemoryError(), "train", ("oom", "oom_train")),
        (MemoryError(), "load", ("oom", "oom_train")),
        (MemoryError(), "predict", ("oom", "oom_eval")),
        (OutOfMemoryError("CUDA"), "train", ("oom", "oom_train")),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "predict", ("oom", "oom_eval")),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "train", ("oom", "oom_train")),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "load", ("oom", "oom_train")),
        (OSError(errno.ENOSPC, "No space left on device"), "train", ("interrupted", "disk")),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "load", ("interrupted", "disk")),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "predict", ("interrupted", "disk")),
        (DivergedError("the training loss became nan"), "train", ("diverged", "nan")),
        (InvalidPipelineError("n_layers"), "load", ("invalid", "settings")),
        (OSError("no file named model.safetensors"), "load", ("unavailable", "OSError")),
        (ValueError("unknown model type"), "load", ("unavailable", "ValueError")),
        (ValueError("shapes"), "train", ("crashed", "ValueError")),
        (KeyError("x"), "load", ("crashed", "KeyError")),
        (SystemExit(3), "train", ("crashed", "SystemExit")),
    ],
)
def test_errors_are_classified(error, stage, expected):
    assert classify_error(error, stage) == expected


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, 200).tolist(), rng.integers(0, 4, 200).tolist()
    scores = classification_scores(truth, predicted, 4)
    assert scores["f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert all(type(value) is float for value in scores.values())


def test_a_class_that_is_absent_and_never_predicted_counts_as_zero():
    assert classification_scores([0, 1], [0, 1], 2)["f1"] == 1.0
    assert classification_scores([0, 1], [0, 1], 4)["f1"] == 0.5


def test_softmax_survives_huge_logits_and_keeps_the_order():
    probabilities = softmax(np.array([[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]], dtype=np.float32))
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities[0].tolist() == [1.0, 0.0, 0.0]
    assert probabilities[1] == pytest.approx(np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())


def test_progress_is_replaced_as_a_whole_and_remembers_the_stage(tmp_path):
    folder = JobFolder(tmp_path)
    folder.report(stage="train", epoch=1.5)
    folder.report(step=7)
    assert folder.stage == "train"
    written = json.loads((tmp_path / "progress.json").read_text())
    assert written["step"] == 7
    assert written["at"] > 0
    folder.finish({"status": "ok"})
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "ok"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "result.json"]
