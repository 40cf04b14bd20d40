"""What an importer hands back, and the checks that every foreign value passes before it gets into an experience."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from xautolm.errors import StoreError
from xautolm.experience.codec import MAX_TRIAL_ID, Encoder
from xautolm.experience.refusal import RowError, shown
from xautolm.records import Experience, ParamValue

#: Longest name of a model, data set or hyperparameter that is taken over.
MAX_NAME_CHARS = 200
MAX_PARAMS = 500
#: Largest integer that every database and every reader of JSON holds.
_MAX_INTEGER = 2**53
_PLAIN = re.compile(r"[\w./+@:,%*=-]{0,80}", re.ASCII)
_PARAM_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
#: `organisation/name`, optionally cut (`@3`).
_HUB_ID = re.compile(r"[\w.-]{1,100}(?:/[\w.-]{1,100})?(?:@\d{1,3})?", re.ASCII)
#: Trials are numbered by the second in which they ended, from here on: the numbers stay the same when more files
#: of the same source are imported later, and fit 31 bits until 2088.
_FIRST_YEAR, _LAST_YEAR = 2020, 2087


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out.

    Attributes:
        where: file (and line), or trial, inside the source.
        reason: what was expected and what came.
    """

    where: str
    reason: str

    def __post_init__(self) -> None:
        # Names of files may hold anything, also what a terminal would obey.
        if not self.where.isprintable():
            object.__setattr__(self, "where", ascii(self.where)[1:-1])


@dataclass(slots=True)
class Imported:
    """What was read from a source.

    Attributes:
        experiences: valid for a store, in the order in which they were made.
        rejected: what was left out, in the order of the source.
    """

    experiences: list[Experience] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def number(value: object, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number between two bounds.

    Raises:
        RowError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(f"`{name}` must be a number, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or not low <= result <= high:
        bounds = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
        raise RowError(f"`{name}` must be a finite number{bounds}, got {shown(value)}")
    return result


def vector(value: object, name: str, length: int | None = None) -> tuple[float, ...]:
    """A list of finite numbers, of a given length or of any up to 10,000.

    Raises:
        RowError: it is something else.
    """
    if not isinstance(value, list) or not 0 < len(value) <= 10_000 or len(value) != (length or len(value)):
        found = f"{len(value)} values" if isinstance(value, list) else shown(value)
        raise RowError(f"`{name}` must be a list of {length or 'some'} numbers, got {found}")
    return tuple(number(item, name) for item in value)


def name_of(value: object, what: str) -> str:
    """A name of a data set, model or run: printable text on one line.

    Raises:
        RowError: it is empty, too long, or holds characters that cannot be printed.
    """
    if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= MAX_NAME_CHARS:
        raise RowError(f"`{what}` must be a name of 1 to {MAX_NAME_CHARS} characters, got {shown(value)}")
    if not value.isprintable():
        raise RowError(f"`{what}` must be printable text on one line, got {shown(value)}")
    return value


def params_of(values: Mapping[str, object]) -> dict[str, ParamValue]:
    """Hyperparameters that can be kept, under their names; None means that a parameter was not set.

    Numbers, booleans and plain words stay as they are. Other text might be a user's (a prompt), so only a digest of
    it is kept, which still tells equal from different. Lists of such values become one word.

    Raises:
        RowError: a name or a value cannot be kept.

    >>> params_of({"epochs": 3, "optimizer": "adamw", "prompt": "Dear Anna, is this good?", "seed": None})
    {'epochs': 3, 'optimizer': 'adamw', 'prompt': 'text:7bb3c710a18b'}
    """
    if len(values) > MAX_PARAMS:
        raise RowError(f"a pipeline must have at most {MAX_PARAMS} hyperparameters, got {len(values)}")
    kept: dict[str, ParamValue] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not _PARAM_NAME.fullmatch(name) or name in ("model", "method"):
            raise RowError(
                f"a hyperparameter must have a plain name other than `model` and `method`, got {shown(name)}"
            )
        if value is not None:
            kept[name] = _param_value(name, value)
    return kept


def _param_value(name: str, value: object) -> ParamValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        result = number(value, name)
        if isinstance(value, int) and abs(value) > _MAX_INTEGER:
            raise RowError(f"`{name}` must be an integer of at most 2^53, got {shown(value)}")
        return value if isinstance(value, int) else result
    if isinstance(value, str):
        return plain_word(value)
    if isinstance(value, list | tuple) and all(isinstance(item, bool | int | float | str) for item in value):
        return plain_word(",".join(str(_param_value(name, item)) for item in value))
    raise RowError(f"`{name}` must be a number, a word or a boolean, got {shown(value)}")


def plain_word(text: str) -> str:
    """The text when it is one plain word (`adamw`, `3/4`), else a digest of it."""
    if _PLAIN.fullmatch(text):
        return text
    return "text:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def is_plain_name(text: str) -> bool:
    """Whether a text can be the name of a hyperparameter or a metric."""
    return _PARAM_NAME.fullmatch(text) is not None


def model_name(text: str) -> str:
    r"""A model's name without where it lies: a hub id as it is, of a path the last folder, of anything else a digest.

    >>> model_name("google-t5/t5-small"), model_name("/home/anna/models/my-bert/"), model_name(r"C:\m\gpt2")
    ('google-t5/t5-small', 'my-bert', 'gpt2')
    """
    if _HUB_ID.fullmatch(text) and not text.startswith("."):
        return text
    parts = [part for part in re.split(r"[/\\]", text) if part]
    return plain_word(parts[-1]) if parts else plain_word(text)


def fingerprint(source: str, dataset_id: str) -> str:
    """Stand-in for the fingerprint of data that is not at hand: the same for equal names of one kind of source."""
    return hashlib.sha256(f"{source}:{dataset_id}".encode("utf-8", "surrogatepass")).hexdigest()


def collect(rows: Iterable[tuple[str, Callable[[], Experience]]], rejected: Sequence[Rejected] = ()) -> Imported:
    """Build each row; what fails goes to the report.

    Args:
        rows: where a row stands, and what builds its experience.
        rejected: what was left out before.
    """
    imported, numbers, encoder = Imported(rejected=list(rejected)), _TrialNumbers(), Encoder()
    for where, build in rows:
        try:
            experience = numbers.numbered(build())
            encoder.encode(experience)  # what a store would refuse is no experience
        except (RowError, StoreError) as error:
            imported.rejected.append(Rejected(where, str(error)))
            continue
        imported.experiences.append(experience)
    return imported


class _TrialNumbers:
    """Gives each experience of a run a number of its own: the one it came with, or the next that is free."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}

    def numbered(self, experience: Experience) -> Experience:
        run_id, wanted = experience.run_id, experience.result.trial_id
        number = wanted
        while (run_id, number) in self._next:
            number = self._next[run_id, number]
        following = (number + 1) % MAX_TRIAL_ID
        self._next[run_id, number] = self._next[run_id, wanted] = following
        return replace(experience, result=replace(experience.result, trial_id=number))


def seconds_number(moment: datetime) -> int:
    """Trial number of an evaluation that ended at a moment: seconds since 2020.

    Raises:
        RowError: the year is not one from 2020 to 2087.

    >>> seconds_number(datetime(2020, 1, 1, 0, 1))
    60
    """
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise RowError(f"the year must be from {_FIRST_YEAR} to {_LAST_YEAR}, got {moment.year}")
    return (moment.replace(tzinfo=None) - datetime(_FIRST_YEAR, 1, 1)) // timedelta(seconds=1)
