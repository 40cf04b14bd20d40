"""Budgets, durations and sizes as users write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from xautolm.errors import UsageError
from xautolm.records import Budget, Constraint

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_BYTES = {
    "b": 1,
    **{f"{p}b": 1000**i for i, p in enumerate("kmgt", start=1)},
    **{f"{p}ib": 1024**i for i, p in enumerate("kmgt", start=1)},
}
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(rf"(?:{_NUMBER}\s*(?:d|h|min|m|s)\s*)+")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(d|h|min|m|s)")
_TRIALS = re.compile(r"(\d+)\s*trials?")
_ENERGY = re.compile(rf"({_NUMBER})\s*([km]?wh)")
_WATT_HOURS = {"wh": 1.0, "kwh": 1e3, "mwh": 1e6}
_CONSTRAINT = re.compile(rf"([a-z_0-9]+?)\s*(>=|<=)\s*({_NUMBER})")
_UNITS = re.compile(r"_(?:s|mib|ms)$")
_SIZE = re.compile(rf"({_NUMBER})\s*([kmgt]?i?b)")


def parse_budget(text: str) -> Budget:
    """Read a budget in time, in trials or in energy.

    Raises:
        UsageError: the text is none of these, or it is not positive.

    >>> parse_budget("1h30m")
    Budget(wall_s=5400.0, n_trials=None, energy_wh=None)
    >>> parse_budget("40 trials")
    Budget(wall_s=None, n_trials=40, energy_wh=None)
    >>> parse_budget("0.5kWh").energy_wh
    500.0
    """
    plain = text.strip().lower()
    if match := _ENERGY.fullmatch(plain):
        energy_wh = float(match[1]) * _WATT_HOURS[match[2]]
        if energy_wh <= 0:
            raise UsageError(f"`budget` must be more than 0 Wh, got {text!r}")
        return Budget(energy_wh=energy_wh)
    if match := _TRIALS.fullmatch(plain):
        if int(match[1]) < 1:
            raise UsageError(f"`budget` must be at least `1trials`, got {text!r}")
        return Budget(n_trials=int(match[1]))
    if not _DURATION.fullmatch(plain):
        raise UsageError(
            "`budget` must be a time, a number of trials or an energy such as `90s`, `1h30m`, `40trials` or `0.5kWh`, "
            f"got {text!r}"
        )
    return Budget(wall_s=parse_duration(text, "budget"))


def parse_constraint(text: str, *, known: Sequence[str]) -> Constraint:
    """Read a bound on a metric or a cost.

    Args:
        text: `NAME>=NUMBER` or `NAME<=NUMBER`; scores from 0 to 1, time in s, memory and size in MiB, latency in ms.
            The unit may be part of the name (`latency_ms`).
        known: names of the quantities.

    Raises:
        UsageError: another form, or an unknown quantity.

    >>> parse_constraint("f1 >= 0.9", known=("f1",))
    Constraint(name='f1', is_minimum=True, bound=0.9)
    >>> parse_constraint("latency_ms<=20", known=("latency",))
    Constraint(name='latency', is_minimum=False, bound=20.0)
    """
    match = _CONSTRAINT.fullmatch(text.strip().lower())
    name = _UNITS.sub("", match[1]) if match else ""
    if match is None or name not in known:
        raise UsageError(
            f"`constraint` must be of the form `NAME>=NUMBER` or `NAME<=NUMBER` with NAME one of {', '.join(known)}, "
            f"such as `f1>=0.9` or `latency<=20`, got {text!r}"
        )
    return Constraint(name, match[2] == ">=", float(match[3]))


def parse_duration(text: str, option: str = "trial-timeout") -> float:
    """Read a duration in seconds.

    Args:
        text: numbers with units d, h, m (or min) and s, largest first or in any order.
        option: name of the option, for the message.

    Raises:
        UsageError: the text is no duration, or it is zero.

    >>> parse_duration("10m"), parse_duration("1h30m"), parse_duration("0.5 s")
    (600.0, 5400.0, 0.5)
    """
    plain = text.strip().lower()
    if not _DURATION.fullmatch(plain):
        raise UsageError(f"`{option}` must be a time such as `90s`, `10m` or `1h30m`, got {text!r}")
    seconds = math.fsum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(plain))
    if seconds <= 0:
        raise UsageError(f"`{option}` must be longer than 0 s, got {text!r}")
    return seconds


def parse_size(text: str, option: str = "memory") -> int:
    """Read a size in bytes; `GiB` is 1024-based, `GB` is 1000-based.

    Raises:
        UsageError: the text is no size, or it is zero.

    >>> parse_size("8GiB"), parse_size("1.5 kB")
    (8589934592, 1500)
    """
    match = _SIZE.fullmatch(text.strip().lower())
    size = round(float(match[1]) * _BYTES[match[2]]) if match else 0
    if size <= 0:
        raise UsageError(f"`{option}` must be a size such as `800MiB`, `8GiB` or `16GB`, got {text!r}")
    return size
