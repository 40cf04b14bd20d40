"""What strategies are compared on: the rows that all of them get, and what of the starter store is the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recording.limits import best_constant_f1
from benchmarks.recording.subsets import has_data
from xautolm.data.load import load_task
from xautolm.errors import UsageError
from xautolm.experience.groups import ExperienceGroup
from xautolm.finish import rows_of, targets_of, write_rows
from xautolm.prior.similarity import is_same_data
from xautolm.records import Split, Task

KIND = "text-classification"
#: Rows of the stand-in for the test file: `fit` would cut a test split off the training rows if it got none.
N_STAND_IN = 32
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Subject:
    """A task that strategies are compared on; its test rows are the benchmark's alone.

    Attributes:
        name: of the data set.
        task: its rows.
        constant_f1: macro F1 of the best constant prediction on the validation rows.
    """

    name: str
    task: Task
    constant_f1: float

    @property
    def facts(self) -> dict[str, object]:
        """What the results say about it."""
        task = self.task
        return {
            "n_train": task.train.n_rows,
            "n_validation": task.validation.n_rows,
            "n_test": task.test.n_rows if task.test else 0,
            "n_classes": len(task.labels),
            "constant_f1": self.constant_f1,
            "fingerprint": task.fingerprint,
        }


def parse_data(text: str) -> tuple[str, tuple[str, ...]]:
    """Read NAME=TRAIN,VALID[,TEST].

    Raises:
        UsageError: another form, or a file that is not there.

    >>> parse_data("reviews=a.csv")
    Traceback (most recent call last):
    ...
    xautolm.errors.UsageError: expected `--data NAME=TRAIN,VALID` or `NAME=TRAIN,VALID,TEST`, got 'reviews=a.csv'
    """
    name, _, listed = text.partition("=")
    files = tuple(listed.split(","))
    if not _NAME.fullmatch(name) or len(files) not in (2, 3) or not all(files):
        raise UsageError(f"expected `--data NAME=TRAIN,VALID` or `NAME=TRAIN,VALID,TEST`, got {text!r}")
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise UsageError(f"expected the files of `--data {name}=...`, but {missing[0]!r} is not there")
    return name, files


def shared_files(folder: Path, name: str) -> tuple[str, ...]:
    """The files of a shared data set.

    Raises:
        UsageError: they are not there.
    """
    if not has_data(folder, name):
        raise UsageError(
            f"expected the data set {name!r} in `{folder}`, found no training and validation rows there; name the "
            "folder with `--data-folder`, or your own files with `--data NAME=TRAIN,VALID,TEST`"
        )
    files = [folder / name / f"{split}.jsonl.gz" for split in _SPLITS]
    return tuple(str(file) for file in files if file.is_file())


def load_subject(name: str, files: Sequence[str]) -> Subject:
    """Load a task; without a test file a test split is cut from the training rows.

    Raises:
        DataError: the data cannot be used as given.
        UsageError: they are not text classification.
    """
    task = load_task(files[0], valid=files[1], test=files[2] if len(files) > 2 else None)
    if task.kind != KIND:
        raise UsageError(f"expected data of `{KIND}` for {name!r}, which all strategies can learn; it is `{task.kind}`")
    return Subject(name, task, best_constant_f1(task.validation.labels, len(task.labels)))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of the starter store is not shown to a search.

    Attributes:
        data_sets: ids under which the same data stand there.
        n_rows: experiences with these ids.
        n_all: experiences of the starter store.
    """

    data_sets: tuple[str, ...]
    n_rows: int
    n_all: int


def left_out(subject: Subject, groups: Sequence[ExperienceGroup]) -> LeftOut:
    """Find a subject's data in the starter store: by name, by the id of its file, by its rows (`is_same_data`).

    Everything that stands there under an id of the same data is left out.

    Args:
        subject: what is searched.
        groups: all of the starter store.
    """
    task = subject.task
    names = {_plain(subject.name), _plain(task.dataset_id)}
    same = {
        group.dataset_id
        for group in groups
        if _plain(group.dataset_id) in names
        or is_same_data(task.fingerprint, task.sketch, group.fingerprint, group.sketch)
    }
    n_rows = sum(group.n_experiences for group in groups if group.dataset_id in same)
    return LeftOut(tuple(sorted(same)), n_rows, sum(group.n_experiences for group in groups))


def _plain(name: str) -> str:
    """A name without the owner of a hub id, case and signs.

    >>> _plain("SetFit/SST-2"), _plain("sst2"), _plain("AG News")
    ('sst2', 'sst2', 'agnews')
    """
    return re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].casefold())


def write_subject(folder: Path, subject: Subject) -> None:
    """Write the rows that strategies may see: files for `fit`, and JSON as workers read it; never test.

    Args:
        folder: new; gets `train.jsonl`, `validation.jsonl`, `stand-in.jsonl` and `rows/`.
        subject: what is written.
    """
    task = subject.task
    folder.mkdir(parents=True)
    _write_lines(folder / "train.jsonl", task, task.train)
    _write_lines(folder / "validation.jsonl", task, task.validation)
    _write_lines(folder / "stand-in.jsonl", task, task.validation, N_STAND_IN)
    write_rows(folder / "rows", task)


def write_test(folder: Path, task: Task) -> tuple[Path, list[int]]:
    """Write the texts of the test rows, once a strategy has ended; returns the file and the label of each row."""
    if task.test is None:
        raise UsageError("expected test rows, the data have none")
    path = folder / "test.json"
    path.write_text(json.dumps(rows_of(task.test)))
    return path, targets_of(task.test)


def columns(task: Task) -> Mapping[str, str]:
    """Role -> column of the files that `write_subject` writes."""
    return {"text": "text", "target": "label", **({"text_pair": "text_pair"} if task.is_pair else {})}


def _write_lines(path: Path, task: Task, split: Split, n_rows: int | None = None) -> None:
    pairs = split.pairs if split.pairs is not None else (None,) * split.n_rows
    with path.open("w", encoding="utf-8") as file:
        for text, pair, label in list(zip(split.texts, pairs, split.labels, strict=True))[:n_rows]:
            row = {"text": text, **({} if pair is None else {"text_pair": pair}), "label": task.labels[label]}
            file.write(json.dumps(row) + "\n")
