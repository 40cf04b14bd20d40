"""Name -> object tables for the parts that plug-ins may add, resolved when first asked for.

A table maps a name to `"module:object"`. Plug-ins add to it through the entry-point group `xautolm.<table>`, or at
run time with `register`. A name can be registered once.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from xautolm.errors import UsageError

_BUILT_IN: dict[str, dict[str, str]] = {
    "methods": {
        "head": "xautolm.methods.head:METHOD",
        "partial": "xautolm.methods.partial:METHOD",
        "lora": "xautolm.methods.lora:METHOD",
        "full": "xautolm.methods.full:METHOD",
    },
}
_added: dict[str, dict[str, str]] = {}


def names(table: str) -> tuple[str, ...]:
    """Every registered name of a table, built-in ones first."""
    plugins = tuple(point.name for point in entry_points(group=f"xautolm.{table}"))
    return (*_BUILT_IN.get(table, {}), *_added.get(table, {}), *plugins)


def register(table: str, name: str, target: str) -> None:
    """Add `"module:object"` under a name.

    Raises:
        UsageError: the name is taken.
    """
    if name in names(table):
        raise UsageError(f"`{name}` is already registered in `{table}`; choose another name")
    _added.setdefault(table, {})[name] = target


def target(table: str, name: str) -> str:
    """The `"module:object"` registered under a name; a worker process resolves it with `load_target`.

    Raises:
        UsageError: no such name.
    """
    found = {**_BUILT_IN.get(table, {}), **_added.get(table, {})}.get(name)
    if found is not None:
        return found
    for point in entry_points(group=f"xautolm.{table}", name=name):
        return point.value
    raise UsageError(f"expected one of {', '.join(names(table))} for `{table}`, got {name!r}")


def load_target(value: str) -> Any:
    """Import `"module:object"` and return the object."""
    module, _, attribute = value.partition(":")
    return getattr(import_module(module), attribute)


def resolve(table: str, name: str) -> Any:
    """Import and return the object registered under a name.

    Raises:
        UsageError: no such name.
    """
    return load_target(target(table, name))
