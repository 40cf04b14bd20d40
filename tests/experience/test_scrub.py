"""Scrubbed error messages: technical words stay, the user's do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xautolm.experience.scrub import GAP, KNOWN_WORDS, MAX_CHARS, scrub

MARKER = "Zanzibar42marker"


@pytest.mark.parametrize(
    "message",
    [
        f"ValueError: could not convert string to float: '{MARKER} text'",
        f'KeyError: "{MARKER}"',
        f"bad row `{MARKER}`",
        f"unquoted {MARKER} in the text",
        f"unclosed '{MARKER} text",
        f"it's '{MARKER}' and can't",
        f"nested \"a '{MARKER}' b\" c",
        f"label={MARKER}",
        f"({MARKER})",
        f"/home/{MARKER}/data.csv",
        f"C:\\Users\\{MARKER}\\data.csv is missing",
        f"https://example.org/{MARKER}?q=1",
        f"batch_{MARKER}_size",
        f"“{MARKER}” and «{MARKER}»",
        f"first line\n{MARKER}",
        f"{MARKER}: failed",
        f"user@{MARKER}.org",
        MARKER * 50,
        "\N{GRINNING FACE} " + MARKER,
    ],
)
def test_no_trace_of_a_marker_text(message):
    assert "anzibar" not in scrub(message)


@pytest.mark.parametrize(
    "message",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x128 and 384x6)",
        "ValueError: Expected input batch_size (32) to match target batch_size (16).",
        "IndexError: index out of range",
        "killed by signal 9",
        "exceeded the memory limit of 2048 MiB",
        "torch.cuda.OutOfMemoryError: out of memory",
        "MemoryError",
        "the loss is not finite at step 40",
    ],
)
def test_technical_messages_stay_readable(message):
    scrubbed = scrub(message)
    assert scrubbed.count(GAP) <= 2
    assert scrubbed.split()[0] == message.split()[0]


def test_path_is_cut_to_its_file_name():
    assert scrub("cannot load /srv/models/secret/model.safetensors: missing") == (
        "cannot load model.safetensors: missing"
    )


def test_long_numbers_do_not_survive():
    assert scrub("number 4111111111111111 and 123-45-6789") == "number … and …"


def test_blank_message_is_empty():
    assert scrub(" \n\t\n") == ""


@given(st.text(max_size=400) | st.lists(st.sampled_from(sorted(KNOWN_WORDS)), max_size=100).map(" ".join))
def test_result_is_short_one_line_and_stable(message):
    scrubbed = scrub(message)
    assert len(scrubbed) <= MAX_CHARS
    assert "\n" not in scrubbed
    assert scrub(scrubbed) == scrubbed


@given(st.lists(st.from_regex(r"[a-z]{3,12}", fullmatch=True), max_size=12))
def test_words_of_the_user_never_survive(words):
    kept = set(re.findall(r"[a-z]+", scrub(" ".join(words))))
    assert kept <= KNOWN_WORDS
