"""The record of a trial from what became of its process; a relabelled failure is a defect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xautolm.evaluate import rescue
from xautolm.evaluate.job import Outcome
from xautolm.experience.scrub import scrub
from xautolm.records import Cost, ParamValue, Trial, TrialError, TrialResult


def trial_result(trial: Trial, outcome: Outcome) -> TrialResult:
    """The record of a trial from what became of its process; a relabelled failure is a defect."""
    result = outcome.result or {}
    blank = TrialResult(
        trial_id=trial.trial_id,
        status="crashed",
        pipeline=trial.pipeline,
        scores={},
        cost=Cost(time_s=outcome.elapsed_s, peak_mem_mib=outcome.peak_mem_mib, peak_host_mib=outcome.peak_mem_mib),
        seed=trial.seed,
        seen=trial.seen,
    )
    if outcome.kind == "finished" and result["status"] == "ok":
        cost = result["cost"]
        return replace(
            blank,
            status="ok",
            scores=result["scores"],
            curve=tuple((int(step), float(s), float(score)) for step, s, score in result["curve"]),
            cost=Cost(
                time_s=cost["time_s"],
                cached_s=cost["cached_s"],
                train_s=cost["train_s"],
                predict_s=cost["predict_s"],
                peak_mem_mib=result.get("device_mem_mib", outcome.peak_mem_mib),
                n_trainable=result["n_trained"],
                size_mib=cost["size_mib"],
                latency_ms=cost["latency_ms"],
                load_s=cost["load_s"],
                peak_host_mib=outcome.peak_mem_mib,
                peak_device_mib=result.get("device_mem_mib"),
            ),
        )
    if outcome.kind == "finished":
        error = TrialError(result["error"]["kind"], scrub(result["error"]["message"]))
        return replace(blank, status=result["status"], error=error)
    if outcome.kind == "timeout":
        return replace(blank, status="timeout", error=TrialError("time_limit", outcome.detail))
    if outcome.kind == "memory":
        return replace(blank, status="oom", error=TrialError("oom_host", outcome.detail))
    if outcome.kind == "stopped":
        return replace(blank, status="interrupted", error=TrialError("stopped", outcome.detail))
    if outcome.kind == "processes":
        return replace(blank, error=TrialError("processes", outcome.detail))
    kind = "hang" if outcome.kind == "hang" else "killed" if "SIGKILL" in outcome.detail else "died"
    return replace(blank, error=TrialError(kind, outcome.detail))


def stopped_result(result: TrialResult, outcome: Outcome, reason: str, progress: Mapping[str, Any]) -> TrialResult:
    """The record of a trial that the search stopped; one that ended on its own in the meantime stays what it is."""
    if outcome.kind != "stopped":
        return result
    curve = tuple((int(step), float(s), float(score)) for step, s, score in progress.get("curve", ()))
    return replace(result, status="stopped", error=TrialError("dominated", reason), curve=curve)


def rescued_settings(
    params: Mapping[str, ParamValue], result: TrialResult, stage: str
) -> Mapping[str, ParamValue] | None:
    """Settings with which a trial that ran out of memory is started again; None when it is left at that.

    Args:
        params: with which it ran.
        result: what came of it.
        stage: where it was. While the model and the optimizer are loaded, no smaller batch would help.
    """
    if result.status != "oom" or stage in {"start", "load"}:
        return None
    return rescue.smaller(params)


def rescued_result(result: TrialResult, params: Mapping[str, ParamValue], earlier_s: float) -> TrialResult:
    """The record of a trial that was started again in less memory.

    Args:
        result: of its last start.
        params: with which that one ran; those of `result` when it was the only one.
        earlier_s: seconds of the starts before; the elapsed time of a failure counts them already.
    """
    asked = result.pipeline
    if dict(params) == dict(asked.params):
        return result
    if result.is_ok:
        cost = replace(result.cost, time_s=result.cost.time_s + earlier_s)
        return replace(result, pipeline=replace(asked, params=params), requested=asked, cost=cost)
    if result.error is None or result.status != "oom":
        return result
    message = f"{result.error.message} (also with {rescue.describe(params)})"
    return replace(result, error=replace(result.error, message=message))
