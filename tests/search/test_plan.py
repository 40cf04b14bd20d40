"""Which pipelines fit, given what earlier runs and this run's own trials showed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xautolm import registry
from xautolm.methods.method import Facts
from xautolm.records import Cost, ModelSpec, Pipeline, TrialResult
from xautolm.search.plan import FitCheck, Plan
from xautolm.space.feasibility import DEFAULT_SPEED, Limits, TaskSize, estimate
from xautolm.space.params import Space
from xautolm.space.residuals import Residual, memory_key, time_key

MINILM = ModelSpec("m", "", "", "bert", 6, False, 22_713_216, 11_917_824, 384, 12, 1536, 30522, 512, ("mean",))
SIZE = TaskSize(1000, 200, 2, (60,) * 101)
PARTS = {
    name: registry.resolve("methods", name).space(Facts([MINILM], (64, 128), 1000)) for name in ("head", "lora", "full")
}
FULL = Pipeline("m", "full", {**PARTS["full"].default, "batch_size": 32})
NEEDED = estimate(registry.resolve("methods", "full").workload(MINILM, FULL.params), MINILM, SIZE, DEFAULT_SPEED)
ROOMY = Limits(10 * NEEDED.time_s, 10 * NEEDED.memory_mib)


def plan(limits: Limits = ROOMY, **residuals: Residual) -> Plan:
    return Plan(Space({"m": MINILM}, PARTS), SIZE, limits, DEFAULT_SPEED, (), residuals)


def finished(trial_id: int, memory: float = 1.0, time: float = 1.0, status: str = "ok") -> TrialResult:
    cost = Cost(time_s=time * NEEDED.time_s, peak_mem_mib=memory * NEEDED.memory_mib)
    return TrialResult(trial_id, status, FULL, {"f1": 0.5}, cost, 0)  # type: ignore[arg-type]


def test_a_pipeline_must_fit_with_a_margin_and_the_reason_names_it() -> None:
    barely = replace(ROOMY, memory_mib=1.1 * NEEDED.memory_mib)
    verdict = FitCheck(plan(barely))(FULL)
    assert not verdict.fits
    assert "in 5 % of such trials more than" in verdict.reason
    assert FitCheck(plan(barely), is_cautious=False)(FULL).fits
    assert FitCheck(plan(replace(barely, memory_mib=1.3 * NEEDED.memory_mib)))(FULL).fits


def test_own_trials_correct_the_memory_of_their_method_and_narrow_the_margin() -> None:
    check, seen = FitCheck(plan()), [finished(i, memory=2.0) for i in range(12)]
    verdict = check(FULL, seen)
    assert 1.5 * NEEDED.memory_mib < verdict.memory_mib < 2 * NEEDED.memory_mib
    exact = check(FULL, [finished(i) for i in range(30)])
    assert exact.memory_mib == pytest.approx(NEEDED.memory_mib)
    assert exact.margin.memory_factor < check(FULL).margin.memory_factor
    lora = Pipeline("m", "lora", PARTS["lora"].default)
    assert check(lora, seen).memory_mib == check(lora).memory_mib


def test_failed_trials_say_nothing_about_the_peak() -> None:
    seen = [finished(i, memory=0.1, status="oom") for i in range(9)]
    assert FitCheck(plan())(FULL, seen).memory_mib == NEEDED.memory_mib


def test_what_earlier_runs_showed_holds_until_own_trials_say_otherwise() -> None:
    residuals = {
        memory_key("full", NEEDED.dominant): Residual(0.5, 0.05, 20.0),
        time_key("full"): Residual(1.0, 0.1, 20.0),
    }
    check = FitCheck(plan(**residuals))
    verdict = check(FULL)
    assert verdict.memory_mib == pytest.approx(1.6487 * NEEDED.memory_mib, rel=1e-3)
    assert verdict.time_s == pytest.approx(2.71828 * NEEDED.time_s, rel=1e-3)
    assert verdict.margin.time_log_sd == pytest.approx(0.1)
    later = check(FULL, [finished(i) for i in range(40)])
    assert later.memory_mib < verdict.memory_mib
    assert later.time_s == pytest.approx(NEEDED.time_s, rel=0.1)


def test_a_plan_keeps_its_residuals_and_reads_folders_without_them() -> None:
    kept = plan(**{time_key("full"): Residual(1.0, 0.1, 20.0)})
    document = kept.to_dict()
    assert Plan.from_dict(document).residuals == kept.residuals
    del document["residuals"]
    assert Plan.from_dict(document).residuals == {}
