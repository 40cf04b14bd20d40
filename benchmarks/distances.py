"""How far real tasks are from each other: `python -m benchmarks.distances [--no-semantic] [--docs FILE] [--json FILE]`.

Profiles twelve data sets, whole and as two halves of 1,000 rows each, and asks of several forms of the distance: are
the two halves of a set each other's nearest neighbours among all 24? Are the two pair tasks nearer to each other than
to tasks of one text? Does a row with absurd values change the distances of the others? The table of distances is last.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.recording.provenance import commit
from benchmarks.recording.subsets import DEFAULT_DATA
from xautolm.backends.local import LocalBackend, TrialContext
from xautolm.backends.slots import choose_slots
from xautolm.data.load import load_task
from xautolm.evaluate.isolate import WorkerServer
from xautolm.metafeatures.machine import machine_facts, usable_cores
from xautolm.preparation import library_versions
from xautolm.prior.normalisers import Normalizer
from xautolm.prior.similarity import DistanceOptions, distance_table
from xautolm.profiling import profile_subject
from xautolm.records import Profile

SETS = (
    *("sst2", "movie_reviews", "sms_spam", "meld", "cola", "trec", "liar", "ag_news", "mrpc", "rte"),
    *("squad", "drop"),
)
PAIRS = ("mrpc", "rte")
QUESTIONS = ("squad", "drop")
#: Rows of a half; 80 % of them are the training rows that a profile is made of.
HALF_ROWS = 1_000
#: Data sets of which both halves must find each other.
LEAST_HALVES = 10
ABSURD = 1e12

Array = npt.NDArray[np.float64]


def _form(*normalizers: Normalizer, **facts: Any) -> DistanceOptions:
    """A form that scales by the store, so that it needs no units."""
    return DistanceOptions(normalizers=normalizers, task_unit=1.0, semantic_unit=1.0, system_unit=1.0, **facts)


#: Forms of the distance that are compared; the first is the default.
FORMS: Mapping[str, DistanceOptions] = {
    "fixed": DistanceOptions(),
    "published": DistanceOptions.published(),
    "fixed, Manhattan": DistanceOptions(metric="manhattan"),
    "log, min-max": _form("log", "min-max"),
    "log, clip, min-max": _form("log", "clip", "min-max"),
    "log, standard": _form("log", "standard"),
    "log, standard, cosine": _form("log", "standard", metric="cosine"),
    "rank": _form("rank"),
    "fixed, no embedding": DistanceOptions(semantic_weight=0.0),
    "published, no embedding": replace(DistanceOptions.published(), semantic_weight=0.0),
    "embedding only": DistanceOptions(task_weight=0.0, semantic_weight=1.0, system_weight=0.0),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one form of the distance makes of the data sets.

    Attributes:
        n_halves: sets whose two halves are each other's nearest neighbours.
        strays: halves whose nearest neighbour is of another set, with that set.
        margin: median over all halves of (distance to the nearest other set / distance to the own half).
        pair: distance between the two pair tasks.
        single: the smallest distance of a pair task to a task of one text, and whose it is.
        are_questions_near: whether the two question answering sets are each other's nearest neighbours.
        shrinking: mean distance between the halves after a row with absurd values came in, over the mean before.
    """

    n_halves: int
    strays: tuple[tuple[str, str], ...]
    margin: float
    pair: float
    single: float
    single_of: str
    are_questions_near: bool
    shrinking: float

    @property
    def is_good(self) -> bool:
        return self.n_halves >= LEAST_HALVES and self.pair < self.single


