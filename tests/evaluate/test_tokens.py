"""The token cache: built once, complete or absent, its seconds remembered; rows come back as they went in."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from tokenizers import Tokenizer

from xautolm.evaluate.tokens import cache_entry, load_rows, tokenise


def test_a_hit_does_not_build_and_reports_the_seconds_of_the_build(tmp_path):
    def build(folder):
        time.sleep(0.05)
        (folder / "x").write_text("built")

    entry = cache_entry(tmp_path, "key", build)
    assert entry.is_new
    assert 0.05 <= entry.seconds < 2
    again = cache_entry(tmp_path, "key", lambda _: pytest.fail("built twice"))
    assert (again.folder, again.seconds, again.is_new) == (entry.folder, entry.seconds, False)
    assert again.waited_s < entry.seconds
    assert (entry.folder / "x").read_text() == "built"
    assert cache_entry(tmp_path, "other key", build).folder != entry.folder


def test_a_build_that_fails_leaves_no_entry(tmp_path):
    def fail(folder):
        (folder / "x").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache_entry(tmp_path, "key", fail)
    entry = cache_entry(tmp_path, "key", lambda folder: None)
    assert entry.is_new
    assert not (entry.folder / "x").exists()


def _append_slowly(cache, log):
    def build(folder):
        with open(log, "a") as file:
            file.write("built\n")
        time.sleep(1.0)
        (folder / "x").write_text("whole")

    entry = cache_entry(cache, "key", build)
    assert (entry.folder / "x").read_text() == "whole"
    # Whoever did not build was held up for most of the other's second, and knows it: that is no cost of its own.
    with open(log, "a") as file:
        file.write("" if entry.is_new or entry.waited_s > 0.05 else "waited without noticing\n")


def test_two_processes_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_append_slowly, args=(tmp_path / "c", tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def _build_forever(cache, started):
    def build(folder):
        (folder / "x").write_text("half")
        started.set()
        time.sleep(60)

    cache_entry(cache, "key", build)


def test_a_builder_that_is_killed_leaves_no_entry_and_no_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=_build_forever, args=(tmp_path, started))
    process.start()
    assert started.wait(5)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    entry = cache_entry(tmp_path, "key", lambda folder: None)
    assert entry.is_new
    assert not (entry.folder / "x").exists()


class FastTokenizer:
    """The calling convention of transformers on a bare `tokenizers` file."""

    def __init__(self, folder):
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def __call__(self, texts, pairs, *, truncation, max_length, return_token_type_ids):
        assert truncation
        assert return_token_type_ids
        self._tokenizer.enable_truncation(max_length)
        rows = self._tokenizer.encode_batch(list(zip(texts, pairs, strict=True)) if pairs else texts)
        return {"input_ids": [row.ids for row in rows], "token_type_ids": [row.type_ids for row in rows]}


def test_rows_come_back_in_order_and_cut_to_length(tiny_bert, tmp_path):
    tokenizer = FastTokenizer(tiny_bert)
    texts = [f"good film {'bad ' * (i % 40)}" for i in range(2100)]  # more than one chunk
    tokenise(tokenizer, texts, None, 16, tmp_path)
    rows = load_rows(tmp_path)
    assert len(rows) == 2100
    assert rows.lengths().max() == 16
    for i in (0, 1, 39, 1999, 2000, 2099):
        expected = tokenizer(texts[i : i + 1], None, truncation=True, max_length=16, return_token_type_ids=True)
        assert rows.row(i) == (expected["input_ids"][0], expected["token_type_ids"][0])
    assert rows.ids.dtype == np.int32


def test_pairs_have_segments_and_are_cut_together(tiny_bert, tmp_path):
    tokenise(FastTokenizer(tiny_bert), ["good " * 30, "", "the"], ["bad", "", "film " * 30], 12, tmp_path)
    rows = load_rows(tmp_path)
    assert rows.lengths().tolist() == [12, 3, 12]
    assert [sum(rows.row(i)[1]) for i in range(3)] == [2, 1, 9]  # tokens of the second text, its separator included


def test_no_rows(tiny_bert, tmp_path):
    tokenise(FastTokenizer(tiny_bert), [], None, 12, tmp_path)
    assert len(load_rows(tmp_path)) == 0
