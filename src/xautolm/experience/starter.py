"""Experiences that come with the package, so that a first run is warm: read only, beside the user's own store.

`recorded`: real fine-tunes of this project on public data sets. `published`: evaluations from the store that the
authors of XAutoLM (EMNLP 2025) released. Both hold numbers and names, no text of any data set. `python -m
benchmarks.starter` writes them; `xautolm/starter/NOTICE.md` has sources and licences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from xautolm.errors import DataError, StoreError
from xautolm.experience.groups import ExperienceGroup, group_of_members
from xautolm.experience.refusal import RowError
from xautolm.experience.transfer import read
from xautolm.records import Experience

if TYPE_CHECKING:
    from xautolm.experience.store import ExperienceStore

RECORDED, PUBLISHED = "recorded", "published"
PARTS = (RECORDED, PUBLISHED)
FOLDER = Path(__file__).parents[1] / "starter"


def part_file(part: str) -> Path:
    """Where a part lies; a part that was never made has no file."""
    return FOLDER / f"{part}.jsonl.gz"


@dataclass(frozen=True, slots=True)
class PartFacts:
    """One part in numbers.

    Attributes:
        datasets: experiences by data set, in the order of the file.
        statuses: experiences by status, most frequent first.
    """

    part: str
    n_experiences: int
    datasets: Mapping[str, int]
    statuses: Mapping[str, int]


class Starter:
    """The experiences of some parts, in memory; like an `ExperienceStore` for whoever only reads groups.

    Groups are numbered downward from -1, so that they are told from those of a database.

    Args:
        parts: some of `PARTS`.

    Raises:
        StoreError: a file of the package is damaged.
    """

    def __init__(self, parts: Sequence[str] = PARTS) -> None:
        self._members: dict[int, tuple[Experience, ...]] = {}
        self._groups: list[ExperienceGroup] = []
        tasks: dict[tuple[str, str, int], list[Experience]] = {}
        for part in parts:
            for experience in read_part(part):
                key = (experience.dataset_id, experience.fingerprint, id(experience.profile))
                tasks.setdefault(key, []).append(experience)
        for i, members in enumerate(tasks.values()):
            self._groups.append(group_of_members(-1 - i, members))
            self._members[-1 - i] = tuple(reversed(members))

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        """The tasks and machines, without experiences; see `ExperienceStore.groups`."""
        return [
            group for group in self._groups if kind in (None, group.kind) and group.dataset_id not in exclude_datasets
        ]

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        """The experiences of some groups, in their order, the last made of each first."""
        return [experience for group in groups for experience in self._members[group.task_id]][:limit]


class Together:
    """A user's store and the starter as one source of evidence.

    Args:
        store: an `ExperienceStore`; None = there is none.
        starter: None = left out.
    """

    def __init__(self, store: ExperienceStore | None, starter: Starter | None) -> None:
        self._store, self._starter = store, starter

    def groups(self, kind: str | None = None, exclude_datasets: Sequence[str] = ()) -> list[ExperienceGroup]:
        """Those of the store, then those of the starter.

        Raises:
            StoreError: the database failed.
        """
        sources = [source for source in (self._store, self._starter) if source is not None]
        return [group for source in sources for group in source.groups(kind, exclude_datasets)]

    def load_groups(self, groups: Sequence[ExperienceGroup], limit: int | None = None) -> list[Experience]:
        """Their experiences, group by group, `limit` at most.

        Raises:
            StoreError: the database failed.
        """
        loaded: list[Experience] = []
        for is_starter, members in groupby(groups, key=lambda group: group.task_id < 0):
            source = self._starter if is_starter else self._store
            room = None if limit is None else limit - len(loaded)
            if source is not None and room != 0:
                loaded += source.load_groups(list(members), room)
        return loaded


def describe(parts: Sequence[str] = PARTS) -> list[PartFacts]:
    """What comes with the package, in numbers.

    Raises:
        StoreError: a file of the package is damaged.
    """
    described = []
    for part in parts:
        experiences = read_part(part)
        datasets = Counter(experience.dataset_id for experience in experiences)
        statuses = Counter(experience.result.status for experience in experiences)
        described.append(PartFacts(part, len(experiences), dict(datasets), dict(statuses.most_common())))
    return described


@lru_cache(maxsize=len(PARTS))
def read_part(part: str) -> tuple[Experience, ...]:
    """The experiences of a part, in the order of its file.

    Raises:
        StoreError: the file is not there, or damaged.
    """
    try:
        rows = [build() for _, build in read(part_file(part))]
    except (DataError, RowError) as error:
        raise StoreError(
            f"`{part_file(part)}` comes with the package and must hold experiences, but cannot be read ({error}). "
            "Install xautolm again, or leave such experiences out with `--no-starter`."
        ) from error
    return tuple(experience for experience in rows if experience is not None)