def judge(whole: Mapping[str, Profile], halves: Mapping[str, tuple[Profile, Profile]], form: DistanceOptions) -> Judged:
    """Judge a form of the distance.

    Args:
        whole: data set -> profile of all of it.
        halves: data set -> profiles of its two halves, which share no rows.
        form: how profiles are compared.
    """
    names = [name for name in halves for _ in range(2)]
    profiles = [profile for both in halves.values() for profile in both]
    table = distance_table(profiles, form)
    far = table + np.diag(np.full(len(names), np.inf))
    nearest = far.argmin(axis=1)
    twins = np.arange(len(names)) ^ 1
    strays = tuple((f"{names[i]}/{i % 2 + 1}", names[nearest[i]]) for i in range(len(names)) if nearest[i] != twins[i])
    others = far.copy()
    others[np.arange(len(names)), twins] = np.inf
    margins = others.min(axis=1) / np.maximum(table[np.arange(len(names)), twins], 1e-9)
    between = dict(zip(whole, distance_table(list(whole.values()), form), strict=True))
    place = {name: i for i, name in enumerate(whole)}
    singles = [name for name in whole if name not in (*PAIRS, *QUESTIONS)]
    single, single_of = min(
        (float(between[pair][place[name]]), f"{pair} and {name}") for pair in PAIRS for name in singles
    )
    upper = np.triu_indices(len(names), 1)
    after = distance_table([*profiles, _absurd(profiles[0])], form)[:-1, :-1]
    return Judged(
        n_halves=sum(bool(nearest[i] == i + 1 and nearest[i + 1] == i) for i in range(0, len(names), 2)),
        strays=strays,
        margin=float(np.median(margins)),
        pair=float(between[PAIRS[0]][place[PAIRS[1]]]),
        single=single,
        single_of=single_of,
        are_questions_near=_are_nearest(*QUESTIONS, whole, between),
        shrinking=float(after[upper].mean() / table[upper].mean()),
    )


def nearest_of(name: str, whole: Sequence[str], row: Array) -> list[tuple[str, float]]:
    """The other data sets, nearest first, with their distances."""
    ordered = sorted((float(distance), other) for other, distance in zip(whole, row, strict=True) if other != name)
    return [(other, distance) for distance, other in ordered]


def _are_nearest(a: str, b: str, whole: Mapping[str, Profile], between: Mapping[str, Array]) -> bool:
    return nearest_of(a, list(whole), between[a])[0][0] == b and nearest_of(b, list(whole), between[b])[0][0] == a


def _absurd(profile: Profile) -> Profile:
    """A profile as a broken import might bring it."""
    task, system = dict.fromkeys(profile.task, ABSURD), dict.fromkeys(profile.system, ABSURD)
    return replace(profile, task=task, system=system, semantic=None)


