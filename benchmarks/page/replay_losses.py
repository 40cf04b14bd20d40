"""Where the warm search loses in a replay: a list that is computed, so that nothing is left out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.page.wording import listed
from benchmarks.replaying.strategies import OURS, OURS_COLD, RIVAL

Result = Mapping[str, Any]
#: Differences below these are not told as losses: they are not seen in the digits shown.
_LEAST = {"area": 0.00005, "volume": 0.00005, "best_f1": 0.0005}
_SIGNIFICANT = 0.05
#: Share of the cold search's time at which curves are compared early.
_EARLY = 1 / 64


def losses(result: Result) -> str:
    """Numbers not reached, tasks on which another strategy is ahead, and parts that contribute nothing, as a list."""
    missed = [n for n in result["numbers"] if not n["is_reached"]]
    found = [
        *(f"Not reached: {n['name']}: {n['found']}; wanted {n['bound']}." for n in missed),
        *_lost_tasks(result, "area", "area, mean over seeds", fmean),
        *_lost_tasks(result, "best_f1", "peak F1, median over seeds", median),
        *_lost_tasks(result, "volume", "final hypervolume, median over seeds", median),
        *_early(result),
        *_what_experience_adds(result),
        *_idle_parts(result),
    ]
    return listed(found) if found else "Nowhere in these figures."


def _lost_tasks(result: Result, figure: str, called: str, over_seeds: Callable[[Sequence[float]], float]) -> list[str]:
    """A line on the tasks where other strategies are ahead in a figure; none when there are none."""
    lost, least = [], _LEAST[figure]
    for task in result["tasks"]:
        by_name = {
            name: over_seeds([r[figure] for r in result["records"] if (r["strategy"], r["task"]) == (name, task)])
            for name in result["strategies"]
        }
        ahead = {name: value for name, value in by_name.items() if value > by_name[OURS] + least}
        if ahead:
            best = max(ahead, key=lambda name: ahead[name])
            lost.append(f"{task} ({best} {ahead[best]:.4f}, ours warm {by_name[OURS]:.4f}; {len(ahead)} ahead)")
    if not lost:
        return []
    return [f"Another strategy is best in {called}, on {len(lost)} of {len(result['tasks'])} tasks: {'; '.join(lost)}."]


def _early(result: Result) -> list[str]:
    """A line on the tasks where another strategy has more hypervolume early in the search."""
    lost = []
    for name, task in result["tasks"].items():
        moment = next(i for i, second in enumerate(task["grid_s"]) if second >= task["horizon_s"] * _EARLY)
        medians = {strategy: task["curves"][strategy]["middle"][moment] for strategy in result["strategies"]}
        best = max(medians, key=lambda strategy: medians[strategy])
        if medians[best] > medians[OURS] + _LEAST["volume"]:
            lost.append(f"{name} ({best} {medians[best]:.3f}, ours warm {medians[OURS]:.3f})")
    of_all = f"{len(lost)} of {len(result['tasks'])} tasks"
    when = f"After 1/{1 / _EARLY:.0f} of the cold published search's time"
    return [f"{when} another strategy has found more hypervolume on {of_all}: {'; '.join(lost)}."] if lost else []


def _what_experience_adds(result: Result) -> list[str]:
    """How much of the lead is experience, and how much the search has without it."""
    paired, summaries = result["paired"], result["strategies"]
    if OURS_COLD not in paired or RIVAL not in paired or not paired[RIVAL]["mean"]:
        return []
    lead, whole = paired[OURS_COLD], paired[RIVAL]
    warm, cold = (summaries[name]["best_f1"][1] for name in (OURS, OURS_COLD))
    return [
        f"Experience is {lead['mean'] / whole['mean']:.0%} of the lead in area over the cold published search "
        f"({lead['mean']:+.4f} of {whole['mean']:+.4f}); the rest is the filter and the ranking, which a cold run has "
        f"too. Warm is ahead of cold in {lead['won']:.0%} of the searches; median peak F1 {warm:.3f} warm, {cold:.3f} "
        "cold."
    ]


def _idle_parts(result: Result) -> list[str]:
    """Parts without which the search is no worse."""
    paired = result["paired_ablations"]
    parts = [name for name in result["ablations"] if name in paired and name != OURS_COLD]
    better = [name for name in parts if paired[name]["mean"] < 0 and paired[name]["p"] < _SIGNIFICANT]
    idle = [name for name in parts if paired[name]["p"] >= _SIGNIFICANT]
    told = []
    if better:
        shown = ", ".join(f"*{name}* ({-paired[name]['mean']:+.4f}, p {paired[name]['p']:.1g})" for name in better)
        told.append(f"The area is larger without a part of the search: {shown}.")
    if idle:
        told.append(f"These make no difference in area that the test sees: {', '.join(f'*{name}*' for name in idle)}.")
    return told
