"""What the rows of the comparison took, as tables."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.tuning.drawn import Configuration
from benchmarks.tuning.units import ROWS, Unit

#: Wanted: ratio of trials per hour, row over row (by place in `ROWS`), and its least value.
WANTED = ((3, 0, 2.0), (2, 1, 1.25))
#: In the order of the table; `other` is what is left of a trial: its process, its settings, waiting to be noticed.
STAGES = ("tokenise", "load", "train", "validate", "evaluate", "latency", "save", "other")
#: Scores are within noise when the mean difference is below this many of its standard errors, or below `EQUAL_F1`.
_ERRORS, EQUAL_F1 = 2.0, 0.01


@dataclass(frozen=True, slots=True)
class Ratio:
    """Trials per hour of a row over those of another, one value per round, and what the median must be at least."""

    above: str
    below: str
    values: tuple[float, ...]
    wanted: float

    @property
    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the median is as high as wanted."""
        return self.median >= self.wanted


def trials_per_hour(units: Sequence[Unit], row: str) -> list[float]:
    """Of a row, one value per round: its trials over the seconds of its processes, imports included."""
    seconds, counts = defaultdict[int, float](float), defaultdict[int, int](int)
    for unit in units:
        if unit.row == row:
            seconds[unit.round] += unit.wall_s
            counts[unit.round] += len(unit.fits)
    return [3600 * counts[round_] / seconds[round_] for round_ in sorted(seconds)]


def ratios(units: Sequence[Unit]) -> list[Ratio]:
    """The ratios that must be reached."""
    found = []
    for above, below, wanted in WANTED:
        names = ROWS[above].name, ROWS[below].name
        pairs = zip(*(trials_per_hour(units, name) for name in names), strict=True)
        found.append(Ratio(*names, tuple(high / low for high, low in pairs), wanted))
    return found


def scores(units: Sequence[Unit], row: str) -> dict[tuple[str, int], float]:
    """Macro F1 of every configuration of a row, (task, place) -> mean over the rounds."""
    found = defaultdict[tuple[str, int], list[float]](list)
    for unit in units:
        if unit.row == row:
            for place, fit in enumerate(unit.fits):
                found[unit.task, place].append(fit.f1)
    return {key: statistics.fmean(values) for key, values in found.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """Macro F1 of a row less that of the first row, over the same configurations."""

    mean: float
    deviation: float
    n: int

    @property
    def is_noise(self) -> bool:
        """Whether the row is not worse than chance or `EQUAL_F1` explain."""
        return self.mean >= -max(EQUAL_F1, _ERRORS * self.deviation / math.sqrt(self.n))


def difference(units: Sequence[Unit], row: str) -> Difference:
    """How a row scores against the first row."""
    base, mine = scores(units, ROWS[0].name), scores(units, row)
    found = [mine[key] - base[key] for key in base]
    return Difference(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0, len(found))


def breakdown(units: Sequence[Unit], row: str) -> dict[str, float]:
    """Mean seconds per trial of a row: `start` = its share of what is spent once, then the stages of `STAGES`.

    Side by side trials are counted one by one, so that the sum is what a trial takes and not what it costs the clock.
    """
    mine = [unit for unit in units if unit.row == row]
    fits = [fit for unit in mine for fit in unit.fits]
    spent = {stage: sum(fit.stages.get(stage, 0.0) for fit in fits) for stage in STAGES}
    spent["tokenise"] += sum(unit.once.get("tokenise", 0.0) for unit in mine)
    spent["other"] = sum(fit.wall_s - sum(fit.stages.values()) for fit in fits)
    start = sum(unit.once["start"] for unit in mine)
    return {stage: seconds / len(fits) for stage, seconds in {"start": start, **spent}.items()}


def rate_table(units: Sequence[Unit]) -> str:
    """Trials per hour, processor seconds per trial and scores, a line per row."""
    lines = [
        "| | trials per hour | processor s per trial | macro F1 | difference to the first row |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in ROWS:
        rates = trials_per_hour(units, row.name)
        mine = [unit for unit in units if unit.row == row.name]
        processor_s = sum(unit.processor_s for unit in mine) / sum(len(unit.fits) for unit in mine)
        mean = statistics.fmean(scores(units, row.name).values())
        found = difference(units, row.name)
        gap = "" if row is ROWS[0] else f"{found.mean:+.3f} +- {found.deviation:.3f}"
        spread = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        lines.append(f"| {row.name} | {spread} | {processor_s:.1f} | {mean:.3f} | {gap} |")
    return "\n".join(lines)


def stage_table(units: Sequence[Unit]) -> str:
    """Mean seconds per trial and stage, a line per row."""
    names = ["start", *STAGES]
    lines = [f"| seconds per trial | {' | '.join(names)} | sum |", f"|---|{'---:|' * (len(names) + 1)}"]
    for row in ROWS:
        spent = breakdown(units, row.name)
        cells = " | ".join(f"{spent[name]:.2f}" for name in names)
        lines.append(f"| {row.name} | {cells} | {sum(spent.values()):.2f} |")
    return "\n".join(lines)


def score_table(units: Sequence[Unit], configurations: Sequence[Configuration]) -> str:
    """Macro F1 of every configuration, a line each."""
    lines = [f"| configuration | {' | '.join(row.name for row in ROWS)} |", f"|---|{'---:|' * len(ROWS)}"]
    found = [scores(units, row.name) for row in ROWS]
    places = defaultdict[str, int](int)
    for item in configurations:
        key = item.task, places[item.task]
        places[item.task] += 1
        what = f"{item.task}, {item.n_layers} layers, batch {item.batch_size}, {item.epochs} epochs"
        what += f", {item.learning_rate:g}"
        lines.append(f"| {what} | {' | '.join(f'{values[key]:.3f}' for values in found)} |")
    return "\n".join(lines)


def verdict(units: Sequence[Unit]) -> tuple[bool, str]:
    """Whether everything wanted is reached, in words."""
    lines, is_met = list[str](), True
    for ratio in ratios(units):
        is_met &= ratio.is_met
        spread = f"({min(ratio.values):.2f} to {max(ratio.values):.2f} over {len(ratio.values)} rounds)"
        state = "met" if ratio.is_met else "NOT MET"
        lines.append(f"{ratio.above} / {ratio.below}: {ratio.median:.2f} {spread}, at least {ratio.wanted:g}: {state}")
    for row in ROWS[1:]:
        found = difference(units, row.name)
        is_met &= found.is_noise
        words = "within noise" if found.is_noise else "NOT within noise"
        error = found.deviation / math.sqrt(found.n)
        lines.append(f"macro F1, {row.name}: {found.mean:+.4f}, standard error {error:.4f}: {words}")
    return is_met, "\n".join(lines)


def as_document(units: Sequence[Unit]) -> Mapping[str, object]:
    """The figures behind the tables, for JSON."""
    return {
        "trials_per_hour": {row.name: trials_per_hour(units, row.name) for row in ROWS},
        "seconds_per_trial": {row.name: breakdown(units, row.name) for row in ROWS},
        "ratios": [{"above": r.above, "below": r.below, "values": r.values, "wanted": r.wanted} for r in ratios(units)],
    }
