"""What every strategy's process begins with: its orders, and an end when nobody waits for it any more."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

#: Seconds that a process may live after its time is over, should nobody end it.
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What a strategy is told.

    Attributes:
        rows: folder that `subjects.write_subject` wrote.
        folder: new folder of the strategy; its trials go to `run/trials.jsonl` as they end.
        started: `time.monotonic()` when its time began, before its process was started.
        seconds: how long it may take.
        seed: of the search.
        has_pairs: whether rows have two texts.
        is_warm: whether the starter store counts.
        exclude: data sets of the starter store that do not count.
        has_our_settings: whether the Trainer gets our threads and precision.
        worker: number of the process, and how many there are of it.
    """

    rows: str
    folder: str
    started: float
    seconds: float
    seed: int
    has_pairs: bool = False
    is_warm: bool = False
    exclude: tuple[str, ...] = ()
    has_our_settings: bool = True
    worker: int = 0
    n_workers: int = 1

    @property
    def remaining_s(self) -> float:
        """Seconds that are left now."""
        return self.seconds - (time.monotonic() - self.started)

    @property
    def run(self) -> Path:
        """The run folder."""
        return Path(self.folder) / "run"

    @property
    def journal(self) -> Path:
        """Where finished trials stand."""
        return self.run / "trials.jsonl"

    def write(self, path: Path) -> None:
        """Write the orders to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def receive() -> Orders:
    """The orders in the file that the command line names; from now on the process dies with its parent."""
    fields = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    orders = Orders(**{**fields, "exclude": tuple(fields["exclude"])})
    threading.Thread(target=_watch, args=(orders, os.getppid()), daemon=True).start()
    return orders


def _watch(orders: Orders, parent: int) -> None:
    while os.getppid() == parent and orders.remaining_s > -_GRACE_S:
        time.sleep(0.5)
    os._exit(1)
