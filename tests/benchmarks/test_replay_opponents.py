"""Other people's optimizers in the replay: they propose pipelines of the space and take every kind of result."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks.replaying.analytic import made_up_task, past_of
from benchmarks.replaying.simulate import run_strategy
from benchmarks.replaying.strategies import ENTRIES
from benchmarks.replaying.transfer_search import missed
from xautolm.records import FAILURES, Cost, Pipeline, TrialResult

#: Strategy -> whether past tasks matter to it.
OPPONENTS = {"TPE caught": False, "TPE penalised": False, "NSGA-II penalised": False, "SMAC3": False}
OPPONENTS |= {"Syne Tune transfer": True, "random": False}


def needs(name: str) -> object:
    package = ENTRIES[name].package
    marks = [pytest.mark.slow] if package else []
    if package and find_spec(package) is None:
        marks.append(pytest.mark.skip(reason=f"package `{package}` is not installed (extra `benchmarks`)"))
    return pytest.param(name, marks=marks)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [needs(name) for name in OPPONENTS])
def test_an_opponent_searches_the_space_and_repeats_itself(name: str) -> None:
    task, past = made_up_task(3, n_trials=18), past_of(3)

    def pipelines(seed: int) -> list[TrialResult]:
        searcher = ENTRIES[name].make(task, past, seed)
        return run_strategy(searcher.asker, task.surrogate, task.facts, seed, searcher.stopper)

    first, again, other = pipelines(0), pipelines(0), pipelines(1)

    assert len(first) == 18
    assert all(task.plan.space.contains(result.pipeline) for result in first)
    assert len({result.pipeline.key for result in first}) > 9
    assert [r.pipeline.key for r in first] == [r.pipeline.key for r in again]
    assert [r.pipeline.key for r in first] != [r.pipeline.key for r in other]
    if not OPPONENTS[name]:
        assert any(result.status in FAILURES for result in first)


def test_one_number_for_a_pipeline_is_worst_for_failures_and_what_takes_the_whole_limit() -> None:
    def result(status: str, f1: float, time_s: float) -> TrialResult:
        scores = {"f1": f1} if status == "ok" else {}
        return TrialResult(0, status, Pipeline("m", "head", {}), scores, Cost(time_s), seed=0)  # type: ignore[arg-type]

    assert missed(result("oom", 0.9, 1.0), 100.0) == missed(result("ok", 0.9, 100.0), 100.0) == 1.0
    assert missed(result("ok", 0.8, 10.0), 100.0) == pytest.approx(0.6)
