"""The profile of a run: what is embedded and measured, how often, and what happens when that fails."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from xautolm import AutoLM
from xautolm.backends.slots import Slots
from xautolm.data.load import load_task
from xautolm.errors import ModelError, WorkerError
from xautolm.metafeatures import build_profile
from xautolm.metafeatures.machine import system_features
from xautolm.metafeatures.semantic import TaskEmbeddings
from xautolm.metafeatures.speed import MachineSpeed, read_speed, speed_file, speed_key
from xautolm.profiling import Stopwatch, embed_task, machine_speed, profile_subject
from xautolm.records import Answer, DataSource, Split, Task
from xautolm.space.catalogue import EMBEDDED_NAME, embedded_folder, read_model

SLOTS = Slots(("cpu",), n_threads=1)
WIDTH = 384


class FakeBackend:
    """Answers jobs at once and notes them; the jobs named in `fails` fail."""

    def __init__(self, scratch, *fails):
        self.scratch, self.fails = scratch, fails
        self.jobs, self.limits, self.is_started = [], [], False

    def start(self):
        self.is_started = True

    def run_job(self, name, fields, *, time_limit_s=None):
        self.jobs.append((name, fields))
        self.limits.append(time_limit_s)
        if name in self.fails:
            raise WorkerError(f"the job `{name}` failed: no luck", reason="no luck")
        folder = self.scratch / f"job-{len(self.jobs)}"
        folder.mkdir()
        if name == "embed":
            np.save(folder / "embeddings.npy", vectors(fields["texts"]))
            return {"folder": str(folder)}
        speed = {"step_s": 0.5, "best_step_s": 0.25, "batch_size": 16, "n_tokens": 24, "load_s": 0.1}
        products = {"matmul_gflops": 123.0} if fields["with_products"] else {}
        return {"folder": str(folder), **speed, **products}

    @property
    def names(self):
        return [name for name, _ in self.jobs]


def vectors(texts):
    """One made-up vector of length 1 per text, equal for equal texts."""
    rows = [np.random.default_rng(sum(text.encode())).standard_normal(WIDTH) for text in texts]
    return np.asarray([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


@pytest.fixture
def backend(tmp_path):
    return FakeBackend(tmp_path)


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """A machine that was never measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def task(opinions):
    return load_task(str(opinions))


def questions(n=4):
    split = Split(
        texts=tuple(f"Who is {i}?" for i in range(n)),
        pairs=tuple(f"Number {i} is Ann." for i in range(n)),
        labels=(),
        answers=((), *((Answer("Ann", 12), Answer("Anna")) for _ in range(n - 1))),
    )
    sources = {"train": DataSource("x", "")}
    return Task("x", "question-answering", (), split, split, None, {}, sources, "fp", ())


def embedded():
    return read_model(embedded_folder(), EMBEDDED_NAME)


# ---- the profile


def test_profile_is_that_of_build_profile_with_embeddings_and_the_measured_speed(task, backend):
    profile = profile_subject(task, backend, SLOTS, with_embeddings=True)
    (name, fields), *others = backend.jobs
    assert (name, others) == ("embed", [])
    assert sorted(fields["texts"]) == sorted(task.train.texts)
    expected = build_profile(
        task, {}, embeddings=TaskEmbeddings(np.arange(task.train.n_rows), vectors(task.train.texts))
    )
    assert dict(profile.task) == dict(expected.task)
    assert list(profile.task) == list(expected.task)
    assert profile.task["neighbour_landmark"] > 0
    assert profile.semantic == expected.semantic
    assert len(profile.semantic) == WIDTH
    assert profile.system_schema == "system/2"
    assert list(profile.system) == [*system_features(), "matmul_gflops", "train_rows_per_s"]
    assert (profile.system["matmul_gflops"], profile.system["train_rows_per_s"]) == (100.0, 50.0)  # of conftest
    values = [*profile.task.values(), *profile.system.values(), *profile.semantic]
    assert all(type(value) is float and math.isfinite(value) for value in values)
    assert profile.system_name


def test_profile_of_questions_embeds_prompts_and_main_answers(backend):
    profile = profile_subject(questions(), backend, SLOTS, with_embeddings=True)
    texts = backend.jobs[0][1]["texts"]
    assert texts == [*(f"Number {i} is Ann. Who is {i}?" for i in range(4)), "", "Ann", "Ann", "Ann"]
    assert profile.schema == "generation/1"
    np.testing.assert_allclose(profile.semantic, vectors(texts[:4]).mean(0), atol=1e-6)
    similarity = (vectors(texts[:4]) * vectors(texts[4:])).sum(1).mean()
    assert profile.task["embedding_similarity"] == pytest.approx(float(similarity), abs=1e-6)


def test_without_embeddings_a_machine_that_is_known_needs_no_worker(task, backend):
    profile = profile_subject(task, backend, SLOTS, with_embeddings=False)
    assert profile.semantic is None
    assert backend.jobs == []
    assert not backend.is_started


