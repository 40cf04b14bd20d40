"""Questions made of plain text: a passage, the neighbours of a span of it, and the span as the answer.

A model of three million parameters learns little about the world from 40 MB, but it can learn to find a place in a
passage by the words of a question and to copy what stands there, which is what extractive answers need (questions
with a blank: Dhingra et al. 2018, "Simple and Effective Semi-Supervised Question Answering"). The questions are not
real ones: no person asked them, and their words come from the passage itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

#: Words on either side of the span that a question may use.
N_NEIGHBOURS = 10
#: A neighbour is left out with a chance between 0 and this, so that wording differs from the passage.
MAX_DROPPED = 0.6
#: Share of answers that are names or numbers, where the passage has some: what people ask for most.
NAMED_SHARE = 0.6
MAX_ANSWER_WORDS = 4
_MIN_WORDS = 12

_WORD = re.compile(r"\S+")
#: Capitalised words or numbers after a lower-case word, so not the first word of a sentence.
_NAMED = re.compile(r"(?<=[a-z,;] )(?!I\b)(?:[A-Z][\w'’-]*|\d[\d,.]*\d|\d)(?: (?:[A-Z][\w'’-]*|\d+))*")
_SENTENCE_END = re.compile(r"[.!?;:]\S* ")
_EDGES = "\"'“”‘’([{<)]}>.,;:!?-—_*"


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose answer stands in its passage.

    Attributes:
        prompt: the passage and the question, in the words of the package's own prompts for questions.
        answer: a span of the passage.
    """

    prompt: str
    answer: str


def ask(passage: str, rng: np.random.Generator) -> Question | None:
    """Ask for a span of a passage.

    Args:
        passage: text.
        rng: chooses the span and the words of the question.

    Returns:
        The question; None for a passage of too few words.

    >>> text = "Anna went to the old house in London, and there she saw the dog again."
    >>> question = ask(text, np.random.default_rng(2))
    >>> print(question.prompt, question.answer)
    Context: Anna went to the old house in London, and there she saw the dog again.
    Question: Anna to the old in what and there saw the dog again?
    Answer: London
    """
    text = " ".join(passage.split())
    words = list(_WORD.finditer(text))
    if len(words) < _MIN_WORDS:
        return None
    start, end = _choose_span(text, words, rng)
    before = [word[0] for word in words if word.end() <= start][-N_NEIGHBOURS:]
    after = [word[0] for word in words if word.start() >= end][:N_NEIGHBOURS]
    dropped = rng.uniform(0, MAX_DROPPED)
    kept = [*_thin(before, dropped, rng), "what", *_thin(after, dropped, rng)]
    question = " ".join(word.strip(_EDGES) for word in kept if word.strip(_EDGES))
    return Question(f"Context: {text}\nQuestion: {question}?\nAnswer:", text[start:end])


def _choose_span(text: str, words: list[re.Match[str]], rng: np.random.Generator) -> tuple[int, int]:
    """Characters of the answer, from and to, without punctuation at its edges."""
    named = list(_NAMED.finditer(text))
    if named and rng.random() < NAMED_SHARE:
        found = named[int(rng.integers(len(named)))]
        return found.span()
    for _ in range(8):
        first = int(rng.integers(len(words)))
        last = min(first + int(rng.integers(MAX_ANSWER_WORDS)), len(words) - 1)
        start, end = words[first].start(), words[last].end()
        span = text[start:end]
        start, end = start + len(span) - len(span.lstrip(_EDGES)), end - len(span) + len(span.rstrip(_EDGES))
        if start < end and not _SENTENCE_END.search(text[start:end]):
            return start, end
    return words[0].span()


def _thin(words: list[str], dropped: float, rng: np.random.Generator) -> list[str]:
    return [word for word, chance in zip(words, rng.random(len(words)), strict=True) if chance >= dropped]
