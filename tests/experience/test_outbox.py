"""Experiences on their way to a store that fails, hangs and comes back."""

from __future__ import annotations

import threading
import time

import pytest
from experience_builders import make_experience, make_result

from xautolm.errors import StoreError
from xautolm.experience.outbox import Outbox
from xautolm.experience.store import ExperienceStore

FIRST_PAUSE_S = 0.05


class Sink:
    """A store that can be away, or hang until it is released."""

    def __init__(self):
        self.kept, self.n_attempts, self.is_away = [], 0, False
        self.released = threading.Event()
        self.released.set()

    def add(self, new):
        self.n_attempts += 1
        self.released.wait(20)
        if self.is_away:
            raise StoreError("the server is gone")
        self.kept += [item for item in new if item not in self.kept]
        return len(new)


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def outbox(sink):
    box = Outbox(sink, patience_s=0.5, first_pause_s=FIRST_PAUSE_S)
    yield box
    sink.released.set()
    box.close()


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_store_that_works_has_everything_when_put_returns(outbox, sink):
    for number in range(5):
        outbox.put([number])
        assert sink.kept[-1] == number
    assert (outbox.n_waiting, outbox.news(), outbox.flush(1.0)) == (0, [], 0)


def test_nothing_to_put_asks_nothing_of_the_store(outbox, sink):
    outbox.put([])
    assert (sink.n_attempts, outbox.flush(1.0)) == (0, 0)


def test_what_a_store_missed_is_given_to_it_when_it_is_back_without_being_asked(outbox, sink):
    sink.is_away = True
    outbox.put([1])
    outbox.put([2])
    assert (sink.kept, outbox.n_waiting) == ([], 2)
    assert [line.partition(";")[0] for line in outbox.news()] == ["warning: the experience store is not available"]
    sink.is_away = False
    wait_until(lambda: outbox.n_waiting == 0)
    assert sink.kept == [1, 2]
    assert outbox.news() == ["the experience store is back; it has taken 2 trials"]


def test_a_store_that_stays_away_is_asked_only_after_pauses_and_mentioned_once(outbox, sink):
    sink.is_away = True
    for number in range(20):
        outbox.put([number])
    wait_until(lambda: sink.n_attempts >= 3)
    assert outbox._pause_s >= 2 * FIRST_PAUSE_S
    assert len(outbox.news()) == 1
    assert (outbox.news(), outbox.n_waiting) == ([], 20)


def test_putting_asks_nothing_of_a_store_in_a_pause(sink):
    box = Outbox(sink, first_pause_s=1000.0)
    sink.is_away = True
    for number in range(20):
        box.put([number])
    assert (sink.n_attempts, box.n_waiting) == (1, 20)
    box.close()


def test_flushing_asks_at_once_whatever_the_pause(sink):
    box = Outbox(sink, first_pause_s=1000.0)
    sink.is_away = True
    box.put([1])
    assert box.flush(1.0) == 1
    assert sink.n_attempts == 2
    sink.is_away = False
    assert box.flush(1.0) == 0
    assert sink.kept == [1]
    box.close()


def test_a_store_that_hangs_holds_nobody_up_for_long(outbox, sink):
    sink.released.clear()
    started = time.monotonic()
    for number in range(50):
        outbox.put([number])
    outbox.flush(0.1)
    assert time.monotonic() - started < 5  # 50 times the patience would be 25
    assert outbox.n_waiting == 50
    sink.released.set()
    wait_until(lambda: outbox.n_waiting == 0)
    assert sink.kept == list(range(50))


def test_an_experience_that_no_store_can_keep_holds_up_no_other(tmp_path):
    good = [make_experience("a", 0), make_experience("a", 2)]
    bad = make_experience("a", 1, result=make_result(1, scores={"f1": float("nan")}))
    with ExperienceStore(f"sqlite:///{tmp_path / 'e.db'}") as store:
        box = Outbox(store)
        box.put([good[0], bad, good[1]])
        assert (box.n_waiting, store.load()) == (0, good)
        (line,) = box.news()
        assert "a trial cannot be remembered" in line
        box.close()


def test_a_defect_in_the_store_holds_nobody_up(outbox, sink, monkeypatch):
    defects = []
    monkeypatch.setattr(threading, "excepthook", lambda seen: defects.append(seen.exc_type))
    with monkeypatch.context() as patch:
        patch.setattr(sink, "add", lambda new: 1 / 0)
        started = time.monotonic()
        outbox.put([1])
        assert time.monotonic() - started < 5
    outbox.put([2])
    assert sink.kept == [1, 2]
    assert defects == [ZeroDivisionError]


def test_a_closed_outbox_ends_its_thread(sink):
    box = Outbox(sink, first_pause_s=1000.0)
    sink.is_away = True
    box.put([1])
    thread = box._thread
    assert thread.is_alive()
    box.close()
    assert not thread.is_alive()
    box.put([2])
    assert sink.n_attempts == 1


@pytest.mark.timeout(120)
def test_a_server_that_goes_away_and_comes_back_gets_every_trial_once(postgres):
    if not postgres.is_own:
        pytest.skip("the server of XAUTOLM_TEST_PG is not stopped by a test")
    trials = [make_experience("run", number) for number in range(9)]
    with postgres.database() as url, ExperienceStore(url) as store:
        box = Outbox(store, first_pause_s=FIRST_PAUSE_S)
        box.put(trials[:3])
        postgres.stop()
        try:
            for trial in trials[3:6]:
                started = time.monotonic()
                box.put([trial])
                assert time.monotonic() - started < 5
            assert box.n_waiting == 3
            assert "is not available" in box.news()[0]
        finally:
            postgres.start()
        wait_until(lambda: box.n_waiting == 0)
        assert box.news() == ["the experience store is back; it has taken 3 trials"]
        for trial in trials[6:]:
            box.put([trial])
        assert (box.flush(5.0), store.load()) == (0, trials)
        box.close()
