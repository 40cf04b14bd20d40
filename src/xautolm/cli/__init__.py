"""The `xautolm` command: one module per group of commands, registered by being imported here."""

from __future__ import annotations

from xautolm.cli import explain, models, results, search, store
from xautolm.cli.app import EXIT_INTERRUPTED, app, main

__all__ = ["EXIT_INTERRUPTED", "app", "explain", "main", "models", "results", "search", "store"]
