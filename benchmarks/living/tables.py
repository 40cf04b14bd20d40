"""All seeds so far as text: the table, what the first warm trials were worth, and what a reader must know."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.living.figures import FIRST, TENTH, Figures, spread
from benchmarks.living.ledger import Ledger, Unit, provenance
from benchmarks.living.units import COLD, STRATEGIES, WARM

#: Below this many seeds a spread says little (issue: "at least 3").
ENOUGH_SEEDS = 3
#: Load average per core before a search above which the machine was not its own.
_BUSY = 1.5
_HEAD = (
    "| task | strategy | trials | failed | first model after | F1 after 1/3 | 2/3 | all | hypervolume | area "
    "| rank in area | test F1 |"
)


@dataclass(frozen=True, slots=True)
class FirstTrials:
    """What a warm search's first trials found against a cold one's first ten, on one task.

    Attributes:
        warm: best macro F1 of the first three trials that ended, per seed; None = no model.
        cold: median over the seeds of the best after ten trials (or all, if there were fewer); 0 without a model.
        n_cold: trials that the shortest of the cold searches came to, ten at most.
    """

    task: str
    warm: tuple[float | None, ...]
    cold: float
    n_cold: int

    @property
    def n_reached(self) -> int:
        """Seeds in which the warm search was at least as good."""
        return sum(value is not None and value >= self.cold for value in self.warm)


def first_trials(ledger: Ledger, task: str) -> FirstTrials:
    """Compare the first warm trials of a task."""
    warm = [ledger.figures(unit).f1_first for unit in ledger.of(task, WARM)]
    colds = [ledger.figures(unit) for unit in ledger.of(task, COLD)]
    best = [cold.f1_tenth or 0.0 for cold in colds]
    n_cold = min((min(cold.n_trials, TENTH) for cold in colds), default=0)
    return FirstTrials(task, tuple(warm), statistics.median(best) if best else 0.0, n_cold)


def ranks(ledger: Ledger, task: str, strategy: str) -> list[float]:
    """Rank of a strategy in area, one per seed; 1 = best, strategies that are level share a rank."""
    areas = {s.name: [ledger.figures(unit).area for unit in ledger.of(task, s.name)] for s in STRATEGIES}
    found = []
    for i, mine in enumerate(areas[strategy]):
        others = [values[i] for values in areas.values()]
        found.append(1 + sum(area > mine for area in others) + (others.count(mine) - 1) / 2)
    return found


def report(ledger: Ledger, tasks: Sequence[str]) -> str:
    """Everything that is printed: remarks first, the table last."""
    done = [task for task in tasks if ledger.seeds(task)]
    if not done:
        return "no seed is complete yet; the same command goes on"
    lines = [*_remarks(ledger, done), ""]
    lines += [_first_line(first_trials(ledger, task)) for task in done]
    lines += ["", _HEAD, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [_row(ledger, task, strategy.name) for task in done for strategy in STRATEGIES]
    if len(done) > 1:
        lines += [_mean_row(ledger, done, strategy.name) for strategy in STRATEGIES]
    return "\n".join(lines)


def _remarks(ledger: Ledger, tasks: Sequence[str]) -> list[str]:
    counts = {task: len(ledger.seeds(task)) for task in tasks}
    told = ", ".join(f"{task} {n}" for task, n in counts.items())
    lines = [
        f"{ledger.minutes:g} minutes per strategy; seeds run: {told}. Median (lowest to highest) over the seeds.",
        f"Trainer settings: {ledger.trainer_settings}. {_provenance()}",
    ]
    few = [task for task, n in counts.items() if n < ENOUGH_SEEDS]
    if few:
        lines.append(
            f"FEWER THAN {ENOUGH_SEEDS} SEEDS of {', '.join(few)}: differences below the spread mean nothing; the same "
            "command adds a seed."
        )
    for task in tasks:
        for text in dict.fromkeys(_left_out_text(unit) for unit in ledger.of(task, WARM)):
            lines.append(f"{task}: {text}")
    lines += _busy(ledger, tasks)
    units = [unit for unit in ledger.units if unit.task in tasks and unit.problem]
    lines += [f"{unit.task}, {unit.strategy}, seed {unit.seed}: {unit.problem.splitlines()[-1]}" for unit in units]
    return lines


def _busy(ledger: Ledger, tasks: Sequence[str]) -> list[str]:
    """A warning when other work ran beside the searches; a search keeps about as many processes busy as cores."""
    units = [unit for task in tasks for strategy in STRATEGIES for unit in ledger.of(task, strategy.name)]
    bound = _BUSY * provenance()["machine"]["usable_cores"]
    busy = [unit for unit in units if unit.load_1m > bound]
    told = f"THE MACHINE WAS BUSY with other work before {len(busy)} of {len(units)} searches (load above {bound:g})."
    return [told] if busy else []


def _provenance() -> str:
    facts = provenance()
    versions, machine = facts["versions"], facts["machine"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("transformers", "optuna", "torch") if name in versions)
    return f"Commit {facts['commit']}; {named}; {machine['usable_cores']} cores of {machine['cpu']}."


def _left_out_text(unit: Unit) -> str:
    left = unit.left_out or {"n_rows": 0, "n_all": 0, "data_sets": []}
    named = f" ({', '.join(left['data_sets'])})" if left["data_sets"] else ""
    used = "the search was ended before it had a prior"
    if unit.prior is not None:
        used = f"the warm prior rests on {unit.prior['n_experiences']}"
    return (
        f"{left['n_rows']} of the {left['n_all']} rows of the starter store are of the same data{named} and were left "
        f"out; {used}"
    )


def _first_line(found: FirstTrials) -> str:
    warm = ", ".join(_figure(value) for value in found.warm)
    return (
        f"{found.task}: best F1 of the first {FIRST} warm trials {warm}; median best of the first {found.n_cold} cold "
        f"trials {_figure(found.cold)}: reached in {found.n_reached} of {len(found.warm)} seeds"
    )


def _row(ledger: Ledger, task: str, strategy: str) -> str:
    units = ledger.of(task, strategy)
    found = [ledger.figures(unit) for unit in units]

    def cell(read: Callable[[Figures], float | None], digits: int = 3, unit: str = "") -> str:
        return _spread_text([read(item) for item in found], digits, unit)

    cells = (
        task,
        strategy,
        *_figure_cells(cell, 0),
        _spread_text(list(ranks(ledger, task, strategy)), 1),
        _spread_text([(unit.test or {}).get("f1") for unit in units], 3),
    )
    return f"| {' | '.join(cells)} |"


def _mean_row(ledger: Ledger, tasks: Sequence[str], strategy: str) -> str:
    """Means over the tasks of the medians over the seeds; a task without a value leaves the mean out."""
    found = {task: [ledger.figures(unit) for unit in ledger.of(task, strategy)] for task in tasks}

    def cell(read: Callable[[Figures], float | None], digits: int = 3, unit: str = "") -> str:
        return _mean_text([[read(item) for item in found[task]] for task in tasks], digits, unit)

    test = [[(unit.test or {}).get("f1") for unit in ledger.of(task, strategy)] for task in tasks]
    cells = (
        "mean of the tasks",
        strategy,
        *_figure_cells(cell, 1),
        _mean_text([list(ranks(ledger, task, strategy)) for task in tasks], 1),
        _mean_text(test, 3),
    )
    return f"| {' | '.join(cells)} |"


def _figure_cells(cell: Callable[..., str], count_digits: int) -> tuple[str, ...]:
    """The cells of `Figures` in the order of the columns; `cell` makes one of what it reads, digits and unit."""
    return (
        cell(lambda f: f.n_trials, count_digits),
        cell(lambda f: f.n_failed, count_digits),
        cell(lambda f: f.first_s, 0, " s"),
        cell(lambda f: f.f1_third),
        cell(lambda f: f.f1_two_thirds),
        cell(lambda f: f.f1_end),
        cell(lambda f: f.hypervolume),
        cell(lambda f: f.area),
    )


def _mean_text(values: Sequence[Sequence[float | None]], digits: int, unit: str = "") -> str:
    medians = [spread(of_task) for of_task in values]
    known = [found["median"] for found in medians if found is not None]
    return f"{statistics.fmean(known):.{digits}f}{unit}" if len(known) == len(values) else "-"


def _spread_text(values: Sequence[float | None], digits: int, unit: str = "") -> str:
    """Median (lowest to highest), and in how many seeds there was nothing.

    >>> _spread_text([0.5, 0.7, None], 2), _spread_text([4.0, 4.0], 0), _spread_text([None], 2)
    ('0.60 (0.50 to 0.70), none in 1', '4', '-')
    """
    found = spread(values)
    if found is None:
        return "-"
    low, middle, high = (f"{found[name]:.{digits}f}" for name in ("low", "median", "high"))
    text = f"{middle}{unit}" if low == high else f"{middle}{unit} ({low} to {high})"
    n_missing = sum(value is None for value in values)
    return f"{text}, none in {n_missing}" if n_missing else text


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
