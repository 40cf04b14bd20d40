"""The words and tables of the results page about replay. Every figure is read from the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.page.replay_losses import losses
from benchmarks.page.replay_plots import PAPER, error_ratio, plots
from benchmarks.page.wording import markdown, paragraph
from benchmarks.replaying import tables
from benchmarks.replaying.strategies import OURS, RIVAL, WARM_PUBLISHED

__all__ = ["plots", "text"]

Result = Mapping[str, Any]
#: Below this many seeds a result is not the full one.
WANTED_SEEDS = 20
#: Ratios beyond this have hardly a failure in their denominator.
_LARGEST_RATIO = 1e6

_ANYTIME = """
Medians over seeds, with quartiles of three strategies. One time axis per task: the time in which the cold published
search used up its budget, in the logarithm, because most of what a warm start gains is over early.
"""
_FRONTS = """
What the search of median final hypervolume had found at the end, per strategy: up and to the left is better.
"""
_STRATEGIES = """
Errors are means over tasks and seeds, all other columns medians, with quartiles in brackets. *To cold*: time to the
final hypervolume of the cold published search with the same seed, over its whole time; *of its own*: over the time at
which it got there itself. *Wins*: share of valid trials that no point of its front weakly dominates; *upper wins*: of
those with an F1 above its front's median. *Rank*: by mean area on a task, mean over tasks. The peak F1 is also that of
the recommended pipeline: the first objective decides, and a surrogate has no noise. Recorded tasks have no test scores.
"""
_AREAS = """
Mean hypervolume over the cold published search's time (its area over time), mean and deviation over seeds:
"""
_TESTS = """
Differences in this area, paired by task and seed (Wilcoxon signed-rank test, two-sided, Holm-corrected). Seeds of one
task are taken as independent, so that p says nothing of tasks that were not recorded.
"""
_ERRORS = """
Share of failed trials. The paper's bars are those of its released result files for the same data sets (zero-shot run,
and the warm start with the fewest errors); they are of whole data sets on a GPU, ours of 1,000 rows on a core, so that
only ratios compare.
"""
_ABLATIONS = """
Ours warm without one of its parts, the same tasks and seeds. *Area lost*: ours warm minus this one, paired by task and
seed. All rows were recorded on like machines, so that system features have little to say here.
"""


def text(result: Result) -> str:
    """The part of the page on replay, in Markdown."""
    parts = [
        *_opening(result),
        markdown(tables.numbers(result["numbers"])),
        "## Where we lose",
        losses(result),
        "## Anytime curves",
        paragraph(_ANYTIME),
        "![Hypervolume over time](results/anytime.svg)",
        "## Fronts",
        paragraph(_FRONTS),
        "![Fronts of F1 and seconds](results/fronts.svg)",
        "## Errors beside the paper's",
        paragraph(_ERRORS + _ratios(result)),
        "![Share of failed trials](results/errors.svg)",
        "## All strategies",
        paragraph(_STRATEGIES),
        markdown(tables.figures(result["strategies"])),
        paragraph(_AREAS),
        markdown(tables.areas(result["strategies"], result["records"])),
        paragraph(_TESTS),
        markdown(tables.tests(result["paired"], OURS)),
        *_ablations(result),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(result: Result) -> list[str]:
    most = max(summary["n_seeds"] for summary in result["strategies"].values())
    fewer = {name: s["n_seeds"] for name, s in result["strategies"].items() if s["n_seeds"] < most}
    seeds = f"{most} {'seed' if most == 1 else 'seeds'}" + "".join(f", {n} of {name}" for name, n in fewer.items())
    versions = ", ".join(f"{name} {found}" for name, found in result["versions"].items())
    n_reached = sum(number["is_reached"] for number in result["numbers"])
    n_names, n_tasks = len(result["strategies"]), len(result["tasks"])
    what = f"""
    {n_names} strategies search {n_tasks} recorded tasks ({", ".join(result["tasks"])};
    [card](../benchmarks/table/README.md)) in simulated time through a surrogate of each task's recorded trials, knowing
    the other tasks only: 60 trials or the recorded time, {seeds}. How, and what to be careful about:
    [benchmarks](benchmarks.md#strategies-python--m-benchmarksreplay).
    """
    where = f"""
    {result["date"]}, commit {result["commit"]}, {result["machine"]}; {result["searched_s"] / 60:.0f} minutes of
    processor time for all searches. {versions}. {n_reached} of the {len(result["numbers"])} numbers that the warm
    search is to reach are reached:
    """
    command = "```console\n$ python -m benchmarks.replay --ablations --jobs 2 --record\n```"
    return ["## Replay", paragraph(what), *_warning(most, bool(result["ablations"])), command, paragraph(where)]


def _warning(n_seeds: int, has_ablations: bool) -> list[str]:
    """What must be said of a result with fewer seeds than are asked for, or without ablations."""
    missing = "" if has_ablations else " The ablations were not run."
    if n_seeds >= WANTED_SEEDS:
        return [missing.strip()] if missing else []
    few = f"**Only {n_seeds} of the {WANTED_SEEDS} seeds that the command below runs: small differences mean nothing.**"
    return [paragraph(few + missing)]


def _ratios(result: Result) -> str:
    """Cold over warm errors: the paper's, its warm start's here, ours."""
    shared = [task for task in result["tasks"] if task in PAPER]
    paper = ", ".join(f"{PAPER[task][0] / PAPER[task][1]:.1f}" for task in shared)
    theirs, ours = (", ".join(_ratio(result, name, task) for task in shared) for name in (WARM_PUBLISHED, OURS))
    return (
        f"Cold over warm on {', '.join(shared)}: the paper's files {paper}; its warm start (its tuned settings) here "
        f"{theirs}; ours here {ours}."
    )


def _ratio(result: Result, strategy: str, task: str) -> str:
    ratio = error_ratio(result, RIVAL, task) / max(error_ratio(result, strategy, task), 1e-9)
    return f"{ratio:.1f}" if ratio < _LARGEST_RATIO else "no failures"


def _ablations(result: Result) -> list[str]:
    if not result["ablations"]:
        return []
    table = markdown(tables.ablations(result["ablations"], result["paired_ablations"]))
    return ["## Ablations", paragraph(_ABLATIONS), table]
