"""The data summary that a run prints first: rows, targets, lengths in tokens, and what is odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xautolm.data.targets import label_shares, target_line
from xautolm.errors import ModelError
from xautolm.records import Label, Split, Task

#: Above this the tokenizer cuts words to pieces: the text is not of the language the encoder was trained on.
#: (English reviews and news need 1.1 to 1.4 tokens per word with the embedded encoder.)
MOST_TOKENS_PER_WORD = 1.8
MULTILINGUAL_MODEL = "intfloat/multilingual-e5-small"

_TARGETS = {"text-classification": "label", "multi-label": "labels", "text-regression": "score"}
_BATCH = 1024  # rows tokenised at a time: the tokenizer's results take far more memory than the lengths


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What there is to say about a task before the search.

    Attributes:
        dataset_id: name of the data.
        columns: role -> column.
        rows: split -> number of rows.
        class_shares: label -> share of the training rows that have it, largest first; empty without labels.
        length_percentiles: `p50`, `p90`, `p99`, `max` -> tokens per training row, special tokens included.
        tokens_per_word: tokens per word of the training texts, special tokens left out.
        warnings: sentences, those of the task first.
        asked: what the rows ask for, a line for the console.
        kind: task kind.
    """

    dataset_id: str
    columns: Mapping[str, str]
    rows: Mapping[str, int]
    class_shares: tuple[tuple[Label, float], ...]
    length_percentiles: Mapping[str, int]
    tokens_per_word: float
    warnings: tuple[str, ...] = field(default=())
    asked: str = ""
    kind: str = "text-classification"


def token_lengths(tokenizer_file: str | Path, split: Split) -> NDArray[np.int64]:
    """Count the tokens of every row, nothing cut off.

    Args:
        tokenizer_file: `tokenizer.json` of a model, or the folder that holds it.
        split: rows; the two texts of a pair are encoded together.

    Returns:
        Tokens per row with special tokens, (n_rows,).

    Raises:
        ModelError: there is no such file, or it is no tokenizer.
    """
    from tokenizers import Tokenizer

    path = Path(tokenizer_file)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise ModelError(f"expected a `tokenizer.json`, there is no file `{path}`; name a model folder that has one")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a plain Exception
        raise ModelError(f"`{path}` is not a tokenizer: {error}; download the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = iter(split.texts if split.pairs is None else zip(split.texts, split.pairs, strict=True))
    lengths: list[int] = []
    while batch := list(islice(rows, _BATCH)):
        lengths.extend(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(batch))
    return np.asarray(lengths, dtype=np.int64)


def answer_lengths(tokenizer_file: str | Path, split: Split) -> NDArray[np.int64]:
    """Count the tokens of the main answer of every row, with one for its end; none where rows ask for no texts.

    Args:
        tokenizer_file: as in `token_lengths`.
        split: rows.

    Returns:
        Tokens per answer, (n_rows,) or (0,).
    """
    if split.answers is None:
        return np.zeros(0, dtype=np.int64)
    texts = ("", *(answers[0].text if answers else "" for answers in split.answers))
    lengths = token_lengths(tokenizer_file, Split(texts, None, ()))
    return np.asarray(lengths[1:] - lengths[0] + 1, dtype=np.int64)


def tokens_per_word(lengths: NDArray[np.int64], split: Split, *, n_special: int | None = None) -> float:
    """How many tokens a word takes: near 1 when the tokenizer knows the language.

    Args:
        lengths: tokens per row, special tokens included, (n_rows,).
        split: the rows; words are what white space separates.
        n_special: special tokens per row; None = those of BERT, 2 for one text and 3 for a pair.

    Returns:
        Tokens per word over all rows.

    >>> split = Split(("an apple", "apples"), None, (0, 1))
    >>> tokens_per_word(np.array([4, 4]), split)
    1.3333333333333333
    """
    if n_special is None:
        n_special = 2 if split.pairs is None else 3
    n_words = sum(len(text.split()) for text in (*split.texts, *(split.pairs or ())))
    return float(lengths.sum() - n_special * len(lengths)) / max(1, n_words)


def summarise(task: Task, lengths: NDArray[np.int64]) -> DataSummary:
    """Put the summary together.

    Args:
        task: the loaded data.
        lengths: tokens of each training row, from `token_lengths`, (n_train,).

    Returns:
        The summary; it warns when the embedded English encoder cannot read the texts well.
    """
    splits = {"train": task.train, "validation": task.validation, "test": task.test}
    # "higher" gives a length that occurs, so that cutting there keeps at least that share of the rows whole
    p50, p90, p99 = np.percentile(lengths, [50, 90, 99], method="higher")
    per_word = tokens_per_word(lengths, task.train)
    return DataSummary(
        dataset_id=task.dataset_id,
        columns=dict(task.columns),
        rows={role: split.n_rows for role, split in splits.items() if split is not None},
        class_shares=label_shares(task),
        asked=target_line(task),
        kind=task.kind,
        length_percentiles={"p50": int(p50), "p90": int(p90), "p99": int(p99), "max": int(lengths.max())},
        tokens_per_word=per_word,
        warnings=(*task.warnings, *_language_warning(per_word)),
    )


def _language_warning(per_word: float) -> tuple[str, ...]:
    if per_word <= MOST_TOKENS_PER_WORD:
        return ()
    return (
        f"the texts take {per_word:.1f} tokens per word (more than {MOST_TOKENS_PER_WORD}): the embedded "
        f"English encoder cannot read them well. Give a multilingual model, e.g. `--models {MULTILINGUAL_MODEL}`",
    )


def summary_lines(summary: DataSummary) -> list[str]:
    """Write the summary for the console.

    Args:
        summary: from `summarise`.

    Returns:
        Lines without line ends: data, what is asked for, length, and one per warning.
    """
    rows = ", ".join(f"{n:,} {role}" for role, n in summary.rows.items())
    p = summary.length_percentiles
    return [
        f"Data      {summary.dataset_id}: {rows} rows; {_columns_line(summary)}",
        summary.asked,
        f"Length    tokens per row: median {p['p50']:,}, 90 % up to {p['p90']:,}, 99 % up to {p['p99']:,}, "
        f"longest {p['max']:,}; {summary.tokens_per_word:.2f} tokens per word",
        *(f"Warning   {warning}" for warning in summary.warnings),
    ]


def _columns_line(summary: DataSummary) -> str:
    """Which column holds what, the target last."""
    columns = summary.columns
    if "answers" in columns:
        return ", ".join(f"{role} in `{columns[role]}`" for role in ("question", "context", "answers"))
    if "words" in columns:
        return f"words in `{columns['words']}`, tags in `{columns['target']}`"
    texts = " and ".join(f"`{columns[role]}`" for role in ("text", "text_pair") if role in columns)
    return f"text in {texts}, {_TARGETS.get(summary.kind, 'target')} in `{columns['target']}`"
