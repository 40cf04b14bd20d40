"""The files of a run folder: who may write, what is written when, and how a damaged or foreign folder is refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from xautolm.errors import RunFolderError
from xautolm.experience.journal import Journal, write_atomic

if os.name == "posix":
    import fcntl


class RunFolder:
    """A run folder that this process may write to; at most one process may at a time.

    Args:
        path: an existing folder.

    Raises:
        RunFolderError: another process is working in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = (path / ".lock").open("w")
        if os.name == "posix":
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                raise RunFolderError(
                    f"another process is working in `{path}`; wait until it ends or stop it, then try again"
                ) from None
        self.journal: Journal | None = None
        self._new_parents: list[Path] = []

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new run folder.

        Raises:
            RunFolderError: the folder holds something already, or cannot be made.
        """
        check_new(path)
        parents = [parent for parent in path.absolute().parents if not parent.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
        except OSError as error:
            raise RunFolderError(_cannot_write(path, error)) from None
        folder._new_parents = parents
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run folder for writing.

        Raises:
            RunFolderError: there is no run in it.
        """
        check_is_run(path)
        try:
            folder = cls(path)
        except OSError as error:
            raise RunFolderError(_cannot_write(path, error)) from None
        folder._remove_leftovers()
        return folder

    @property
    def work(self) -> Path:
        """Private scratch of the run: rows, caches, trial folders; removed when the run is complete."""
        return self.path / "work"

    @property
    def checkpoints(self) -> Path:
        """Trained parameters of front pipelines, one folder per trial id."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The recommended pipeline as a Hugging Face folder."""
        return self.path / "model"

    def open_journal(self) -> Journal:
        """The journal, opened for appending; a torn last line is cut off."""
        self.journal = self.journal or Journal(self.path / "trials.jsonl")
        return self.journal

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a JSON file of the folder."""
        write_atomic(self.path / name, json.dumps(dict(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        return read_part(self.path, name)

    def checkpoint_sizes(self) -> dict[int, int]:
        """Trial id -> bytes of its checkpoint."""
        if not self.checkpoints.is_dir():
            return {}
        return {
            int(folder.name): sum(file.stat().st_size for file in folder.iterdir())
            for folder in self.checkpoints.iterdir()
            if folder.name.isdigit()
        }

    def drop_checkpoint(self, trial_id: int) -> None:
        """Remove the checkpoint of a trial."""
        shutil.rmtree(self.checkpoints / str(trial_id), ignore_errors=True)

    def close(self) -> None:
        """Release the folder."""
        if self.journal is not None:
            self.journal.close()
        self._lock.close()

    def remove(self) -> None:
        """Undo `create`: nothing is left of a run that could not begin."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else uses it by now
            for parent in self._new_parents:
                parent.rmdir()

    def _remove_leftovers(self) -> None:
        """Remove what a killed process was writing: temporary files (`write_atomic`) and half-built models."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)
        for path in self.path.glob(f".{self.model.name}-*"):
            shutil.rmtree(path, ignore_errors=True)


def read_part(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of the run folder at `path`, which may belong to another process.

    Raises:
        RunFolderError: it is missing or damaged.
    """
    try:
        return dict(json.loads((path / name).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"cannot read `{path / name}` ({error}); the run can be neither resumed nor replayed, start a new one"
        ) from None


def check_is_run(path: Path) -> None:
    """Make sure that there is a run at `path`.

    Raises:
        RunFolderError: there is none.
    """
    if not (path / "run.json").is_file() or not (path / "config.yaml").is_file():
        raise RunFolderError(
            f"expected a run folder with `run.json` and `config.yaml` at `{path}`, found none; "
            "give the folder that `xautolm fit` printed"
        )


def check_new(path: Path) -> None:
    """Make sure that a run can be created at `path`, without writing anything.

    Raises:
        RunFolderError: something is there already, or the place is not writable.
    """
    if (path / "run.json").exists():
        raise RunFolderError(
            f"`{path}` already holds a run; give another `--out`, or continue it with `xautolm resume {path}`"
        )
    if path.exists() and not (path.is_dir() and _holds_nothing(path)):
        raise RunFolderError(
            f"expected `{path}` to be a new or empty folder, but it holds something; give another `--out`"
        )
    parent = path
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunFolderError(f"no permission to write to `{parent}`; give another `--out`")


def _holds_nothing(path: Path) -> bool:
    """Whether a folder is empty, or has only what a run leaves that was killed before it had begun."""
    names = {entry.name for entry in path.iterdir() if not entry.name.endswith(".tmp")}
    return not names or (".lock" in names and names <= {".lock", "config.yaml"})


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write to `{path}`: {error.strerror}; give another `--out` or make room"
