"""Which models fit: the verdicts are those of a run, without a download, a worker or a trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xautolm import planning, preparation, profiling
from xautolm import shortlist as shortlists
from xautolm.config import make_settings
from xautolm.errors import UsageError
from xautolm.metafeatures.gpus import Gpu
from xautolm.profiling import speed_alone
from xautolm.recording import Silent
from xautolm.report.models_text import brief, models_text, shortlist_text
from xautolm.shortlist import shortlist
from xautolm.space.feasibility import DEFAULT_SPEED, Limits
from xautolm.space.fits import Candidate, Shortlist
from xautolm.space.inventory import offers

Judge = Callable[..., Shortlist]


@pytest.fixture
def judge(opinions: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    """Judges models by 160 short sentences; a worker may not be started, the hub's cache is empty."""

    def start(*args: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(profiling, "WorkerServer", start)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def make(**fields: Any) -> Shortlist:
        return shortlist(make_settings({"data": str(opinions), "threads": 1, "workers": 1, "memory": "4GiB", **fields}))

    return make


def names(candidates: tuple[Candidate, ...]) -> set[str]:
    return {candidate.offer.name for candidate in candidates if candidate.is_fitting}


def test_every_model_of_known_size_has_a_verdict_for_every_method(judge: Judge) -> None:
    found = judge()

    assert found.methods == ("head", "partial", "lora", "full")
    assert len(found.candidates) > 100
    for candidate in found.candidates:
        expected = list(found.methods) if candidate.offer.spec else []
        assert [fit.method for fit in candidate.fits] == expected
        assert all(fit.fits == (fit.reason == "") for fit in candidate.fits)
        assert all(fit.time_s and fit.memory_mib and fit.excess for fit in candidate.fits)


def test_models_that_fit_are_the_small_ones_and_reasons_name_the_limit(judge: Judge) -> None:
    found = {candidate.offer.name: candidate for candidate in judge().candidates}
    large = found["meta-llama/Llama-3.1-70B"]

    assert found["all-MiniLM-L6-v2@1"].is_fitting
    assert found["bert-base-uncased"].is_fitting
    assert not large.is_fitting
    assert all("the limit is 4.0 GiB" in fit.reason for fit in large.fits)
    full, lora = (next(f for f in found["bert-large-uncased"].fits if f.method == m) for m in ("full", "lora"))
    assert (full.fits, lora.fits) == (False, True)
    assert (full.lacks, lora.lacks) == (("memory",), ())


def test_models_that_only_lack_time_are_counted_for_whoever_can_wait(judge: Judge) -> None:
    names_asked = ("all-MiniLM-L6-v2@1", "bert-large-uncased", "meta-llama/Llama-3.1-70B")
    found = judge(models=names_asked, trial_timeout="6s")
    text = " ".join(shortlist_text(found, 100).split())

    assert "2 models would not fit, 1 of them for lack of time alone" in text
    assert names(judge(models=names_asked, trial_timeout="2h").candidates) == set(names_asked[:2])


def test_less_memory_and_less_time_leave_fewer_models(judge: Judge) -> None:
    usual = names(judge().candidates)

    assert names(judge(memory="1GiB").candidates) < usual
    assert names(judge(trial_timeout="20s").candidates) < usual
    assert names(judge(memory="100GiB", trial_timeout="10h").candidates) > usual


def test_first_pipelines_and_estimates_are_those_that_a_run_would_begin_with(
    judge: Judge, opinions: Path, tiny_bert: Path
) -> None:
    fields = {"models": (str(tiny_bert),), "methods": ("head", "lora", "full"), "trial_timeout": "1m"}
    found = judge(**fields)
    (candidate,), (bench,) = found.candidates, found.benches
    settings = make_settings({"data": str(opinions), "threads": 1, "workers": 1, "memory": "4GiB", **fields})
    subject = preparation.describe(settings, Silent())
    slots = planning.choose_machine(settings, subject.models)
    limits = planning.trial_limits(settings, slots)
    plan = planning.make_plan(settings, subject, limits, speed_alone(slots))

    assert (bench.limits, bench.n_at_once, bench.n_threads) == (Limits(60.0, 4096.0), 1, 1)
    assert [fit.pipeline for fit in candidate.fits] == list(plan.defaults)


def test_a_pipeline_that_had_to_be_reduced_is_marked(judge: Judge) -> None:
    (slow,) = judge(models=("bert-base-uncased",), methods=("full",), trial_timeout="2h").candidates
    (fast,) = judge(models=("bert-base-uncased",), methods=("full",), trial_timeout="30s").candidates
    reduced, whole = fast.fits[0], slow.fits[0]

    assert (whole.is_reduced, reduced.is_reduced) == (False, True)
    assert "*" in brief(reduced)
    assert "*" not in brief(whole)
    assert reduced.time_s is not None
    assert whole.time_s is not None
    assert reduced.time_s < whole.time_s


def test_what_cannot_learn_the_task_says_why(judge: Judge, tmp_path: Path) -> None:
    data = tmp_path / "summaries.jsonl"
    rows = [{"text": f"a long story about {i} bears", "target": f"{i} bears"} for i in range(60)]
    data.write_text("\n".join(map(json.dumps, rows)))
    found = judge(data=str(data), task="text-generation", models=("bert-base-uncased", "gpt2"))
    bert, gpt2 = found.candidates

    assert bert.refusal == "an encoder writes no text, which `text-generation` asks for"
    assert gpt2.refusal is None
    assert [fit.is_able for fit in gpt2.fits] == [False, True, True, True]
    text = shortlist_text(found)
    assert "1 model cannot learn this task: an encoder writes no text" in text
    assert "The method `head` cannot teach it" in text


def test_an_architecture_without_the_head_is_refused_and_the_others_are_judged(judge: Judge, tmp_path: Path) -> None:
    data = tmp_path / "names.jsonl"
    rows = [{"tokens": ["Anna", "sleeps", str(i)], "ner_tags": ["B-PER", "O", "O"]} for i in range(60)]
    data.write_text("\n".join(map(json.dumps, rows)))
    found = judge(data=str(data), task="token-classification", models=("facebook/bart-base", "bert-base-uncased"))
    bart, bert = found.candidates

    assert bart.refusal == "transformers has no `bart` with a head for `token-classification`"
    assert bert.is_fitting


def test_a_gpu_with_less_memory_than_the_machine_sets_the_limit(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = (Gpu("a small one", memory_gib=2.0),)
    monkeypatch.setattr(planning, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(shortlists, "speed_alone", lambda slots: DEFAULT_SPEED)
    (bench,) = judge(device="cuda:0", models=("bert-base-uncased",)).benches
    (on_cpu,) = judge(device="cpu", models=("bert-base-uncased",)).benches

    assert (bench.device, bench.limits.memory_mib) == ("cuda:0", 2048.0)
    assert (on_cpu.device, on_cpu.limits.memory_mib) == ("cpu", 4096.0)


def test_wrong_methods_and_devices_are_refused_before_anything_is_read(judge: Judge) -> None:
    with pytest.raises(UsageError, match="expected one of head"):
        judge(methods=("magic",))
    with pytest.raises(UsageError, match="NVIDIA GPU"):
        judge(device="cuda:0")


def test_no_line_is_wider_than_the_terminal(judge: Judge) -> None:
    found = judge()
    for width in (80, 100):
        for text in (shortlist_text(found, width), models_text(offers(), width)):
            assert max(map(len, text.splitlines())) <= width


def test_names_can_be_copied_from_what_is_printed(judge: Judge) -> None:
    found = judge()
    words = set(shortlist_text(found, 80).replace(",", " ").replace(".\n", " ").split())

    assert {candidate.offer.name for candidate in found.candidates} <= words
    listing = set(models_text(offers(), 80).split())
    assert {candidate.offer.name for candidate in found.candidates} <= listing


def test_a_speed_that_is_kept_gives_the_estimates_of_one_that_was_just_measured() -> None:
    slots = profiling.Slots(("cpu",), n_threads=1)
    speed = speed_alone(slots)  # the suite's cache: 50 rows/s, steps of 16 rows

    assert speed.source == "measured"
    model = profiling.read_model(profiling.embedded_folder(), profiling.EMBEDDED_NAME)
    size = profiling.TaskSize(1600, 0, 2, (24,) * 101)
    workload = profiling.Workload(model.n_params, model.n_layers, True, 1.0, 16, 24, 1.0)
    nothing = replace(size, n_train=16)
    steps_s = profiling.estimate(workload, model, size, speed).time_s
    one_step_s = profiling.estimate(workload, model, nothing, speed).time_s
    assert (steps_s - one_step_s) / 99 == pytest.approx(1.3 * 16 / 50, rel=0.25)
