"""Keeps what a job prints within bounds: the beginning and the end of its log, and how much was dropped between."""

from __future__ import annotations

import os
from pathlib import Path

#: A log is cut when it is larger than this; it can grow beyond for as long as the coordinator does not look.
LARGEST_BYTES = 4 * 2**20
HEAD_BYTES = 2**20
TAIL_BYTES = 2**20


class JobLog:
    """The log of one job, which its processes append to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marker_bytes = 0
        self.dropped_bytes = 0

    def cut(self) -> None:
        """Drop the middle of a log that has become too large.

        The processes go on writing behind what is left; what they write in the moment of the cut may be dropped and not
        counted. A log that cannot be read or written is left alone.
        """
        try:
            if self._path.stat().st_size > LARGEST_BYTES:
                self._drop()
        except OSError:
            return

    def _drop(self) -> None:
        with self._path.open("rb") as log:
            log.seek(-TAIL_BYTES, os.SEEK_END)
            tail = log.read(TAIL_BYTES)
        size = self._path.stat().st_size
        os.truncate(self._path, HEAD_BYTES)
        self.dropped_bytes += size - HEAD_BYTES - len(tail) - self._marker_bytes
        marker = f"\n[... about {self.dropped_bytes} bytes of output were dropped here ...]\n".encode()
        self._marker_bytes = len(marker)
        with self._path.open("ab") as log:
            log.write(marker + tail)
