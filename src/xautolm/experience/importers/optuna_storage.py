"""Optuna storages: opened without changing them, and read trial by trial where one is damaged.

Covered: storages in SQLite, PostgreSQL and MySQL. Not covered: journal and Redis storages (their snapshots are pickles,
which are never read).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from xautolm.errors import DataError
from xautolm.experience.importers.imported import RowError, shown
from xautolm.experience.location import display_url

URL_FORMS = "`sqlite:///PATH`, `postgresql+psycopg://...` or `mysql+pymysql://...`"
_SQLITE_MAGIC = b"SQLite format 3\0"


@contextmanager
def opened(source: str) -> Iterator[RDBStorage]:
    """Open a storage for reading; whatever goes wrong with it inside the block is a `DataError`.

    Args:
        source: URL of the storage, or the path of a SQLite file.

    Raises:
        DataError: the storage is not there, or not one of this Optuna.
    """
    url = _read_only(source)
    quiet = logging.getLogger("optuna")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    storage: RDBStorage | None = None
    try:
        with warnings.catch_warnings(action="ignore"):  # on odd choices of a study: it was made, and is only read
            storage = RDBStorage(url, skip_table_creation=True)
            yield storage
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign database makes Optuna raise anything at all
        raise DataError(
            f"Expected a storage of Optuna {optuna.__version__} at {display_url(source)!r}; it cannot be read "
            f"({type(error).__name__}). Check the URL; a storage of another version is converted by "
            "`optuna storage upgrade`."
        ) from None
    finally:
        quiet.setLevel(level)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _read_only(source: str) -> str:
    """URL of the storage; a SQLite file is opened read-only, since Optuna would create what is missing.

    Raises:
        DataError: no URL of a kind that is read, or the file is no SQLite database.
    """
    text = source if "://" in source else f"sqlite:///{source}"
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        backend = ""
    if backend not in ("sqlite", "postgresql", "mysql"):
        raise DataError(f"Expected the URL of an Optuna storage, {URL_FORMS}; got {display_url(source)!r}.")
    if backend != "sqlite":
        url = url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url
        return url.render_as_string(hide_password=False)
    path = Path(url.database or "")
    try:
        with path.open("rb") as file:
            is_database = path.is_file() and file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except (OSError, ValueError):
        is_database = False
    if not is_database:
        raise DataError(f"Expected an Optuna storage in the file {str(path)!r}; it is no SQLite database.")
    # Braces would be read as a template by Optuna; `quote` writes them as %7B and %7D.
    return f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"


def find_study(storage: RDBStorage, name: str | None, source: str) -> str:
    """Name of the study that is meant, or of the only one.

    Raises:
        DataError: there is no such study, or no name was given and there is not exactly one.
    """
    names = [study.study_name for study in storage.get_all_studies()]
    found = [known for known in names if name in (None, known)]
    if len(found) == 1:
        return found[0]
    wanted = "one study" if name is None else f"a study named {name!r}"
    listed = ", ".join(map(shown, names[:10])) or "none"
    raise DataError(f"Expected {wanted} in {display_url(source)!r}; it holds {listed}. Name the one to read.")


def trials_of(storage: RDBStorage, study_id: int) -> list[tuple[str, FrozenTrial | RowError]]:
    """Where each trial of a study stands, and the trial, or what is wrong with it.

    All are read at once; one damaged trial makes that fail for all, and they are read one by one.
    """
    try:
        return [(f"trial {trial.number}", trial) for trial in storage.get_all_trials(study_id, deepcopy=False)]
    except Exception:  # noqa: BLE001 - see `opened`
        columns = sa.table("trials", sa.column("trial_id"), sa.column("number"), sa.column("study_id"))
        query = sa.select(columns.c.trial_id, columns.c.number).where(columns.c.study_id == study_id)
        with storage.engine.connect() as connection:
            ids = connection.execute(query.order_by(columns.c.trial_id)).all()
        return [(f"trial {number}", _read_one(storage, trial_id)) for trial_id, number in ids]


def _read_one(storage: RDBStorage, trial_id: int) -> FrozenTrial | RowError:
    try:
        return storage.get_trial(trial_id)
    except Exception as error:  # noqa: BLE001 - see `opened`
        return RowError(f"must be a trial of Optuna, but is damaged ({type(error).__name__})")
