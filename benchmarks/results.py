"""The results page from the committed results: `python -m benchmarks.results` writes `docs/results.md` and its plots.

Reads `replay.json` (`benchmarks.replay --record`) and `live.json` (`benchmarks.live`) in `benchmarks/results/`.
`--check` only says whether the page is up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import live_part, replay_part

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE, PLOTS = "results.md", "results"
_HEAD = """# Results

<!-- Written by `python -m benchmarks.results` from `benchmarks/results/`; edit `benchmarks/page/` instead. -->

What a warm start gains, on which tasks it does not, and against which opponents. All of it is computed from
committed results; the commands repeat them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is out of date")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the page (default: docs)")
    options = parser.parse_args(argv)
    files = page_files(RESULTS)
    old = [name for name, content in files.items() if _read(options.out / name) != content]
    if options.check:
        print("up to date" if not old else f"out of date: {', '.join(old)}; run `python -m benchmarks.results`")
        return 1 if old else 0
    for name in old:
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], encoding="utf-8")
    print(f"{len(old)} of {len(files)} files written to {options.out}")
    return 0


def page_files(folder: Path) -> dict[str, str]:
    """Path below the docs -> content, of the page and its plots.

    Args:
        folder: of the committed results; what is not there is left out.
    """
    words, plots = [_HEAD], dict[str, str]()
    parts: list[tuple[str, Any]] = [("replay", replay_part), ("live", live_part)]
    for name, part in parts:
        path = folder / f"{name}.json"
        if path.exists():
            result = read_result(path)
            words.append(part.text(result))
            plots |= part.plots(result)
    return {PAGE: "\n".join(words), **{f"{PLOTS}/{name}": svg for name, svg in plots.items()}}


def read_result(path: Path) -> dict[str, Any]:
    """A committed result."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
