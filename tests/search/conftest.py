"""The analytic space with everything that a search on it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from xautolm.evaluate.fake import analytic_space
from xautolm.prior.reference import cold_prior
from xautolm.records import Objective, Pipeline, Prior, TrialResult
from xautolm.search.proposals import Proposer
from xautolm.space.feasibility import Limits, Verdict
from xautolm.space.params import Space

OBJECTIVES = (Objective("f1", "maximize"), Objective("time", "minimize"))


def size_fits(pipeline: Pipeline, seen: Sequence[TrialResult] = ()) -> Verdict:
    """Time and memory grow with batch and length; nothing above 64 x 128 tokens fits."""
    tokens = float(pipeline.params.get("batch_size", 1)) * float(pipeline.params["max_length"])
    frozen = 0.1 if pipeline.method == "head" else 1.0
    fits = tokens <= 64 * 128
    return Verdict(fits, "" if fits else "too many tokens", frozen * (1 + tokens / 100), tokens, Limits(60.0, 64 * 128))


@pytest.fixture(scope="session")
def space() -> Space:
    return analytic_space()


@pytest.fixture
def make_proposer(space: Space) -> Callable[..., Proposer]:
    def make(prior: Prior | None = None, seed: int = 0, **options: object) -> Proposer:
        return Proposer(space, prior or cold_prior(), OBJECTIVES, seed, size_fits, **options)  # type: ignore[arg-type]

    return make
