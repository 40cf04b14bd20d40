"""Which trial is recommended, and why, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xautolm.report.baselines import BaselineFacts
from xautolm.report.rows import TrialRow, finite
from xautolm.report.wording import duration, energy, metric_name, percent, plural, score

#: How much quality the thrifty alternative may give up.
THRIFTY_LOSS = 0.02


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recommended trial with the reason for it.

    Attributes:
        metric: readable name of the quality metric.
        train_share: share of the training rows that the trial was trained on.
        reasons: sentences, in reading order.
        thrifty: the cheapest front trial that gives up at most `THRIFTY_LOSS`; None when none is cheaper.
    """

    trial: TrialRow
    metric: str
    train_share: float
    reasons: tuple[str, ...]
    thrifty: TrialRow | None


def recommend(
    rows: Sequence[TrialRow],
    run: Mapping[str, Any],
    *,
    baselines: Sequence[BaselineFacts],
    metric: str,
    maximize: bool,
    n_train: int | None,
) -> Recommendation | None:
    """Explain the run's choice.

    Args:
        rows: all trials of the search; the one with `is_best` is the recommended one.
        run: the content of `run.json` (`test` and `refit` are used).
        baselines: one that is ahead is said to be.
        metric: key of the quality metric.
        maximize: whether larger values of it are better.
        n_train: rows of the training split, when known.

    Returns:
        None when no trial is recommended.
    """
    best = next((row for row in rows if row.is_best), None)
    if best is None or best.score is None:
        return None
    sign = 1.0 if maximize else -1.0
    name = metric_name(metric, str(run.get("task", "text-classification")))
    scored = [row for row in rows if row.score is not None]
    share = finite(best.params.get("train_fraction", 1.0)) or 1.0
    thrifty = _thrifty(best, scored, sign)
    reasons = [
        _against_next(best, scored, name, sign),
        *([_thrifty_sentence(best, thrifty, name)] if thrifty else []),
        _share_sentence(share, n_train),
        *_energy_sentence(best),
        *_refit_sentence(run.get("refit")),
        *(_baseline_sentence(baseline, name) for baseline in baselines if baseline.is_ahead),
        _optimism_sentence(len(scored), name, run.get("test")),
    ]
    return Recommendation(trial=best, metric=name, train_share=share, reasons=tuple(reasons), thrifty=thrifty)


def times_as(ratio: float) -> str:
    """How two durations compare.

    >>> times_as(3.27), times_as(1.02), times_as(0.5)
    ('3.3 times the time', 'about the same time', '50 % of the time')
    """
    if 0.95 <= ratio <= 1.05:
        return "about the same time"
    return f"{ratio:.1f} times the time" if ratio > 1 else f"{percent(ratio)} of the time"


def _against_next(best: TrialRow, scored: Sequence[TrialRow], name: str, sign: float) -> str:
    others = [row for row in scored if row.trial_id != best.trial_id]
    if not others:
        return f"Trial {best.trial_id} is the only one that gave a score: validation {name} {score(best.score)}."
    following = max(others, key=lambda row: (sign * (row.score or 0.0), -row.time_s))
    lead = sign * ((best.score or 0.0) - (following.score or 0.0))
    if lead < 0:
        return (
            f"The run recommends trial {best.trial_id} with validation {name} {score(best.score)}, although "
            f"trial {following.trial_id} ({following.pipeline}) scored {score(following.score)}."
        )
    extent = "highest" if sign > 0 else "lowest"
    cost = times_as(best.time_s / following.time_s) if following.time_s > 0 else duration(best.time_s)
    ahead = "level with" if lead < 0.0005 else f"{lead:.3f} ahead of"
    return (
        f"Trial {best.trial_id} has the {extent} validation {name} of {plural(len(scored), 'scored trial')}: "
        f"{score(best.score)}, {ahead} the next, trial {following.trial_id} ({following.pipeline}, "
        f"{score(following.score)} in {duration(following.time_s)}), for {cost} ({duration(best.time_s)})."
    )


def _thrifty(best: TrialRow, scored: Sequence[TrialRow], sign: float) -> TrialRow | None:
    near = [
        row
        for row in scored
        if row.is_front
        and row.time_s < best.time_s
        and sign * ((best.score or 0.0) - (row.score or 0.0)) <= THRIFTY_LOSS + 1e-9
    ]
    return min(near, key=lambda row: (row.time_s, row.trial_id), default=None)


def _thrifty_sentence(best: TrialRow, thrifty: TrialRow, name: str) -> str:
    loss = abs((best.score or 0.0) - (thrifty.score or 0.0))
    ratio = times_as(thrifty.time_s / best.time_s) if best.time_s > 0 else duration(thrifty.time_s)
    return (
        f"Thrifty alternative: trial {thrifty.trial_id} ({thrifty.pipeline}) gives up {loss:.3f} {name} and "
        f"needs {ratio} ({duration(thrifty.time_s)})."
    )


def _share_sentence(share: float, n_train: int | None) -> str:
    if share >= 1:
        rows = f" ({n_train:,} rows)" if n_train else ""
        return f"The recommended pipeline was trained on all training rows{rows}."
    rows = f" (about {round(share * n_train):,} of {n_train:,})" if n_train else ""
    return f"The recommended pipeline was trained on {percent(share)} of the training rows{rows}."


def _energy_sentence(best: TrialRow) -> list[str]:
    if best.energy_wh is None:
        return []
    how = "an estimate by a model of the machine, no measurement" if best.is_energy_estimated else "by its counters"
    return [f"Its trial used {energy(best.energy_wh)} ({how})."]


def _refit_sentence(refit: Any) -> list[str]:
    if not isinstance(refit, Mapping):
        return []
    n_rows, time_s = finite(refit.get("n_rows")), finite(refit.get("time_s"))
    rows = f", {round(n_rows):,} rows" if n_rows else ""
    return [
        f"The exported model is that pipeline trained once more on training and validation data{rows} "
        f"({duration(time_s)}); the validation score is that of the search."
    ]


def _baseline_sentence(baseline: BaselineFacts, name: str) -> str:
    return f"The baseline {baseline.name} scores {name} {baseline.cost}: {baseline.verdict}."


def _optimism_sentence(n_scored: int, name: str, test: Any) -> str:
    optimism = (
        f"A validation score that is the best of {n_scored} trials is optimistic"
        if n_scored > 1
        else "One validation score is a noisy estimate"
    )
    if isinstance(test, Mapping) and test:
        return f"{optimism}; the test {name} was measured once, after the search, and is the figure to quote."
    return f"{optimism}; this run has no test score, so measure on data of your own before relying on it."
