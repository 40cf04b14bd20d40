"""Ctrl-C and SIGTERM: the first asks the run to stop in good order, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_EXIT_INTERRUPTED = 130


class StopRequest:
    """Context in which a stop is noted instead of raised; does nothing outside the main thread.

    Args:
        on_first: called when the first signal arrives.
    """

    def __init__(self, on_first: Callable[[], object] = lambda: None) -> None:
        self._on_first = on_first
        self._requested = False
        self._previous: dict[int, Any] = {}

    def is_requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._requested

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            os._exit(_EXIT_INTERRUPTED)  # workers die with this process; the journal is on disk already
        self._requested = True
        self._on_first()
