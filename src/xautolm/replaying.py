"""Proposes every trial of a run again, from its folder alone, and compares: whether a run can be repeated exactly.

Nothing is evaluated or written. A proposal rests on the seed, the number of the trial, the settings, the plan, the
prior and the predictors of the folder, the results that it was shown (`seen`) and the pipelines that ran beside it
(`beside`); its arithmetic is that of the installed libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xautolm.config import make_settings, read_settings_file
from xautolm.errors import RunFolderError, UsageError
from xautolm.experience.journal import read_journal
from xautolm.experience.run_folder import check_is_run, read_part
from xautolm.preparation import library_versions, make_ranking, read_decisions
from xautolm.records import Pipeline, TrialResult
from xautolm.search.loop import asked_for, replay
from xautolm.search.samplers import OWN_SAMPLERS, make_search

#: Differences that are told in words; `--json` has all.
_N_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """A trial for which something else is proposed now than then."""

    trial_id: int
    recorded: Pipeline
    proposed: Pipeline


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    Attributes:
        n_trials: proposals that were compared.
        differences: those that are not the recorded ones, by trial.
        versions: library -> (version then, version now) where they differ.
    """

    n_trials: int
    differences: tuple[Difference, ...]
    versions: Mapping[str, tuple[str, str]]

    @property
    def lines(self) -> list[str]:
        """What was found, in words."""
        n_same = self.n_trials - len(self.differences)
        lines = [f"{n_same} of {self.n_trials} trials are proposed again exactly as they were recorded"]
        for difference in self.differences[:_N_SHOWN]:
            lines.append(f"trial {difference.trial_id}: {_changes(difference)}")
        if len(self.differences) > _N_SHOWN:
            lines.append(f"and {len(self.differences) - _N_SHOWN} more")
        changed = ", ".join(f"{name} {then} -> {now}" for name, (then, now) in self.versions.items())
        if self.differences and changed:
            lines.append(f"other versions than then: {changed}; a proposal is repeated exactly by the same ones")
        return lines


def replay_run(folder: Path) -> Replay:
    """Propose every finished trial of a run again.

    Args:
        folder: of a run in any state; it is only read.

    Raises:
        RunFolderError: no run there, a file is damaged, or the journal refers to trials that it lacks.
        UsageError: the run was driven by an Optuna sampler, whose state is not recorded.
    """
    check_is_run(folder)
    settings = make_settings(read_settings_file(folder / "config.yaml"))
    if settings.sampler not in OWN_SAMPLERS:
        raise UsageError(
            f"`{folder}` was searched by {settings.sampler!r}, whose own state is not recorded; runs of "
            f"{' and '.join(f'`{name}`' for name in OWN_SAMPLERS)} can be replayed"
        )
    plan, prior, profile = read_decisions(folder)
    results = read_journal(folder / "trials.jsonl", repair=False)
    _check_complete(results, folder)
    ranking = make_ranking(settings, plan, prior, profile)
    asker = make_search(settings.sampler, ranking, seed=settings.seed, prior=prior)
    recorded = sorted(results, key=lambda result: result.trial_id)
    differences = [
        Difference(result.trial_id, asked_for(result), proposed)
        for result, proposed in zip(recorded, replay(asker, results), strict=True)
        if asked_for(result) != proposed
    ]
    return Replay(len(results), tuple(differences), _changed(read_part(folder, "run.json").get("versions", {})))


def _changes(difference: Difference) -> str:
    """The decisions that are not the same.

    >>> _changes(Difference(3, Pipeline("m", "head", {"c": 1.0}), Pipeline("m", "head", {"c": 2.0})))
    '`c` was 1.0, now 2.0'
    """
    then, now = difference.recorded.to_dict(), difference.proposed.to_dict()
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return ", ".join(f"`{name}` was {then.get(name)!r}, now {now.get(name)!r}" for name in names)


def _check_complete(results: list[TrialResult], folder: Path) -> None:
    missing = {i for result in results for i in result.seen} - {result.trial_id for result in results}
    if missing:
        raise RunFolderError(
            f"`{folder / 'trials.jsonl'}` has trials that were proposed knowing trial {min(missing)}, which it lacks; "
            "restore the file from a copy"
        )


def _changed(then: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    now = library_versions()
    return {name: (then[name], now[name]) for name in then if name in now and now[name] != then[name]}
