"""Progress of a run on stderr: a view that redraws itself on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xautolm.pareto import COSTS
from xautolm.records import FAILURES, Budget, Objective, Pipeline, Progress, TrialResult
from xautolm.report.rows import finite
from xautolm.report.wording import BASELINE_NAMES, N_KEY_SETTINGS, clean, duration, metric_name, score, settings

#: Least time (s) between two redraws.
REDRAW_S = 0.25

#: Points of the front shown in the view, the best ones.
N_FRONT_ROWS = 6


class LiveView:
    """Shows a run while it runs.

    On a terminal, `update` redraws the view (without a thread of its own). Elsewhere `update` is silent and
    each finished trial is one line.

    Attributes:
        console: where to write; its `is_terminal` decides which way.
        budget: what the run may spend.
        objectives: what the run optimises; the first metric among them is shown.
    """

    def __init__(self, console: Console, budget: Budget, objectives: Sequence[Objective]) -> None:
        self.console = console
        self.budget = budget
        quality = next((o for o in objectives if o.name not in COSTS), Objective("f1", "maximize"))
        self._metric = quality.name
        self._sign = 1.0 if quality.direction == "maximize" else -1.0
        self._live: Live | None = None
        self._drawn_at = float("-inf")

    def __enter__(self) -> LiveView:
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(
        self,
        finished: Sequence[TrialResult],
        running: Sequence[Progress],
        front: Sequence[int],
        elapsed_s: float,
    ) -> None:
        """Show the state of the run; may be called as often as one likes.

        Args:
            finished: all finished trials.
            running: the trials that run now.
            front: ids of the non-dominated trials.
            elapsed_s: seconds of the budget spent so far.
        """
        if self._live is None or time.monotonic() - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = time.monotonic()
        self._live.update(self._view(finished, running, front, elapsed_s), refresh=True)

    def log(self, line: str) -> None:
        """Print one line; on a terminal it stays above the view."""
        self.console.print(Text(clean(line, 500)), soft_wrap=True)

    def trial_finished(self, result: TrialResult) -> None:
        """Log a finished trial; on a terminal only a failed one, since the view shows the others."""
        if self._live is None or result.status in FAILURES:
            self.log(self._line(result))

    def _line(self, result: TrialResult) -> str:
        pipeline = result.pipeline
        what = f"{_name(pipeline)} {settings(pipeline.params, N_KEY_SETTINGS)}"
        title = f"trial {result.trial_id}"
        if result.is_baseline:
            title, what = "baseline", BASELINE_NAMES.get(pipeline.method, pipeline.method)
        value = finite(result.scores.get(self._metric)) if result.is_ok else None
        outcome = f"{self._metric} {score(value)}" if value is not None else ""
        reason = f"  {result.error.kind}: {result.error.message}" if result.error else ""
        seconds = f"{duration(result.cost.time_s):>8}"
        return f"{title} {result.status:<8} {outcome:<8} {seconds}  {what}{reason}".replace("   ", "  ")

    def _view(
        self,
        finished: Sequence[TrialResult],
        running: Sequence[Progress],
        front: Sequence[int],
        elapsed_s: float,
    ) -> Group:
        parts: list[RenderableType] = [
            self._budget_line(finished, elapsed_s),
            Text(self._counts(finished), no_wrap=True),
        ]
        parts += [
            Text(_running_line(progress), style="cyan", no_wrap=True, overflow="ellipsis") for progress in running
        ]
        on_front = [trial for trial in finished if trial.trial_id in set(front)]
        if on_front:
            parts.append(self._front_table(on_front))
        return Group(*parts)

    def _budget_line(self, finished: Sequence[TrialResult], elapsed_s: float) -> Table:
        if self.budget.wall_s is not None:
            total, done = self.budget.wall_s, elapsed_s
            label = f"{duration(elapsed_s)} of {duration(total)}, {duration(max(0.0, total - elapsed_s))} left"
        else:
            total, done = float(self.budget.n_trials or 1), float(len(finished))
            label = f"{len(finished)} of {round(total)} trials, {duration(elapsed_s)}"
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=max(total, 1e-9), completed=min(done, total), width=30), Text(label))
        return grid

    def _counts(self, finished: Sequence[TrialResult]) -> str:
        statuses = Counter(trial.status for trial in finished)
        failed = {status: count for status, count in statuses.items() if status in FAILURES}
        kinds = f" ({', '.join(f'{count} {status}' for status, count in failed.items())})" if failed else ""
        stopped = f", {statuses['stopped']} stopped early" if statuses["stopped"] else ""
        best = self._best(finished)
        name = metric_name(self._metric, "")
        leader = f"   best {name} {score(best[0])} (trial {best[1]})" if best else ""
        return f"{statuses['ok']} done{stopped}, {sum(failed.values())} failed{kinds}{leader}"

    def _best(self, finished: Sequence[TrialResult]) -> tuple[float, int] | None:
        scored = [(finite(trial.scores.get(self._metric)), trial.trial_id) for trial in finished if trial.is_ok]
        valid = [(value, trial_id) for value, trial_id in scored if value is not None]
        return max(valid, key=lambda pair: self._sign * pair[0], default=None)

    def _front_table(self, on_front: Sequence[TrialResult]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title="front", title_justify="left")
        table.add_column("trial", justify="right")
        table.add_column(metric_name(self._metric, ""), justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("pipeline", no_wrap=True, overflow="ellipsis")
        ranked = sorted(on_front, key=lambda trial: self._sign * (trial.scores.get(self._metric) or 0.0), reverse=True)
        for trial in ranked[:N_FRONT_ROWS]:
            table.add_row(
                Text(str(trial.trial_id)),
                Text(score(finite(trial.scores.get(self._metric)))),
                Text(duration(trial.cost.time_s)),
                Text(_name(trial.pipeline)),
            )
        return table


def _running_line(progress: Progress) -> str:
    epoch = f", epoch {progress.epoch:.1f} of {progress.n_epochs:g}" if progress.n_epochs else ""
    stage = f"{clean(progress.stage, 30)}{epoch}, {duration(progress.elapsed_s)}"
    title = f"trial {progress.trial_id}" if progress.trial_id >= 0 else "baseline"
    return f"{title}  {_name(progress.pipeline)}  {stage}"


def _name(pipeline: Pipeline) -> str:
    return f"{clean(pipeline.model, 80)} {clean(pipeline.method, 40)}"
