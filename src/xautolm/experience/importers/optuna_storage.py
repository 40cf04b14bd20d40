"""Optuna storages: opened without changing them, or to write a study; read trial by trial where one is damaged.

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

from xautolm.errors import DataError, XAutoLMError
from xautolm.experience.location import display_url
from xautolm.experience.refusal import RowError, shown

URL_FORMS = "`sqlite:///PATH`, `postgresql+psycopg://...` or `mysql+pymysql://...`"
_SQLITE_MAGIC = b"SQLite format 3\0"
#: Tables that Optuna would mistake for its own: its migrations are noted where an experience store notes its own.
_FOREIGN_TABLES = frozenset({"alembic_version", "experiences", "studies", "trials"})


@contextmanager
def opened(source: str) -> Iterator[RDBStorage]:
    """Open a storage for reading; whatever goes wrong with it inside the block is a `DataError`.

    Args:
        source: URL of the storage, or the path of a SQLite file.

    Raises:
        DataError: the storage is not there, or not one of this Optuna.
    """
    path = _sqlite_path(_parsed(source))
    if path is not None and not _is_database(path):
        raise DataError(f"Expected an Optuna storage in the file {str(path)!r}; it is no SQLite database.")
    # A SQLite file is opened read-only, since Optuna would create what is missing.
    with _connected(source, "mode=ro&", skip_table_creation=True) as storage:
        yield storage


@contextmanager
def opened_for_writing(source: str) -> Iterator[RDBStorage]:
    """Open a storage to add a study to it; what is not there is created.

    When the block fails, a file that was created for it is removed again; what else it wrote is the caller's to undo.

    Args:
        source: URL of the storage, or the path of a SQLite file.

    Raises:
        DataError: the storage cannot be written, is of another version of Optuna, or is something else's database,
            whose tables Optuna's would get into the way of.
    """
    path = _sqlite_path(_parsed(source))
    if path is not None and (str(path) in (".", ":memory:") or str(path).startswith("file:")):
        raise DataError(f"Expected the path of a file for the Optuna storage; got {source!r}.")
    is_new = path is not None and not path.exists()
    if path is not None and not is_new and not _is_database(path):
        raise DataError(f"Expected an Optuna storage or no file at {str(path)!r}; it is something else. Name another.")
    try:
        _refuse_foreign(source)
        with _connected(source, "", skip_table_creation=False) as storage:
            yield storage
    except BaseException:
        if path is not None and is_new:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _connected(source: str, options: str, *, skip_table_creation: bool) -> Iterator[RDBStorage]:
    quiet = logging.getLogger("optuna")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    storage: RDBStorage | None = None
    try:
        with warnings.catch_warnings(action="ignore"):  # on odd choices of a study: it was made, and is only read
            storage = RDBStorage(_url(source, options), skip_table_creation=skip_table_creation)
            yield storage
    except XAutoLMError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign database makes Optuna raise anything at all
        raise _unusable(source, error) from None
    finally:
        quiet.setLevel(level)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _unusable(source: str, error: Exception) -> DataError:
    return DataError(
        f"Expected a storage of Optuna {optuna.__version__} at {display_url(source)!r}; it cannot be read or written "
        f"({type(error).__name__}). Check the URL; a storage of another version is converted by "
        "`optuna storage upgrade`."
    )


def _refuse_foreign(source: str) -> None:
    """Refuse a database without Optuna's tables, but with others of such names.

    Raises:
        DataError: it is one, or it cannot be looked into.
    """
    engine = sa.create_engine(_url(source, ""))
    try:
        tables = set(sa.inspect(engine).get_table_names())
    except sa.exc.SQLAlchemyError as error:
        raise _unusable(source, error) from None
    finally:
        engine.dispose()
    if "version_info" not in tables and tables & _FOREIGN_TABLES:
        raise DataError(
            f"Expected an Optuna storage or an empty database at {display_url(source)!r}; it holds something else's "
            "tables (an experience store?). Name another."
        )


def _parsed(source: str) -> sa.URL:
    """The URL of a storage.

    Raises:
        DataError: it is none of a kind that is read.
    """
    text = source if "://" in source else f"sqlite:///{source}"
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        backend = ""
    if backend not in ("sqlite", "postgresql", "mysql"):
        raise DataError(f"Expected the URL of an Optuna storage, {URL_FORMS}; got {display_url(source)!r}.")
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _sqlite_path(url: sa.URL) -> Path | None:
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _url(source: str, options: str) -> str:
    """The text that Optuna gets; `options` are SQLite's for the file."""
    url = _parsed(source)
    path = _sqlite_path(url)
    if path is None:
        return url.render_as_string(hide_password=False)
    # Braces would be read as a template by Optuna; `quote` writes them as %7B and %7D.
    return f"sqlite:///file:{quote(str(path.resolve()))}?{options}uri=true"


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except (OSError, ValueError):
        return False


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
