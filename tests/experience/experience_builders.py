"""Makers of results and experiences for the tests of journal and store."""

from __future__ import annotations

from hypothesis import strategies as st

from xautolm.experience.scrub import scrub
from xautolm.records import Cost, Experience, Pipeline, Profile, TrialError, TrialResult


def make_result(trial_id: int = 0, **changes) -> TrialResult:
    facts = {
        "status": "ok",
        "pipeline": Pipeline("all-MiniLM-L6-v2@3", "lora", {"learning_rate": 1e-4, "lora_r": 8, "bias": False}),
        "scores": {"f1": 0.8125, "accuracy": 0.9},
        "cost": Cost(time_s=12.5, cached_s=0.5, train_s=10.0, predict_s=1.5, peak_mem_mib=812.0),
        "seed": 7,
        "seen": (0, 3, 1),
        "curve": ((10, 1.5, 0.5), (20, 3.0, 0.75)),
        "n_parallel": 2,
        "started_at": "2026-01-02T03:04:05.678901+00:00",
        "finished_at": "2026-01-02T03:04:18.178901+00:00",
    }
    return TrialResult(trial_id=trial_id, **(facts | changes))


def make_profile(n_train: float = 100.0, **changes) -> Profile:
    facts = {
        "schema": "classification/1",
        "task": {"n_train": n_train, "cv_chars": 1 / 3},
        "system_schema": "system/1",
        "system": {"ram_gib": 23.540592193603516, "gpu_memory_gib": 0.0},
    }
    return Profile(**(facts | changes))


def make_experience(run_id: str = "run-a", trial_id: int = 0, **changes) -> Experience:
    facts = {
        "dataset_id": "reviews",
        "fingerprint": "f" * 64,
        "sketch": tuple(range(2**63, 2**63 + 256)),
        "profile": make_profile(),
        "result": make_result(trial_id),
        "space_version": "1",
        "versions": {"torch": "2.13.0", "xautolm": "0.1.0"},
        "model_revision": "a" * 40,
        "source": "machine",
        "created_at": "2026-01-02T03:04:18+00:00",
    }
    return Experience(run_id=run_id, **(facts | changes))


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), numbers, names)
named_numbers = st.dictionaries(names, numbers, max_size=4)
pipelines = st.builds(
    Pipeline,
    model=names,
    method=names,
    params=st.dictionaries(names.filter(lambda name: name not in ("model", "method")), values, max_size=4),
)
results = st.builds(
    TrialResult,
    trial_id=st.integers(0, 2**31 - 1),
    status=st.sampled_from(("ok", "oom", "timeout", "diverged", "crashed", "unavailable", "invalid", "stopped")),
    pipeline=pipelines,
    scores=named_numbers,
    cost=st.builds(Cost, numbers, numbers, numbers, numbers, *[st.none() | numbers] * 2, size_mib=st.none() | numbers),
    seed=st.integers(0, 2**63),
    seen=st.lists(st.integers(0, 500), max_size=4).map(tuple),
    curve=st.lists(st.tuples(st.integers(0, 10**6), numbers, numbers), max_size=3).map(tuple),
    n_threads=st.integers(1, 64),
    n_parallel=st.integers(1, 64),
    requested=st.none() | pipelines,
    error=st.none() | st.builds(TrialError, kind=names, message=st.text().map(scrub)),
    started_at=names,
    finished_at=names,
)
profiles = st.builds(
    Profile,
    schema=names,
    task=named_numbers,
    system_schema=names,
    system=named_numbers,
    semantic=st.none() | st.lists(numbers, max_size=4).map(tuple),
    system_name=names,
)
experiences = st.builds(
    Experience,
    run_id=names,
    dataset_id=names,
    fingerprint=names,
    sketch=st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple),
    profile=profiles,
    result=results,
    space_version=names,
    versions=st.dictionaries(names, names, max_size=3),
    model_revision=names,
    source=st.sampled_from(("machine", "import", "starter")),
    created_at=names,
    kind=st.sampled_from(("text-classification", "multi-label")),
    time_limit_s=st.none() | numbers,
    memory_limit_mib=st.none() | numbers,
)
