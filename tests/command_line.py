"""The `xautolm` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def xautolm(*args: object, cwd: Path, store: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    Args:
        args: command line.
        cwd: working folder.
        store: URL of the experience store.
        check: fail unless it exits with code 0.
    """
    process = start(*args, cwd=cwd, store=store)
    out, err = process.communicate()
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(*args: object, cwd: Path, store: str) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "xautolm.cli", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "XAUTOLM_STORE": store},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
