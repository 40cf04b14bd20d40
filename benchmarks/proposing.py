"""What a proposal of the default search costs: a run of its own, in a process of its own, on made-up results."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np

from benchmarks.recording.space import recorded_space
from benchmarks.synthetic import draw_result, make_experiences
from xautolm.config import OBJECTIVES
from xautolm.prior.evidence import rate
from xautolm.prior.reference import build_reference_prior
from xautolm.prior.similarity import DistanceOptions
from xautolm.records import TrialResult
from xautolm.search.plan import Plan
from xautolm.search.ranking import Ranking
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize
from xautolm.warmstart import with_predictors

#: Number of the first pipeline of the run: none of the experiences has it.
_FIRST = 10_000_000
#: Results that the flatness of memory is measured with.
_N_FLAT = 50


def propose_all(n_trials: int, n_experiences: int, n_flat: int) -> dict[str, float]:
    """Propose `n_trials` trials one after the other, each knowing all results before it, then go on with few results.

    Args:
        n_trials: of the run.
        n_experiences: that the learned prior rests on.
        n_flat: further proposals, over which memory must not grow.

    Returns:
        Processor milliseconds per proposal, refits included: `mean_ms` over the run, `last_ms` over its last tenth;
        `growth_mib` of resident memory over the further proposals; `prior_s` to learn the prior.
    """
    space, rng = recorded_space(), random.Random(1)
    experiences = list(make_experiences(n_experiences, space))
    objectives = (OBJECTIVES["f1"], OBJECTIVES["time"])
    began = time.process_time()
    near = rate(experiences, experiences[0].profile, "", (), options=DistanceOptions())
    prior = with_predictors(build_reference_prior(space, near), space, near, objectives)
    prior_s = time.process_time() - began
    plan = Plan(space, TaskSize(1000, 500, 2, (20,) * 101), Limits(600.0, 4096.0), DEFAULT_SPEED, ())
    ranking = Ranking(plan, prior, experiences[0].profile, objectives)
    seen: list[TrialResult] = []
    spent = []
    for trial_id in range(n_trials):
        began = time.process_time()
        ranking.propose(trial_id, tuple(seen))
        spent.append(time.process_time() - began)
        seen.append(draw_result(rng, space, 0, _FIRST + trial_id, trial_id))
    ranking = Ranking(plan, prior, experiences[0].profile, objectives)
    few, resident = tuple(seen[:_N_FLAT]), []
    for i in range(n_flat):
        ranking.propose(_N_FLAT + i, few)
        if i in (n_flat // 10, n_flat - 1):
            resident.append(_resident_mib())
    milliseconds = 1000.0 * np.asarray(spent)
    return {
        "mean_ms": float(milliseconds.mean()),
        "last_ms": float(milliseconds[-max(n_trials // 10, 1) :].mean()),
        "growth_mib": resident[-1] - resident[0],
        "prior_s": prior_s,
    }


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
