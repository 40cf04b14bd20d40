"""Code in a process in which `import xautolm` fails, as on a machine that has plain transformers only."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_ABSENT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xautolm":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def answer_of(code: str, *arguments: str) -> Any:
    """What some code writes as JSON.

    Args:
        code: Python that writes one JSON document to its standard output.
        arguments: `sys.argv[1:]` of the code.
    """
    command = [sys.executable, "-c", _ABSENT + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
