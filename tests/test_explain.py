"""`xautolm explain`: what a store knows about data, without training and without writing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xautolm import planning, preparation, warmstart
from xautolm.config import Settings, make_settings
from xautolm.errors import StoreError
from xautolm.experience.starter import RECORDED, describe
from xautolm.experience.store import ExperienceStore
from xautolm.explain import explain
from xautolm.metafeatures import build_profile
from xautolm.metafeatures.machine import system_features
from xautolm.prior.model import SearchModel
from xautolm.recording import Silent
from xautolm.records import Cost, Experience, Profile, TrialError, TrialResult


@pytest.fixture
def settings(tiny_bert: Path, opinions: Path) -> Settings:
    """Without embeddings, so that no worker is needed."""
    fields = {"models": (str(tiny_bert),), "methods": ("head", "full"), "threads": 1, "semantic": False}
    return make_settings({"data": str(opinions), "starter": False, **fields})


@pytest.fixture
def fill(settings: Settings, own_store: str) -> Callable[..., None]:
    """Adds experiences of a task whose heads worked and whose full fine-tuning ran out of memory."""
    subject = preparation.describe(settings, Silent())
    space = planning.whole_space(settings, subject)
    profile = build_profile(subject.task, system_features("cpu"))

    def add(name: str, *, n: int = 40, kind: str = "text-classification", profile: Profile = profile, **facts) -> None:
        rng, cold = np.random.default_rng(0), SearchModel.uniform(space)
        made = []
        for i in range(n):
            pipeline = cold.sample(rng)
            is_ok = pipeline.method == "head"
            result = TrialResult(
                trial_id=i,
                status="ok" if is_ok else "oom",
                pipeline=pipeline,
                scores={"f1": float(rng.random())} if is_ok else {},
                cost=Cost(1.0 + i % 7),
                seed=0,
                error=None if is_ok else TrialError("oom_train", ""),
            )
            task = {"dataset_id": name, "fingerprint": f"fp-{name}", "sketch": (), "kind": kind, **facts}
            made.append(Experience(f"run-{name}", profile=profile, result=result, space_version="1", versions={},
                                   model_revision="", source="machine", created_at="", **task))  # fmt: skip
        with ExperienceStore(own_store) as store:
            store.add(made)

    return add


def weights(explanation, handle: str) -> tuple[dict[str, float], dict[str, float]]:
    decision = next(d for d in explanation.decisions if d.handle == handle)
    return decision.before["weights"], decision.after["weights"]


def test_near_tasks_move_the_belief(settings: Settings, fill: Callable[..., None]) -> None:
    fill("near")
    explanation = explain(settings)
    (near,) = explanation.near
    assert (near.dataset_id, near.n_experiences) == ("near", 40)
    assert near.distance == pytest.approx(0.0, abs=1e-6)
    assert near.n_positive + near.n_negative == len(explanation.counted) > 20
    assert near.weight_positive > 0 > near.weight_negative
    before, after = weights(explanation, "method")
    assert before == {"head": 0.5, "full": 0.5}
    assert after["head"] > 0.6
    assert explanation.prior_kind == "learned"
    assert "predicts success" in explanation.notes[0]
    assert explanation.table_names == ("this data", "near")


@pytest.mark.parametrize("kind", ["learned", "reference", "knn"])
def test_it_says_what_fit_would_believe(kind: str, settings: Settings, fill: Callable[..., None]) -> None:
    settings = settings.model_copy(update={"prior": kind})
    fill("near")
    fill("other", profile=Profile("classification/1", {"n_train": 9e5}, "system/1", {"ram_gib": 512.0}))
    fill("asked", kind="question-answering", profile=Profile("generation/1", {"n_train": 9.0}, "system/1", {}))
    explanation = explain(settings)
    subject = preparation.describe(settings, Silent())
    space = planning.whole_space(settings, subject)
    with ExperienceStore(preparation.default_store_url(preparation.os.environ)) as store:
        rated = warmstart.past_trials(settings, store, subject.task, explanation.profile)
        prior = warmstart.make_prior(settings, space, rated, explanation.profile)
    assert prior.kind == explanation.prior_kind == kind
    assert len(explanation.counted) == sum(n.n_positive + n.n_negative for n in prior.neighbours)
    assert prior.model is not None
    fitted = SearchModel.from_dict(prior.model).describe()
    assert fitted["method"] == next(d for d in explanation.decisions if d.handle == "method").after
    counts = {(n.dataset_id, n.distance, n.n_positive, n.n_negative) for n in prior.neighbours}
    shown = explanation.near
    assert counts == {
        (t.dataset_id, t.distance, t.n_positive, t.n_negative) for t in shown if t.n_positive + t.n_negative
    }


def test_other_kinds_of_task_are_shown_and_teach_nothing(settings: Settings, fill: Callable[..., None]) -> None:
    fill("questions", kind="question-answering")
    explanation = explain(settings)
    assert [(task.kind, task.n_positive, task.n_negative) for task in explanation.near] == [
        ("question-answering", 0, 0)
    ]
    assert "only of other kinds" in explanation.notes[0]
    before, after = weights(explanation, "method")
    assert before == after
    assert explanation.prior_kind == "none"


def test_own_data_are_at_distance_0_and_data_sets_can_be_left_out(
    settings: Settings, fill: Callable[..., None]
) -> None:
    subject = preparation.describe(settings, Silent())
    far = Profile("classification/1", {"n_train": 9e5, "n_classes": 90.0}, "system/1", {"ram_gib": 512.0})
    fill("mine", profile=far, fingerprint=subject.task.fingerprint)
    fill("near")
    explanation = explain(settings)
    assert {task.dataset_id: task.is_same_data for task in explanation.near} == {"mine": True, "near": False}
    assert next(task for task in explanation.near if task.is_same_data).distance == 0
    left = explain(settings.model_copy(update={"exclude_dataset": ("mine",)}))
    assert [task.dataset_id for task in left.near] == ["near"]


def test_without_a_store_nothing_is_made(settings: Settings, own_store: str) -> None:
    explanation = explain(settings)
    assert "There is no experience store" in explanation.notes[0]
    assert explanation.near == explanation.counted == ()
    assert not Path(own_store.removeprefix("sqlite:///")).exists()


def test_empty_store_and_cold_prior_are_told_apart(
    settings: Settings, own_store: str, fill: Callable[..., None]
) -> None:
    ExperienceStore(own_store).close()
    assert "holds no experiences" in explain(settings).notes[0]
    fill("near")
    assert "switched off" in explain(settings.model_copy(update={"prior": "none"})).notes[0]


def test_experience_of_foreign_models_only_is_said_so(settings: Settings, own_store: str) -> None:
    profile = Profile("classification/1", {"n_train": 100.0}, "system/1", {"ram_gib": 8.0})
    from xautolm.records import Pipeline

    result = TrialResult(0, "ok", Pipeline("x", "carp", {}), {"f1": 0.5}, Cost(1.0), 0)
    one = Experience("r", "d", "fp", (), profile, result, "1", {}, "", "machine", "")
    with ExperienceStore(own_store) as store:
        store.add([one, replace(one, run_id="s")])
    assert "anything about the models and methods here" in explain(settings).notes[0]


def test_a_database_that_is_no_store_is_refused(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    path.write_text("not a database")
    with pytest.raises(StoreError):
        explain(settings.model_copy(update={"store": f"sqlite:///{path}"}))
    assert path.read_text() == "not a database"


QUESTIONS = [
    {"context": f"River {i} flows through town {i % 7} to the sea.", "question": f"Where does river {i} flow?",
     "answers": {"text": ["to the sea"], "answer_start": [len(f"River {i} flows through town {i % 7} ")]}}
    for i in range(80)
]  # fmt: skip


def test_question_answering_has_a_profile_near_tasks_and_a_space_of_its_own(
    settings: Settings, fill: Callable[..., None], tmp_path: Path
) -> None:
    fill("labelled")
    fill("asked", kind="question-answering", profile=Profile("generation/1", {"n_train": 60.0}, "system/1", {}))
    path = tmp_path / "rivers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in QUESTIONS))
    explanation = explain(settings.model_copy(update={"data": str(path), "methods": None}))
    assert explanation.kind == "question-answering"
    assert explanation.profile.schema == "generation/1"
    assert "mean_target_chars" in explanation.profile.task
    assert {task.dataset_id for task in explanation.near} == {"labelled", "asked"}
    assert explanation.near[0].dataset_id == "asked", "another kind of task is farther"
    methods = next(decision for decision in explanation.decisions if decision.handle == "method")
    assert set(methods.before["weights"]) == {"partial", "lora", "full"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_with_embeddings_the_meaning_counts(settings: Settings, fill: Callable[..., None]) -> None:
    fill("near")
    explanation = explain(settings.model_copy(update={"semantic": True}))
    assert explanation.profile.semantic is not None
    assert len(explanation.profile.semantic) == 384
    assert "semantic" not in explanation.near[0].groups, "the past task has no embedding"
    json.dumps(explanation.to_dict(), allow_nan=False)


def test_what_comes_with_the_package_counts_unless_it_is_left_out(
    settings: Settings, fill: Callable[..., None]
) -> None:
    fill("near")

    def names(**fields: bool) -> set[str]:
        return {task.dataset_id for task in explain(settings.model_copy(update=fields)).near}

    assert names() == {"near"}
    (recorded,) = describe((RECORDED,))
    assert names(starter=True, published=False) == {"near", *recorded.datasets}
    assert names(starter=True) == {"near", "squad", *recorded.datasets}


def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    from xautolm import cli

    monkeypatch.setattr("sys.argv", ["xautolm", "explain", *map(str, args)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0), *capsys.readouterr()


def test_command_prints_text_json_and_a_page_and_writes_only_that(
    settings: Settings,
    fill: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill("near")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    options = (settings.data, "--target", "label", "--models", *(settings.models or ()), "--methods", "head,full")
    options += ("--no-semantic", "--no-starter")
    code, out, err = run_cli(monkeypatch, capsys, *options)
    assert (code, err) == (0, "")
    assert "1 past task with 40 experiences" in out
    assert list(tmp_path.glob("cwd/*")) == []
    code, out, _ = run_cli(monkeypatch, capsys, *options, "--json", "--html", "page.html")
    found = json.loads(out)
    assert code == 0
    assert [task["dataset_id"] for task in found["near"]] == ["near"]
    assert found["profile"]["task"]["n_train"] == 112.0
    assert {piece["run_id"] for piece in found["counted"]} == {"run-near"}
    assert [p.name for p in tmp_path.glob("cwd/*")] == ["page.html"]
    assert "Content-Security-Policy" in (tmp_path / "cwd" / "page.html").read_text()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["nothing.csv"], "nothing.csv"),
        (["{data}", "--target", "lable"], "did you mean `label`?"),
        (["{data}", "--store", "nonsense"], "nonsense"),
        (["{data}", "--models", "{model}", "--html", "no/where/page.html"], "--html"),
        (["{data}", "--methods", "magic"], "'magic'"),
        (["{data}", "--column", "text"], "ROLE=NAME"),
    ],
)
def test_wrong_usage_is_refused_with_code_2(
    args: list[str],
    expected: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [arg.format(data=settings.data, model=(settings.models or ("",))[0]) for arg in args]
    code, out, err = run_cli(monkeypatch, capsys, *given)
    assert (code, out) == (2, "")
    assert expected in err
    assert list(tmp_path.iterdir()) == []
