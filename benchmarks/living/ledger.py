"""The file of all seeds so far: read, checked, added to, and written anew as one piece after each strategy.

Of each unit (a strategy on a task with a seed) the trials are what counts; curves, figures and summaries are computed
from them whenever the file is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.living.figures import Ended, Figures, Horizon, band, curves, figures, grid, spread
from benchmarks.living.subjects import Subject
from benchmarks.living.units import STRATEGIES
from benchmarks.recording.provenance import commit
from xautolm.errors import UsageError
from xautolm.experience.journal import write_atomic
from xautolm.metafeatures.machine import machine_facts
from xautolm.preparation import library_versions

_KEYS = {"minutes", "trainer_settings", "tasks", "units", "machine"}
_SAME_MACHINE = ("cpu", "usable_cores", "gpus")


@dataclass(frozen=True, slots=True)
class Unit:
    """One strategy on one task with one seed.

    Attributes:
        place: its place in the order in which the strategies of this task and seed ran, from 0.
        trials: in the order in which they ended.
        wall_s: until its last process had ended.
        test: scores of what it handed over on the test rows; None without.
        handed_over: id of the trial that this model came from.
        prior: what a run of ours says about its prior.
        left_out: what of the starter store was not shown to it.
        problem: what went wrong, if anything did.
        load_1m: load average of the machine before it.
    """

    task: str
    strategy: str
    seed: int
    place: int
    trials: tuple[Ended, ...]
    wall_s: float
    test: Mapping[str, float] | None = None
    handed_over: int | None = None
    prior: Mapping[str, Any] | None = None
    left_out: Mapping[str, Any] | None = None
    problem: str = ""
    load_1m: float = 0.0
    commit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = [name for name in self.__slots__ if name != "trials"]
        return {name: getattr(self, name) for name in names} | {"trials": [trial.to_dict() for trial in self.trials]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Unit:
        known = {name: value[name] for name in cls.__slots__ if name in value}
        return cls(**{**known, "trials": tuple(Ended.from_dict(trial) for trial in value["trials"])})


@dataclass
class Ledger:
    """All units of some tasks under the same conditions.

    Attributes:
        minutes: of each strategy.
        trainer_settings: `ours` or `defaults`.
        path: its file; None = it is kept in memory only.
        tasks: name -> facts.
    """

    minutes: float
    trainer_settings: str
    path: Path | None = None
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time of each strategy."""
        return 60 * self.minutes

    def horizon(self, task: str) -> Horizon:
        """What the figures of a task refer to."""
        return Horizon(self.seconds, self.tasks[task]["constant_f1"])

    def add_subjects(self, subjects: Sequence[Subject]) -> None:
        """Take tasks in.

        Raises:
            UsageError: a task has other rows than before.
        """
        for subject in subjects:
            known = self.tasks.get(subject.name)
            if known is not None and known["fingerprint"] != subject.task.fingerprint:
                raise UsageError(
                    f"expected the rows of {subject.name!r} that the earlier seeds in `{self.path}` saw, the data have "
                    "changed; give them another name or start another `--json` file"
                )
            self.tasks[subject.name] = dict(subject.facts)

    def has(self, task: str, strategy: str, seed: int) -> bool:
        """Whether a unit is there."""
        return any((unit.task, unit.strategy, unit.seed) == (task, strategy, seed) for unit in self.units)

    def next_seed(self, tasks: Sequence[str]) -> int:
        """The first seed that some strategy has not had on some of the tasks."""
        return next(
            seed
            for seed in count()
            if not all(self.has(task, strategy.name, seed) for task in tasks for strategy in STRATEGIES)
        )

    def seeds(self, task: str) -> list[int]:
        """Seeds that all strategies have had on a task, ascending."""
        known = sorted({unit.seed for unit in self.units if unit.task == task})
        return [seed for seed in known if all(self.has(task, strategy.name, seed) for strategy in STRATEGIES)]

    def of(self, task: str, strategy: str) -> list[Unit]:
        """The units of a strategy on a task, by seed; seeds that not all strategies have had are left out."""
        seeds = self.seeds(task)
        found = [unit for unit in self.units if (unit.task, unit.strategy) == (task, strategy) and unit.seed in seeds]
        return sorted(found, key=lambda unit: unit.seed)

    def figures(self, unit: Unit) -> Figures:
        """What a unit reached."""
        return figures(unit.trials, self.horizon(unit.task))

    def add(self, unit: Unit) -> None:
        """Take a unit in and write the file.

        Raises:
            OSError: it cannot be written; the file is as before.
        """
        self.units.append(unit)
        if self.path is not None:
            write_atomic(self.path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; see `benchmarks.live`."""
        conditions = {"minutes": self.minutes, "trainer_settings": self.trainer_settings, **provenance()}
        units = [
            {
                **unit.to_dict(),
                "figures": asdict(self.figures(unit)),
                "curves": curves(unit.trials, self.horizon(unit.task)),
            }
            for unit in self.units
        ]
        strategies = [strategy.name for strategy in STRATEGIES]
        summary = {task: {name: self._summary(task, name) for name in strategies} for task in self.tasks}
        return {
            **conditions,
            "grid_s": grid(self.seconds),
            "tasks": self.tasks,
            "summary": summary,
            "units": units,
        }

    def _summary(self, task: str, strategy: str) -> dict[str, Any]:
        """Figures and curves of a strategy on a task over the seeds that are complete."""
        units = self.of(task, strategy)
        if not units:
            return {"seeds": []}
        found = [asdict(self.figures(unit)) for unit in units]
        over = {name: spread([entry[name] for entry in found]) for name in found[0]}
        over["test_f1"] = spread([(unit.test or {}).get("f1") for unit in units])
        lines = [curves(unit.trials, self.horizon(task)) for unit in units]
        bands = {name: band([line[name] for line in lines]) for name in lines[0]}
        return {"seeds": [unit.seed for unit in units], "figures": over, "curves": bands}


@cache
def provenance() -> dict[str, Any]:
    """Code, libraries and machine of this call."""
    return {"commit": commit(), "versions": library_versions(), "machine": machine_facts()}


def open_ledger(path: Path | None, minutes: float, trainer_settings: str) -> Ledger:
    """The seeds so far, or none yet.

    Raises:
        UsageError: the file is no such file, was made under other conditions, or cannot be written.
    """
    ledger = Ledger(minutes, trainer_settings, path)
    if path is None:
        return ledger
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"cannot write `--json {path}`: expected a folder that can be written at `{path.parent}`")
    if not path.exists():
        return ledger
    saved = _read(path)
    for name, wanted in (("minutes", minutes), ("trainer_settings", trainer_settings)):
        if saved[name] != wanted:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"the seeds in `{path}` were run with `{option} {saved[name]}`, not {wanted}; go on with that, or "
                "start another file"
            )
    here = provenance()["machine"]
    other = [name for name in _SAME_MACHINE if saved["machine"].get(name) != here[name]]
    if other:
        raise UsageError(
            f"the seeds in `{path}` were run on another machine ({other[0]} {saved['machine'].get(other[0])!r}, here "
            f"{here[other[0]]!r}), so that times cannot be compared; start another file"
        )
    ledger.tasks = dict(saved["tasks"])
    ledger.units = [Unit.from_dict(unit) for unit in saved["units"]]
    return ledger


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        missing = _KEYS - saved.keys()
        if missing:
            raise ValueError(f"it has no {sorted(missing)[0]!r}")
        for unit in saved["units"]:
            Unit.from_dict(unit)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"expected a file that `--json` wrote, `{path}` is not: {error}") from error
    return dict(saved)
