"""What a run may try within which limits."""

from pathlib import Path

import pytest

from xautolm import planning, preparation
from xautolm.config import make_settings
from xautolm.errors import UsageError
from xautolm.recording import Silent
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
