"""Strange stores: each prior and the search on it go on, propose points of the space, and say what was used."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.replaying.analytic import made_up_task, past_of
from xautolm.config import make_settings
from xautolm.evaluate.fake import FakeBackend
from xautolm.experience.groups import ExperienceGroup
from xautolm.preparation import make_ranking
from xautolm.records import (
    Budget,
    Cost,
    DataSource,
    Experience,
    Pipeline,
    Prior,
    Profile,
    Split,
    Task,
    TrialError,
    TrialResult,
)
from xautolm.report.prior_facts import from_run
from xautolm.search.budget import Clock
from xautolm.search.loop import Events, search
from xautolm.search.samplers import make_search
from xautolm.warmstart import make_prior, past_trials

HERE = made_up_task(0)
PAST = past_of(0)[:40]
SPLIT = Split(("a",), None, (0,))
TASK = Task("here", "text-classification", (0, 1), SPLIT, SPLIT, None, {}, {"train": DataSource("d", "0")}, "0", ())


class Memory:
    """A store that holds what a database would refuse, too."""

    def __init__(self, experiences: Sequence[Experience]) -> None:
        self.experiences = experiences

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        first = {(e.dataset_id, e.profile.schema): e for e in self.experiences}
        return [
            ExperienceGroup(i, 0, e.kind, e.dataset_id, e.fingerprint, e.sketch, e.profile, 1, 1)
            for i, e in enumerate(first.values())
        ]

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        return list(self.experiences[:limit])


def changed(**changes: object) -> list[Experience]:
    """Past trials whose results are changed."""
    return [replace(e, result=replace(e.result, **changes)) for e in PAST]  # type: ignore[arg-type]


def with_params(change: object) -> list[Experience]:
    found = []
    for e in PAST:
        old = e.result.pipeline
        params = change(dict(old.params))  # type: ignore[operator]
        found.append(replace(e, result=replace(e.result, pipeline=Pipeline(old.model, old.method, params))))
    return found


OLDER = Profile("classification/0", {"rows": 5.0}, "system/0", {})
STORES: dict[str, list[Experience]] = {
    "older space": [
        replace(e, space_version="0", profile=OLDER, time_limit_s=None, memory_limit_mib=None)
        for e in with_params(lambda params: {"shots": 4, "prompt": "short", "max_length": 4096})
    ],
    "unknown models": [
        replace(e, result=replace(e.result, pipeline=Pipeline("nobody/knows", "full", e.result.pipeline.params)))
        for e in PAST
    ],
    "unknown methods": changed(pipeline=Pipeline("tiny", "carp", {"shots": 4})),
    "missing hyperparameters": with_params(lambda params: dict(list(params.items())[:2])),
    "extra hyperparameters": with_params(lambda params: {**params, "alpha": 0.5, "optimizer": "lion", "flag": True}),
    "odd hyperparameters": with_params(
        lambda params: {**params, "learning_rate": "fast", "epochs": math.inf, "batch_size": math.nan}
    ),
    "NaN scores": changed(status="ok", scores={"f1": math.nan}, error=None),
    "infinite scores and costs": changed(status="ok", scores={"f1": math.inf}, cost=Cost(math.inf), error=None),
    "NaN costs": changed(cost=Cost(math.nan, peak_mem_mib=math.nan)),
    "one": PAST[:1],
    "one failure": [next(e for e in PAST if not e.result.is_ok)],
    "ten thousand identical": [next(e for e in PAST if e.result.is_ok)] * 10_000,
    "all failures": changed(status="oom", scores={}, error=TrialError("oom_train", "made up")),
    "nothing": [],
}
KINDS = ("learned", "reference", "knn")
#: Experiences that count for `KINDS`. Predictors also learn from times and failures of methods that are not here; the
#: warm model only from decisions of this space, with 25 of each kind at most for `knn`.
COUNTED = {
    "older space": (40, 40, 30),
    "unknown models": (40, 40, 30),
    "unknown methods": (40, 0, 0),
    "missing hyperparameters": (40, 40, 30),
    "extra hyperparameters": (40, 40, 30),
    "odd hyperparameters": (40, 40, 30),
    "NaN scores": (40, 0, 0),
    "infinite scores and costs": (40, 0, 0),
    "NaN costs": (40, 5, 5),
    "one": (1, 1, 1),
    "one failure": (1, 1, 1),
    "ten thousand identical": (5_000, 10_000, 25),
    "all failures": (40, 40, 25),
    "nothing": (0, 0, 0),
}


def believe(kind: str, store: Sequence[Experience]) -> Prior:
    settings = make_settings({"data": "d.csv", "prior": kind, "starter": False})
    rated = past_trials(settings, Memory(store), TASK, HERE.profile)  # type: ignore[arg-type]
    return make_prior(settings, HERE.plan.space, rated, HERE.profile)


def run(kind: str, prior: Prior, n_trials: int) -> list[TrialResult]:
    """A run on a prior that went through its files."""
    files = json.dumps([prior.to_dict(), prior.learned and dict(prior.learned)], allow_nan=False)
    value, learned = json.loads(files)
    settings = make_settings({"data": "d.csv", "prior": kind, "starter": False})
    ranking = make_ranking(settings, HERE.plan, replace(Prior.from_dict(value), learned=learned), HERE.profile)
    backend = FakeBackend(HERE.surrogate)
    asker = make_search("experience", ranking, seed=0)
    clock = Clock(Budget(n_trials=n_trials), now=backend.now)
    return search(asker, backend, clock, seed=0, events=Events(tick_s=1e9))


@pytest.mark.timeout(40)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", list(STORES))
def test_a_strange_store_neither_ends_a_run_nor_spoils_its_proposals(name: str, kind: str) -> None:
    prior = believe(kind, STORES[name])
    results = run(kind, prior, 9)
    in_run = {"kind": prior.kind, "n_experiences": prior.n_experiences, "weight": prior.weight}
    sentence = from_run(in_run, prior.to_dict(), HERE.plan.to_dict()).sentence

    assert len({result.pipeline.key for result in results}) == 9
    assert all(HERE.plan.space.contains(result.pipeline) for result in results)
    numbers = [v for r in results for v in r.pipeline.params.values() if isinstance(v, float)]
    assert all(map(math.isfinite, numbers))
    n_counted = dict(zip(KINDS, COUNTED[name], strict=True))[kind]
    assert prior.n_experiences == n_counted
    if n_counted:
        assert f"Warm start from {n_counted:,} past experience" in sentence
        assert f"prior `{kind}`" in sentence
    else:
        assert sentence == "Cold start: no past experience was used."
        assert (prior.model, prior.learned, prior.starts) == (None, None, ())
