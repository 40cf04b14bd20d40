"""How far the estimates of earlier runs were off on machines like this one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xautolm.prior.anatomy import ModelBook
from xautolm.prior.costs import Setting, work_of
from xautolm.records import Experience, Profile
from xautolm.space.feasibility import Speed
from xautolm.space.residuals import (
    MAX_WEIGHT,
    USUAL_MEMORY,
    USUAL_TIME,
    Residual,
    is_whole,
    log_ratios,
    memory_key,
    time_key,
)

_Pair = tuple[str, float, float]


def learn_residuals(
    experiences: Sequence[Experience], book: ModelBook, here: Profile, speed: Speed
) -> dict[str, Residual]:
    """What earlier trials say about the estimates of this run.

    Memory does not depend on how fast a machine is: trials on any machine count that trained on the same kind of device
    (processor or card). Seconds are compared on this very machine only, by the speed that was measured for this run.

    Args:
        experiences: earlier trials, of this project's own space.
        book: figures of the models.
        here: profile of this run.
        speed: of a trial on this machine.

    Returns:
        Beliefs by `memory_key` and `time_key`; groups without a trial are left out.
    """
    pairs = [pair for experience in experiences for pair in _pairs(experience, book, here, speed)]
    learned = {}
    for key in sorted({key for key, _, _ in pairs}):
        logs = log_ratios((actual, estimated) for name, actual, estimated in pairs if name == key)
        usual = USUAL_MEMORY if key.startswith("memory ") else USUAL_TIME
        if logs:
            learned[key] = usual.after(logs, max_weight=MAX_WEIGHT)
    return learned


def _pairs(experience: Experience, book: ModelBook, here: Profile, speed: Speed) -> list[_Pair]:
    """Group, measured and estimated figure of one trial, as far as they can be compared."""
    result, setting = experience.result, Setting.of(experience)
    model = book.find(result.pipeline.model)
    if not result.is_ok or setting.is_published or model is None or _has_gpu(experience.profile) != _has_gpu(here):
        return []
    is_here = bool(here.system_name) and experience.profile.system_name == here.system_name
    work = work_of(result.pipeline.method, result.pipeline.params, model, setting, speed)
    if work is None:
        return []
    found = []
    if is_whole(result.pipeline, result.cost):
        key = memory_key(result.pipeline.method, work.dominant)
        found.append((key, result.cost.peak_mem_mib or math.nan, work.memory_mib))
    if is_here:
        found.append((time_key(result.pipeline.method), result.cost.time_s, work.time_s))
    return [(key, actual, estimated) for key, actual, estimated in found if not math.isnan(actual)]


def _has_gpu(profile: Profile) -> bool:
    memory = profile.system.get("gpu_memory_gib")
    return isinstance(memory, int | float) and memory > 0