class Profiler:
    """Profiles files, with one worker for all of them.

    Args:
        stack: closes the worker.
        with_embeddings: whether texts are embedded.
    """

    def __init__(self, stack: ExitStack, *, with_embeddings: bool) -> None:
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._with_embeddings = with_embeddings
        self._slots = choose_slots(usable_cores(), ["cpu"], 30_000_000, workers=1, threads=None)
        server = WorkerServer(self._folder / "server.log")
        stack.callback(server.close)
        self._backend = LocalBackend(server, self._slots, TrialContext(self._folder, {}, math.inf, math.inf, 0))

    def profile(self, path: Path) -> Profile:
        """The profile that `fit` and `explain` make of a file."""
        task = load_task(str(path))
        return profile_subject(task, self._backend, self._slots, with_embeddings=self._with_embeddings)

    def halves(self, path: Path, n_rows: int) -> tuple[Profile, Profile]:
        """Profiles of two disjoint samples of a file, drawn with seed 0; half of a smaller file each."""
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            lines = list(stream)
        random.Random(0).shuffle(lines)
        size = min(n_rows, len(lines) // 2)
        profiles = []
        for i in range(2):
            half = self._folder / f"{path.parent.name}-{i + 1}.jsonl"
            half.write_text("".join(lines[i * size : (i + 1) * size]), encoding="utf-8")
            profiles.append(self.profile(half))
        return profiles[0], profiles[1]


def measure(
    data: Path, *, with_embeddings: bool, n_rows: int = HALF_ROWS
) -> tuple[dict[str, Profile], dict[str, tuple[Profile, Profile]]]:
    """Profile all data sets, whole and in halves; says on stderr how far it is."""
    whole, halves = {}, {}
    with ExitStack() as stack:
        profiler = Profiler(stack, with_embeddings=with_embeddings)
        for name in SETS:
            path = data / name / "train.jsonl.gz"
            sys.stderr.write(f"profiling {name}\n")
            whole[name] = profiler.profile(path)
            halves[name] = profiler.halves(path, n_rows)
    return whole, halves


def write_profiles(path: Path, whole: Mapping[str, Profile], halves: Mapping[str, tuple[Profile, Profile]]) -> None:
    """Keep profiles as JSON: data set -> the whole and its halves."""
    content = {name: [asdict(profile) for profile in (whole[name], *halves[name])] for name in whole}
    path.write_text(json.dumps(content), encoding="utf-8")


def read_profiles(path: Path) -> tuple[dict[str, Profile], dict[str, tuple[Profile, Profile]]]:
    """What `write_profiles` kept."""
    whole, halves = {}, {}
    for name, entries in json.loads(path.read_text(encoding="utf-8")).items():
        profiles = [
            Profile(**entry | {"semantic": entry["semantic"] and tuple(entry["semantic"])}) for entry in entries
        ]
        whole[name], halves[name] = profiles[0], (profiles[1], profiles[2])
    return whole, halves


def distances_in_words(whole: Mapping[str, Profile], form: DistanceOptions) -> Iterator[str]:
    """The table of distances as lines of Markdown."""
    table = distance_table(list(whole.values()), form)
    yield f"| | {' | '.join(whole)} | nearest |"
    yield "|---" * (len(whole) + 2) + "|"
    for name, row in zip(whole, table, strict=True):
        other = nearest_of(name, list(whole), row)[0][0]
        cells = [
            f"**{value:.2f}**" if other == column else f"{value:.2f}" for column, value in zip(whole, row, strict=True)
        ]
        yield f"| {name} | {' | '.join(cells)} | {other} |"


def forms_in_words(judged: Mapping[str, Judged]) -> Iterator[str]:
    """One line of Markdown per form of the distance."""
    yield "| form | halves | margin | MRPC to RTE | nearest single-text task | SQuAD and DROP | after an absurd row |"
    yield "|---" * 7 + "|"
    for name, found in judged.items():
        questions = "nearest" if found.are_questions_near else "apart"
        single = f"{found.single:.2f} ({found.single_of})"
        figures = f"{found.n_halves} of {len(SETS)} | {found.margin:.1f} | {found.pair:.2f} | {single} | {questions}"
        yield f"| {name} | {figures} | x {found.shrinking:.2f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and tell by the exit code whether the default form is good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with one folder per data set")
    parser.add_argument("--no-semantic", action="store_true", help="without mean embeddings")
    parser.add_argument("--docs", type=Path, help="page whose two tables are replaced by the measured ones")
    parser.add_argument(
        "--profiles", type=Path, help="file that keeps the profiles: read when it is there, else written"
    )
    parser.add_argument("--json", type=Path, help="file for the figures, with provenance")
    options = parser.parse_args(arguments)
    if options.profiles and options.profiles.exists():
        whole, halves = read_profiles(options.profiles)
    else:
        whole, halves = measure(options.data, with_embeddings=not options.no_semantic)
        if options.profiles:
            write_profiles(options.profiles, whole, halves)
    judged = {name: judge(whole, halves, form) for name, form in FORMS.items()}
    forms, distances = list(forms_in_words(judged)), list(distances_in_words(whole, FORMS["fixed"]))
    if options.json:
        options.json.write_text(json.dumps(report(whole, judged), indent=1), encoding="utf-8")
    if options.docs:
        replace_tables(options.docs, {"forms": forms, "distances": distances})
    print("\n".join([*forms, "", *distances]))
    return 0 if judged["fixed"].is_good else 1


def report(whole: Mapping[str, Profile], judged: Mapping[str, Judged]) -> dict[str, Any]:
    """The figures with what they rest on."""
    return {
        "commit": commit(),
        "versions": library_versions(),
        "machine": machine_facts(),
        "sets": list(whole),
        "distances": distance_table(list(whole.values()), FORMS["fixed"]).tolist(),
        "forms": {name: asdict(found) for name, found in judged.items()},
    }


def replace_tables(page: Path, tables: Mapping[str, Sequence[str]]) -> None:
    """Put tables between their markers, `<!-- NAME -->` and `<!-- /NAME -->`."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        new = "\n".join([f"<!-- {name} -->", *lines, f"<!-- /{name} -->"])
        before, _, rest = text.partition(f"<!-- {name} -->")
        text = before + new + rest.partition(f"<!-- /{name} -->")[2]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
