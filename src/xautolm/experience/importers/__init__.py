"""Importers: experience that was made elsewhere, read row by row. Nothing is executed, no user text is kept.

A source that cannot be used at all is one error. A row that cannot be used is left out and reported with its reason;
the others go in.
"""

from __future__ import annotations

import importlib

from xautolm.errors import UsageError
from xautolm.experience.importers.imported import Imported, Rejected

__all__ = ["FORMS", "Imported", "Rejected", "read"]

#: Form of a source -> the module whose `read` reads it.
_READERS = {"paper": "paper", "optuna": "optuna_study", "hf": "hugging_face"}
FORMS = tuple(_READERS)


def read(source: str, form: str, *, name: str | None = None) -> Imported:
    """Read experiences from a source.

    Args:
        source: a folder (`paper`: the published layout, or its flat form with `features.json`; `hf`: runs of the
            Hugging Face `Trainer`), or the URL of an Optuna storage.
        form: one of `FORMS`.
        name: which study of the storage (`optuna`), or the name of the data set (`hf`; the folder's name by default).

    Returns:
        The experiences, valid for a store, and what was left out and why.

    Raises:
        UsageError: the form is unknown, or does not take a name.
        DataError: the source is not there, cannot be read, or holds nothing of that form.
    """
    if form not in _READERS:
        raise UsageError(f"Expected a form among {', '.join(map(repr, FORMS))}; got {form!r}.")
    if form == "paper" and name is not None:
        raise UsageError(f"The form 'paper' names its data sets itself; got the name {name!r}. Leave it out.")
    # Optuna is heavy, and needed for its own form only.
    reader = importlib.import_module(f"{__name__}.{_READERS[form]}").read
    imported: Imported = reader(source) if form == "paper" else reader(source, name)
    return imported
