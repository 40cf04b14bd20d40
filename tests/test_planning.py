"""What a run may try within which limits."""

from dataclasses import replace
from pathlib import Path

import pytest

from xautolm import planning, preparation
from xautolm.config import make_settings
from xautolm.errors import UsageError
from xautolm.metafeatures.gpus import Gpu
from xautolm.recording import Silent
from xautolm.space.catalogue import resolve_models
from xautolm.space.feasibility import Limits, Speed

NAME = "all-MiniLM-L6-v2@1"


def plan(opinions: Path, flops_per_s: float, **fields):
    settings = make_settings({"data": str(opinions), "models": (NAME,), "threads": 1, "workers": 1, **fields})
    subject = preparation.describe(settings, Silent())
    limits = Limits(settings.trial_limit_s, 4000.0)
    return planning.make_plan(settings, subject, limits, Speed(flops_per_s, 0.1, "default"))


def test_a_default_time_limit_that_nothing_fits_is_raised_to_half_of_the_budget_at_most(opinions):
    assert plan(opinions, 1e11, budget="80s").limits.time_s == 10.0
    needed = 1e9
    while plan(opinions, needed, budget="80s").limits.time_s == 10.0:
        needed /= 1.5
    raised = plan(opinions, needed, budget="80s")
    assert raised.limits.time_s == 20.0
    assert raised.space.methods
    with pytest.raises(UsageError, match="the limit is 40 s"):
        plan(opinions, needed / 1000, budget="80s")


def test_a_time_limit_that_was_asked_for_is_kept(opinions):
    with pytest.raises(UsageError, match=r"the limit is 10 s.*--trial-timeout"):
        plan(opinions, 1e6, budget="80s", trial_timeout="10s")


@pytest.fixture
def gpu_machine(monkeypatch):
    """Makes this a machine with some GPUs."""

    def make(*memories_gib: float, cores: int = 16, free_mib: float = 200_000.0) -> None:
        gpus = tuple(Gpu("an accelerator", memory) for memory in memories_gib)
        monkeypatch.setattr(planning, "visible_gpus", lambda: gpus)
        monkeypatch.setattr(planning, "usable_cores", lambda: cores)
        monkeypatch.setattr(planning, "available_memory_mib", lambda: free_mib)

    return make


def small_model():
    return resolve_models(("all-MiniLM-L6-v2",), offline=True)[0][0]


def shared(**fields):
    settings = make_settings({"data": "d.csv", **fields})
    slots = planning.choose_machine(settings, [small_model()])
    return slots.devices, planning.trial_limits(settings, slots).memory_mib


def test_small_models_share_a_gpu_that_has_room_for_several_and_get_equal_parts(gpu_machine):
    gpu_machine(80.0)
    assert shared() == (("cuda:0",) * planning.MOST_PER_GPU, pytest.approx(0.9 * 80 * 1024 / planning.MOST_PER_GPU))
    gpu_machine(80.0, 80.0, cores=4)
    devices, memory_mib = shared()
    assert devices == ("cuda:0", "cuda:1", "cuda:0", "cuda:1"), "a core for each"
    assert memory_mib == pytest.approx(0.9 * 80 * 1024 / 2)
    gpu_machine(80.0, free_mib=8_000.0)
    assert shared()[1] == pytest.approx(0.8 * 8_000 / planning.MOST_PER_GPU), "the machine's own memory is less"


def test_a_gpu_is_not_shared_where_the_estimate_says_that_two_do_not_fit(gpu_machine):
    need_mib = 0.9 * 80 * 1024 / 2
    while planning.trials_per_gpu(small_model(), need_mib / 0.9, 16) > 1:
        need_mib *= 0.9
    gpu_machine(need_mib / 0.9 / 1024)
    assert shared() == (("cuda:0",), pytest.approx(need_mib / 0.9))
    assert planning.trials_per_gpu(small_model(), need_mib / 0.9 * 2.5, 16) >= 2


def test_large_models_have_a_gpu_for_themselves(gpu_machine):
    gpu_machine(80.0, 80.0)
    large = replace(small_model(), n_params=400_000_000)
    assert planning.choose_machine(make_settings({"data": "d.csv"}), [large]).devices == ("cuda:0", "cuda:1")


def test_the_number_of_workers_may_be_asked_for_and_no_promise_is_broken(gpu_machine):
    gpu_machine(24.0)
    assert shared(workers=2) == (("cuda:0", "cuda:0"), pytest.approx(0.9 * 12 * 1024))
    settings = make_settings({"data": "d.csv"})
    assert len(planning.choose_machine(settings, [small_model()], 24 * 1024.0).devices) == 1
