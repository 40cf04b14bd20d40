"""The files in which SQuAD and DROP were published: questions below their passages, below their articles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xautolm.errors import DataError

Row = dict[str, Any]


def flat_rows(value: object, where: str) -> list[Row] | None:
    """A row per question of a file in the published form of SQuAD (1.1 or 2.0) or DROP; None for any other.

    Args:
        value: the parsed JSON.
        where: the file as named to the user.

    Returns:
        Rows with `id`, `context`, `question` and `answers` (DROP: a list of texts, the main answer first; the spans of
        one answer are joined by " and "). A question marked `is_impossible` has no answers.

    Raises:
        DataError: it begins like such a file, but a part of it has another form.
    """
    if not isinstance(value, Mapping):
        return None
    if _is_squad(value):
        read = _squad(value["data"])
    elif value and all({"passage", "qa_pairs"} <= set(_mapping(item)) for item in value.values()):
        read = _drop(value)
    else:
        return None
    try:
        rows = list(read)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"no `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"`{where}` begins like a file of SQuAD or DROP, but a part of it has another form ({reason}); expected "
            "`data` > `paragraphs` > `context` and `qas` > `question`, `answers`, or passages with `passage` and "
            "`qa_pairs` > `question`, `answer`"
        ) from error
    return rows


def _is_squad(value: Mapping[str, Any]) -> bool:
    articles = value.get("data")
    return isinstance(articles, list) and bool(articles) and all("paragraphs" in _mapping(item) for item in articles)


def _mapping(item: object) -> Mapping[str, Any]:
    return item if isinstance(item, Mapping) else {}


def _squad(articles: list[Any]) -> Iterator[Row]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield {
                    "id": question.get("id"),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": [] if question.get("is_impossible") else question["answers"],
                }


def _drop(passages: Mapping[str, Any]) -> Iterator[Row]:
    for item in passages.values():
        for pair in item["qa_pairs"]:
            given = [pair["answer"], *(pair.get("validated_answers") or ())]
            yield {
                "id": pair.get("query_id"),
                "context": item["passage"],
                "question": pair["question"],
                "answers": [text for answer in given if (text := _drop_answer(answer))],
            }


def _drop_answer(answer: Mapping[str, Any]) -> str:
    """An answer of DROP as text: a number, spans, or a date.

    >>> _drop_answer({"number": "", "spans": ["Anna", "Ben"], "date": {}})
    'Anna and Ben'
    >>> _drop_answer({"number": "", "spans": [], "date": {"day": "3", "month": "May", "year": ""}})
    '3 May'
    """
    number = str(answer.get("number", ""))
    if number:
        return number
    if answer.get("spans"):
        return " and ".join(answer["spans"])
    date = answer.get("date") or {}
    return " ".join(str(date[part]) for part in ("day", "month", "year") if date.get(part))
