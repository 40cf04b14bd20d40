"""Experiences on their way to a store that may be locked, full or away for a while.

They are given to the store in a thread of its own, so that a run waits only a moment for a store that hangs. What the
store did not take is offered again, after pauses that grow, and once more when the run ends. Everything is in the
run's journal all the time, so that nothing is lost when the store never comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from xautolm.errors import StoreError
from xautolm.experience.codec import UnstorableError
from xautolm.records import Experience

#: How long a caller waits for the store at most, in seconds.
PATIENCE_S = 2.0
#: Pause after the first failure, and the longest one, in seconds; each failure doubles it.
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0


class Sink(Protocol):
    """What an outbox needs of a store."""

    def add(self, new: Sequence[Experience]) -> int:
        """Add what is not there yet, all or nothing."""
        ...


class Outbox:
    """Gives experiences to a store, now or later.

    Args:
        store: takes them; must be usable from another thread.
        patience_s: how long `put` waits for the store at most.
        first_pause_s: before the second attempt.
    """

    def __init__(self, store: Sink, *, patience_s: float = PATIENCE_S, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._store = store
        self._patience_s, self._first_pause_s = patience_s, first_pause_s
        self._changed = threading.Condition()
        self._waiting: list[Experience] = []
        self._news: list[str] = []
        self._thread: threading.Thread | None = None
        self._pause_s = 0.0  # 0 = the last attempt went well
        self._is_sending = self._is_urgent = self._is_overdue = self._is_closed = False

    @property
    def n_waiting(self) -> int:
        """Experiences that the store has not taken yet."""
        with self._changed:
            return len(self._waiting)

    def put(self, experiences: Sequence[Experience]) -> None:
        """Hand experiences over; they are in the store when this returns, unless it fails or is slow."""
        with self._changed:
            self._waiting += experiences
            if self._pause_s == 0:
                self._send(0.0 if self._is_overdue else self._patience_s)

    def flush(self, timeout_s: float) -> int:
        """Offer everything now; returns how many experiences the store has not taken in that time."""
        with self._changed:
            self._is_urgent = True
            self._send(timeout_s)
            return len(self._waiting)

    def news(self) -> list[str]:
        """Sentences for the user since the last call: that the store is away, or back."""
        with self._changed:
            news, self._news = self._news, []
            return news

    def close(self) -> None:
        """Offer nothing any more; an attempt that hangs is left alone."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(self._patience_s)

    def _send(self, timeout_s: float) -> None:
        """Wake the thread, and wait until its attempt is over (called with the lock held)."""
        if not self._waiting or self._is_closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="xautolm-outbox", daemon=True)
            self._is_sending = True
            self._thread.start()
        self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        while self._waiting and (self._is_sending or self._is_urgent) and time.monotonic() < deadline:
            self._changed.wait(deadline - time.monotonic())
        self._is_overdue = self._is_sending  # the next caller need not wait for the same attempt

    def _run(self) -> None:
        """The thread: lives as long as something waits."""
        try:
            while (batch := self._next_batch()) is not None:
                problem = self._offer(batch)
                with self._changed:
                    self._is_sending = self._is_overdue = False
                    self._take_note(problem, len(batch))
                    self._changed.notify_all()
                    if problem is not None:
                        self._changed.wait_for(lambda: self._is_urgent or self._is_closed, self._pause_s)
        except BaseException:
            with self._changed:  # a defect: the next `put` starts anew
                self._thread, self._is_sending = None, False
                self._changed.notify_all()
            raise

    def _next_batch(self) -> list[Experience] | None:
        with self._changed:
            if not self._waiting or self._is_closed:
                self._thread, self._is_sending = None, False
                self._changed.notify_all()
                return None
            self._is_sending, self._is_urgent = True, False
            return list(self._waiting)

    def _offer(self, batch: Sequence[Experience]) -> StoreError | None:
        """Give a batch to the store; one that no store can keep is told about and left out."""
        try:
            self._store.add(batch)
        except UnstorableError:
            for experience in batch:
                try:
                    self._store.add([experience])
                except UnstorableError as error:
                    self._tell(f"warning: a trial cannot be remembered: {error}")
                except StoreError as error:
                    return error
        except StoreError as error:
            return error
        return None

    def _take_note(self, problem: StoreError | None, n_offered: int) -> None:
        if problem is None:
            del self._waiting[:n_offered]
            if self._pause_s > 0:
                self._news.append(f"the experience store is back; it has taken {n_offered} trials")
            self._pause_s = 0.0
            return
        if self._pause_s == 0:
            self._news.append(
                "warning: the experience store is not available; the run goes on and gives it the trials when it is "
                f"back: {problem}"
            )
        self._pause_s = min(max(2 * self._pause_s, self._first_pause_s), LONGEST_PAUSE_S)

    def _tell(self, sentence: str) -> None:
        with self._changed:
            self._news.append(sentence)
