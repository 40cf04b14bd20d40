"""`AutoLM`: the command line's `fit` from Python."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xautolm.errors import RunError, RunFolderError
from xautolm.records import Profile, RunReport, TrialResult

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.storages import BaseStorage

    from xautolm.recording import Observer


@dataclass(frozen=True, slots=True)
class BestPipeline:
    """The recommended pipeline of a run.

    Attributes:
        trial: its trial.
        model_folder: its exported Hugging Face folder.
    """

    trial: TrialResult
    model_folder: Path

    def export(self, target: str | Path) -> Path:
        """Copy the exported model to a new folder.

        Raises:
            RunFolderError: something is there already.
        """
        path = Path(target)
        if path.exists():
            raise RunFolderError(f"expected `{path}` not to exist yet; give another folder")
        shutil.copytree(self.model_folder, path)
        return path


class Report:
    """What a run found.

    Args:
        report: the facts of the run folder.
    """

    def __init__(self, report: RunReport) -> None:
        self.facts = report

    @property
    def folder(self) -> Path:
        """The run folder, with `report.html`."""
        return Path(self.facts.folder)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per finished trial of the search: id, status, pipeline, scores and cost."""
        import pandas as pd

        return pd.DataFrame([_row(trial) for trial in self.facts.trials])

    @property
    def front(self) -> pd.DataFrame:
        """The non-dominated pipelines, cheapest first; below 0 = a baseline, which cannot be exported."""
        import pandas as pd

        frame = pd.DataFrame([_row(trial) for trial in (*self.facts.baselines, *self.facts.trials)])
        return frame.set_index("trial_id").loc[list(self.facts.front)].reset_index() if len(frame) else frame

    @property
    def test(self) -> Mapping[str, float] | None:
        """Scores of the recommended pipeline on the sealed test split."""
        return self.facts.run.get("test")

    @property
    def best(self) -> BestPipeline:
        """The recommended pipeline.

        Raises:
            RunError: no trial worked.
        """
        trial = next((trial for trial in self.facts.trials if trial.trial_id == self.facts.best), None)
        if trial is None:
            raise RunError(f"no trial of the run in `{self.folder}` worked; see its report.html")
        return BestPipeline(trial, self.folder / "model")

    def to_optuna(self, storage: str | BaseStorage | None = None, name: str | None = None) -> optuna.Study:
        """The run as a new Optuna study, for optuna-dashboard and `optuna.visualization`.

        Args:
            storage: URL of an Optuna storage, path of a SQLite file, or a storage of yours; None = memory.
            name: of the study, new in the storage; None = that of the run folder.

        Raises:
            UsageError: the storage has a study of this name; nothing was written.
            DataError: the storage cannot be used; nothing of the study is left in it.
        """
        from xautolm.report.study import export_study

        return export_study(self.folder, storage, name)


class AutoLM:
    """Searches for the best fine-tuned pipeline within a budget.

    Args:
        task: task kind, one of `xautolm.tasks.KINDS`; None = guessed from the columns and cells.
        budget: `30m`, `2h`, `40trials`.
        objectives: what to optimise; the first decides the recommendation.
        settings: any other field of `xautolm.config.Settings` (`models`, `methods`, `seed`, `store`, ...).
    """

    def __init__(
        self,
        task: str | None = None,
        budget: str = "30m",
        objectives: Sequence[str] = ("f1", "time"),
        **settings: Any,
    ) -> None:
        self._fields = {"task": task, "budget": budget, "objectives": tuple(objectives), **settings}

    def fit(
        self,
        data: str | Path,
        *,
        target: str | None = None,
        text: str | None = None,
        valid: str | Path | None = None,
        test: str | Path | None = None,
        out: str | Path | None = None,
        observer: Observer | None = None,
    ) -> Report:
        """Run the search; Ctrl-C stops it and keeps everything that is finished.

        Args:
            data: file, `datasets` folder or hub id.
            target: label column, guessed when plain.
            text: text column, guessed when plain.
            valid: validation data; cut from `data` when not given.
            test: test data, sealed until the end; cut from `data` when not given.
            out: run folder, new or empty; None = the first free `runs/<data>`.
            observer: who watches.

        Raises:
            XAutoLMError: bad input, or no trial worked.
        """
        from xautolm import run
        from xautolm.config import make_settings
        from xautolm.interrupts import StopRequest

        files = {"data": data, "valid": valid, "test": test}
        named = {name: str(path) for name, path in files.items() if path is not None}
        settings = make_settings({**self._fields, **named, "target": target, "text": text})
        folder = Path(out) if out is not None else run.default_out(settings.data)
        with StopRequest() as stop:
            return Report(run.fit(settings, folder, observer=observer, should_stop=stop.is_requested))

    def profile(self, data: str | Path, *, target: str | None = None, text: str | None = None) -> Profile:
        """The meta-features of a task and of this machine, for `ExperienceSampler(task=...)`.

        Args:
            data: file, `datasets` folder or hub id.
            target: label column, guessed when plain.
            text: text column, guessed when plain.

        Raises:
            XAutoLMError: bad input.
        """
        from xautolm.config import make_settings
        from xautolm.explain import profiled

        return profiled(make_settings({**self._fields, "data": str(data), "target": target, "text": text}))[1]

    @staticmethod
    def resume(folder: str | Path, *, observer: Observer | None = None) -> Report:
        """Continue a run after any kind of stop."""
        from xautolm import run
        from xautolm.interrupts import StopRequest

        with StopRequest() as stop:
            return Report(run.resume(Path(folder), observer=observer, should_stop=stop.is_requested))

    @staticmethod
    def load(folder: str | Path) -> Report:
        """The report of an earlier run."""
        from xautolm.report.folder import read_run

        return Report(read_run(folder))


def _row(trial: TrialResult) -> dict[str, Any]:
    cost: dict[str, Any] = {"time_s": trial.cost.time_s, "peak_mem_mib": trial.cost.peak_mem_mib}
    cost["exportable"] = not trial.is_baseline
    return {"trial_id": trial.trial_id, "status": trial.status, **trial.scores, **cost, **trial.pipeline.to_dict()}
