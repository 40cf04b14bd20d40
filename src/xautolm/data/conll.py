"""Reads tagged words in CoNLL form: one word per line, its tag last, a blank line between sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pandas as pd

from xautolm.data.wording import count
from xautolm.errors import DataError

#: Columns of the table that a file becomes.
WORDS, TAGS = "words", "tags"
#: CoNLL 2003 begins each document with a line of its own.
_DOCUMENT = "-DOCSTART-"
_COMMENT = re.compile(r"#\s?(newdoc|newpar|text|sent_id|[\w.-]+\s*=)")
_TAG = re.compile(r"O|[BIELSUMW]-\S+")
#: Lines with another number of cells than most are mistakes up to this share, above it the file has another form.
LARGEST_SHARE_RAGGED = 0.1
#: Lines from which a tsv file is recognised.
_LINES_SEEN = 2_000
_SHOWN = 60


def parse_conll(text: str, where: str) -> pd.DataFrame:
    """Parse text in CoNLL form.

    Cells are separated by tabs where there are any, else by white space; the first is the word, the last the tag.
    Lines that begin with `-DOCSTART-` and comments such as `# sent_id = 3` are skipped.

    Args:
        text: content of the file, not blank.
        where: the file as named to the user.

    Returns:
        Columns `words` and `tags`, a list per sentence; a line of one cell is a word without a tag, so that the lists
        of its sentence differ in length.

    Raises:
        DataError: the file has another form.
    """
    sentences = list(_sentences(text))
    widths = Counter(len(cells) for sentence in sentences for _, cells in sentence)
    if not widths:
        raise DataError(f"`{where}` has no words; expected one word and its tag per line")
    width, n_most = widths.most_common(1)[0]
    if width < 2 or widths.total() - n_most > LARGEST_SHARE_RAGGED * widths.total():
        number, cells = next(item for sentence in sentences for item in sentence if len(item[1]) != width or width < 2)
        raise DataError(
            f"`{where}` is not in CoNLL form: expected one word and its tag per line, separated by a tab or a space, "
            f"and a blank line between sentences; line {number} has {count(len(cells), 'cell')}: "
            f"{' '.join(cells)[:_SHOWN]!r}. "
            "Tables are read from csv, tsv, json, jsonl and parquet files"
        )
    if len(sentences) == 1:
        raise DataError(
            f"`{where}` has no blank line between its {widths.total():,} words; expected one after each sentence"
        )
    words = [[cells[0] for _, cells in sentence] for sentence in sentences]
    tags = [[cells[-1] for _, cells in sentence if len(cells) > 1] for sentence in sentences]
    return pd.DataFrame({WORDS: pd.Series(words, dtype=object), TAGS: pd.Series(tags, dtype=object)})


def looks_like_conll(text: str) -> bool:
    r"""Whether a tsv file is in CoNLL form: blank lines between lines of equal width that end in `O`, `B-...`, ...

    >>> looks_like_conll("EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n")
    True
    >>> looks_like_conll("text\tlabel\nEU\tB-ORG\n\nPeter\tB-PER\n"), looks_like_conll("a\tO\nb\tB-X\n")
    (False, False)
    """
    head = "\n".join(text.split("\n", _LINES_SEEN)[:_LINES_SEEN])
    sentences = list(_sentences(head))
    lines = [cells for sentence in sentences for _, cells in sentence]
    return len(sentences) > 1 and all(len(cells) > 1 and _TAG.fullmatch(cells[-1]) for cells in lines)


def _sentences(text: str) -> Iterator[list[tuple[int, list[str]]]]:
    """Line number and cells of each word, sentence by sentence."""
    has_tabs = "\t" in text
    sentence: list[tuple[int, list[str]]] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        content = line.strip()
        if not content or content.startswith(_DOCUMENT):
            if sentence:
                yield sentence
            sentence = []
        elif not (not sentence and _is_comment(content, has_tabs=has_tabs)):
            sentence.append((number, _cells(content, has_tabs=has_tabs)))
    if sentence:
        yield sentence


def _cells(line: str, *, has_tabs: bool) -> list[str]:
    return [cell.strip() for cell in line.split("\t")] if has_tabs else line.split()


def _is_comment(line: str, *, has_tabs: bool) -> bool:
    """Whether a line before a sentence is a comment, not the word `#`."""
    return bool(_COMMENT.match(line)) and not (has_tabs and "\t" in line)