@pytest.mark.parametrize("failing", ["embed", "measure"])
def test_a_job_that_fails_leaves_a_gap_and_a_warning(task, tmp_path, no_cache, caplog, failing):
    backend = FakeBackend(tmp_path, failing)
    with caplog.at_level(logging.WARNING):
        profile = profile_subject(task, backend, SLOTS, with_embeddings=True)
    assert "no luck" in caplog.text
    assert (profile.semantic is None) == (failing == "embed")
    assert ("train_rows_per_s" in profile.system) == ("matmul_gflops" in profile.system) == (failing == "embed")
    assert profile.task["n_train"] == task.train.n_rows
    assert not speed_file().exists() or failing == "embed"


def test_sample_is_bounded_and_its_texts_are_cut(tmp_path, backend):
    texts = tuple(f"{i} " + "word " * 2_000 for i in range(1_500))
    split = Split(texts, None, tuple(i % 3 for i in range(1_500)))
    task = Task("x", "text-classification", ("a", "b", "c"), split, split, None, {}, {}, "fp", ())
    found = embed_task(task, backend, limit_s=7.0)
    fields = backend.jobs[0][1]
    assert len(fields["texts"]) == len(found.rows) == len(found.texts) == 1_000
    assert all(text == texts[row][:4_000] for row, text in zip(found.rows.tolist(), fields["texts"], strict=True))
    assert fields["max_length"] == 128
    assert (fields["model"]["n_layers"], fields["model"]["is_cut"]) == (6, False)
    assert backend.limits == [7.0]
    assert not list(tmp_path.glob("job-*"))


# ---- the machine


def test_a_machine_is_measured_once_and_remembered(backend, no_cache):
    first = machine_speed("cpu", 1, Stopwatch(backend))
    assert first == MachineSpeed(matmul_gflops=123.0, train_rows_per_s=64.0)  # 16 rows in 0.25 s
    assert backend.jobs[0][1]["model"]["path"] == str(embedded_folder())
    assert machine_speed("cpu", 1, Stopwatch(backend)) == first
    assert len(backend.jobs) == 1
    assert read_speed(speed_file(), speed_key("cpu", 1)) == first
    machine_speed("cpu", 2, Stopwatch(backend))
    assert len(backend.jobs) == 2


def test_a_damaged_cache_means_measuring_again(backend, no_cache):
    machine_speed("cpu", 1, Stopwatch(backend))
    speed_file().write_text("{torn")
    machine_speed("cpu", 1, Stopwatch(backend))
    assert backend.names == ["measure", "measure"]


@pytest.mark.parametrize("is_known", [False, True])
def test_a_run_that_begins_with_the_embedded_encoder_measures_once(task, backend, tmp_path, monkeypatch, is_known):
    if not is_known:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stopwatch = Stopwatch(backend)
    profile_subject(task, backend, SLOTS, with_embeddings=False, stopwatch=stopwatch)
    stopwatch.trial_speed(embedded())
    stopwatch.trial_speed(embedded())
    assert backend.names == ["measure"]
    assert backend.jobs[0][1]["with_products"] != is_known


def test_another_first_model_is_measured_for_itself(task, backend, no_cache, tiny_bert):
    stopwatch = Stopwatch(backend)
    profile_subject(task, backend, SLOTS, with_embeddings=False, stopwatch=stopwatch)
    stopwatch.trial_speed(read_model(tiny_bert, "tiny"))
    stopwatch.trial_speed(read_model(embedded_folder(), EMBEDDED_NAME, keep_layers=3))
    measured = [(Path(fields["model"]["path"]), fields["model"]["n_layers"]) for _, fields in backend.jobs]
    assert measured == [(embedded_folder(), 6), (tiny_bert, 2), (embedded_folder(), 3)]


def test_trials_are_estimated_by_the_median_step_with_its_overhead(backend):
    speed = Stopwatch(backend).trial_speed(embedded())
    half = FakeBackend(backend.scratch / "half")
    half.scratch.mkdir()
    job = half.run_job
    half.run_job = lambda *args, **options: {**job(*args, **options), "step_s": 0.25, "best_step_s": 9.0}
    assert speed.source == "measured"
    assert speed.startup_s == pytest.approx(0.4)
    assert Stopwatch(half).trial_speed(embedded()).flops_per_s == pytest.approx(2 * speed.flops_per_s)


def test_a_first_model_that_cannot_be_trained_is_named(tmp_path, tiny_bert):
    with pytest.raises(ModelError, match=r"`tiny` failed: no luck; .* `--models`"):
        Stopwatch(FakeBackend(tmp_path, "measure")).trial_speed(read_model(tiny_bert, "tiny"))


def test_a_profile_can_be_had_for_a_sampler(tmp_path: Path) -> None:
    rows = "".join(f"a good text {i},pos\na bad text {i},neg\n" for i in range(40))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)

    profile = AutoLM(semantic=False).profile(tmp_path / "rows.csv", target="label")

    assert profile.task["n_classes"] == 2.0
    assert profile.system
    assert profile.semantic is None
