"""How the recommended pipeline compares with the baselines, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xautolm.report.rows import TrialRow
from xautolm.report.wording import baseline_name, duration, score

#: Differences below this are none: scores are shown with three digits.
_EVEN = 0.0005


@dataclass(frozen=True, slots=True)
class BaselineFacts:
    """One baseline.

    Attributes:
        name: readable name.
        row: its trial; that of the search where it begins with this baseline.
        verdict: how the recommended pipeline compares, or why there is no score.
        is_ahead: whether it scores better than the recommended pipeline and cannot be exported.
    """

    name: str
    row: TrialRow
    verdict: str
    is_ahead: bool

    @property
    def cost(self) -> str:
        """Score and time: `0.893 in 0.42 s`; empty without a score."""
        return f"{score(self.row.score)} in {duration(self.row.time_s)}" if self.row.score is not None else ""


def baseline_facts(
    named: Any, rows: Sequence[TrialRow], best: TrialRow | None, *, sign: float, kind: str
) -> tuple[BaselineFacts, ...]:
    """The baselines of a run in the order in which it names them; those that never ran are left out.

    Args:
        named: `baselines` of `run.json`: name -> trial id.
        rows: all trials, baselines included.
        best: the recommended one.
        sign: 1 where larger scores are better, else -1.
        kind: task kind.
    """
    by_id = {row.trial_id: row for row in rows}
    entries = named.items() if isinstance(named, Mapping) else ()
    found = [(str(name), by_id[i]) for name, i in entries if isinstance(i, int) and i in by_id]
    return tuple(_facts(baseline_name(name, kind), row, best, sign) for name, row in found)


def _facts(title: str, row: TrialRow, best: TrialRow | None, sign: float) -> BaselineFacts:
    if row.score is None:
        return BaselineFacts(title, row, f"no score ({row.error or row.status})", is_ahead=False)
    if best is None or best.score is None:
        return BaselineFacts(title, row, "nothing to compare it with yet", is_ahead=False)
    if best.trial_id == row.trial_id:
        return BaselineFacts(title, row, "this is the recommended pipeline", is_ahead=False)
    lead = sign * (best.score - row.score)
    if abs(lead) < _EVEN:
        return BaselineFacts(title, row, "the recommended pipeline is level with it", is_ahead=False)
    where = "above" if (lead > 0) == (sign > 0) else "below"
    verdict = f"the recommended pipeline is {abs(lead):.3f} {where}"
    is_ahead = lead < 0 and row.is_baseline
    if is_ahead:
        verdict += "; the baseline is ahead, but it is no pipeline of this search and cannot be exported"
    return BaselineFacts(title, row, verdict, is_ahead)
