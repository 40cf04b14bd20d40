"""The prior benchmark: its figures are right, complete, and those of the published rows hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.left_out import PRIORS, LeftOut, Opinion, left_out
from benchmarks.prior import ROWS, Judged, document, judge, main, report
from xautolm.experience.importers.paper_rows import read_published_rows
from xautolm.prior.anatomy import ModelBook
from xautolm.prior.forest import ForestOptions
from xautolm.prior.learned import LearnedOptions
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult

PARAMS = {
    "batch_size": 8, "max_length": 128, "learning_rate": 2e-5, "epochs": 1, "warmup_steps": 0, "weight_decay": 0,
    "dropout_rate": 0.1, "optimizer": "adamw", "gradient_accumulation_steps": 1, "lr_scheduler": "linear",
    "use_mixed_precision": False, "class_weighted_loss": False,
}  # fmt: skip
FEATURES = [3000.0, 4.0, 2.0, 0.2, 0.3, 0.7, 100.0, 50.0, 0.5, 0.4]
MACHINE = [8.0, 16.0, 5.0, 125.0, 0.0]


def line(task: str, i: int, *, model: str = "Bert_Base_Uncased", f1: float | None = 0.5, **params: object) -> str:
    row = {
        "alias": task,
        "file": f"2024-11-02/11_{i // 60:02d}_{i % 60:02d}-x",
        "method": "FineTuneLLMEmbeddingClassifier",
        "model": f"WORD_EMB_{model}",
        "params": PARAMS | params,
        "f1": f1,
        "evaluation_time": None if f1 is None else 100.0 + i,
        "error": "CUDA out of memory." if f1 is None else None,
    }
    return json.dumps(row)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tasks on which large batches of a large model run out of memory."""
    for task in ("one", "two", "three"):
        lines = [
            line(task, i, model="Bert_Large_Uncased", f1=None, batch_size=256, max_length=512, epochs=1 + i % 4)
            for i in range(6)
        ]
        lines += [line(task, 10 + i, f1=0.3 + i / 20, batch_size=8 + 8 * (i % 2), epochs=1 + i % 5) for i in range(8)]
        (tmp_path / f"{task}.jsonl").write_text("\n".join(lines) + "\n")
    features = {"dataset_features": FEATURES, "system_features": [MACHINE]}
    datasets = {task: features for task in ("one", "two", "three")}
    (tmp_path / "features.json").write_text(json.dumps({"datasets": datasets}))
    return tmp_path


def test_json_has_every_figure_of_every_prior(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.prior.N_RESAMPLES", 5)
    monkeypatch.setattr("benchmarks.left_out.N_TREES", 5)
    small = ForestOptions(n_trees=10)
    monkeypatch.setattr("benchmarks.left_out.LEARNED", LearnedOptions(forest=small, ranks=small, checks=small))
    out = tmp_path / "figures.json"
    assert main(["--rows", str(folder), "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert sorted(figures) == ["one", "three", "two"]
    for priors in figures.values():
        assert list(priors) == list(PRIORS)
        for name, values in priors.items():
            assert sorted(values) == ["auc", "n", "n_ok", "spearman_f1", "spearman_time"]
            assert (values["n"], values["n_ok"]) == (14, 8)
            assert (values["spearman_time"] is None) == (name not in ("learned", "forest", "forest-all-inputs"))
        assert priors["learned"]["auc"] == 1.0
    printed = capsys.readouterr().out
    assert "learned - reference, mean:" in printed
    assert "| learned |" in printed


def test_a_folder_that_cannot_be_judged_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "one.jsonl").write_text(line("one", 0) + "\n")
    features = {"dataset_features": FEATURES, "system_features": [MACHINE]}
    (tmp_path / "features.json").write_text(json.dumps({"datasets": {"one": features}}))
    assert main(["--rows", str(tmp_path)]) == 2
    assert "at least two tasks" in capsys.readouterr().out


def experience(task: str, i: int, *, ok: bool, f1: float = 0.5, kind: str = "text-classification") -> Experience:
    error = None if ok else TrialError("oom_train", "")
    scores = {"f1": f1} if ok else {}
    pipeline = Pipeline("gpt2", "full", {"epochs": i})
    outcome = TrialResult(i, "ok" if ok else "oom", pipeline, scores, Cost(10.0 + i), 0, error=error)
    profile = Profile("classification/1", {"n_train": 10.0}, "system/1", {})
    return Experience(task, task, task, (), profile, outcome, "1", {}, "", "import", "", kind=kind)


def test_figures_are_those_of_the_opinion() -> None:
    rows = [experience("a", i, ok=i > 1, f1=i / 10) for i in range(6)]
    judged = Judged(
        LeftOut("a", rows, [], ModelBook()),
        Opinion(success=np.array([1.0, 2.0, 2.0, 3.0, 4.0, 5.0]), quality=-np.arange(6.0), time=np.arange(6.0)),
    )
    assert judged.figure("auc") == pytest.approx((2 * 4 - 0.5) / 8)
    assert judged.figure("spearman_f1") == pytest.approx(-1.0)
    assert judged.figure("spearman_time") == pytest.approx(1.0)
    only_failures = np.array([0, 0, 1])
    assert judged.figure("auc", only_failures) is None
    assert judged.figure("spearman_f1", only_failures) is None


def test_a_task_is_left_out_whole_and_other_kinds_only_serve_in_need() -> None:
    rows = [experience(task, i, ok=True) for task in "ab" for i in range(3)]
    rows += [experience("q", i, ok=True, kind="question-answering") for i in range(2)]
    cases = {case.name: case for case in left_out(rows, ModelBook())}
    assert {e.dataset_id for e in cases["a"].others} == {"b"}
    assert {e.dataset_id for e in cases["q"].others} == {"a", "b"}
    assert [case.is_of_other_kind for case in cases.values()] == [False, False, True]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_published_rows_meet_the_targets(tmp_path: Path) -> None:
    if not ROWS.is_dir():
        pytest.skip("the published rows (`shared/paper-store`) are not in this checkout")
    folder = tmp_path / "rows"
    shutil.copytree(ROWS, folder)
    experiences = [e for e in read_published_rows(str(folder)).experiences if e.kind == "text-classification"]
    table = judge(experiences, ModelBook())
    figures = document(table)

    def mean(prior: str, figure: str) -> float:
        return float(np.mean([figures[task][prior][figure] for task in figures]))

    assert mean("learned", "auc") >= max(mean("forest", "auc"), mean("reference", "auc") + 0.15)
    assert mean("learned", "spearman_f1") >= mean("forest", "spearman_f1")
    assert mean("learned", "spearman_time") >= mean("forest", "spearman_time")
    paired = next(text for text in report(table).splitlines() if text.startswith("learned - reference, mean"))
    assert float(paired.split("[")[1].split(",")[0]) > 0
