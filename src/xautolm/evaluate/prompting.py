"""Prompts and answers as tokens: what a model reads, and what it is taught to write. Worker side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xautolm.evaluate.job_folder import InvalidPipelineError
from xautolm.tasks.prompts import Prompt

#: Rows that are tokenised at once; positions of tokens in the texts take much more memory than the tokens.
_CHUNK = 1000
#: Stands for the message while the frame of a chat is found.
_MESSAGE = "~message~"
#: Some chat templates state a date, by default today's: a model would read another prompt tomorrow than in training.
_DATE = "01 Jan 2025"


@dataclass(frozen=True, slots=True)
class Scribe:
    """Reads prompts and writes down answers with the tokenizer of a model.

    Attributes:
        tokenizer: of the model.
        prompt: what a row is put into, the frame of a chat included.
        is_decoder: whether the answer continues the prompt (decoder-only), or is a text of its own (encoder-decoder).
        adds_special: whether the tokenizer adds its special tokens to a prompt; those of a chat are in the prompt.
    """

    tokenizer: Any
    prompt: Prompt
    is_decoder: bool
    adds_special: bool

    @property
    def end(self) -> int:
        """The token that ends an answer.

        Raises:
            InvalidPipelineError: the tokenizer has none.
        """
        if self.tokenizer.eos_token_id is None:
            raise InvalidPipelineError("the model's tokenizer has no token for the end of a text, so no answer can end")
        return int(self.tokenizer.eos_token_id)

    @property
    def padding(self) -> int:
        """The token for places that nothing reads; without one of its own the end token, which is masked there."""
        pad = self.tokenizer.pad_token_id
        return self.end if pad is None else int(pad)

    def read(self, rows: Sequence[Mapping[str, str]], budget: int, limit: int) -> Iterator[list[int]]:
        """Token ids of the prompt of each row, at most `budget` where cutting the passage is enough.

        Args:
            rows: fields of the prompt.
            budget: tokens that a prompt should have at most.
            limit: tokens that the model can read; of a prompt without its passage that is even longer the end is kept.
        """
        for start in range(0, len(rows), _CHUNK):
            for ids in self._read_chunk(rows[start : start + _CHUNK], budget):
                yield ids[-limit:]

    def _read_chunk(self, rows: Sequence[Mapping[str, str]], budget: int) -> list[list[int]]:
        prompts = self._encode([self.prompt.render(row) for row in rows])
        long = [i for i, ids in enumerate(prompts) if len(ids) > budget]
        if not long:
            return prompts
        field = self.prompt.passage
        ends = self._ends([rows[i][field] for i in long])
        kept = {i: len(of_row) for i, of_row in zip(long, ends, strict=True)}
        ends_of = dict(zip(long, ends, strict=True))
        # Where a passage ends changes a token or two beside it, so a row may be cut more than once.
        while long := [i for i in long if len(prompts[i]) > budget and kept[i] > 0]:
            for i in long:
                kept[i] = max(kept[i] - (len(prompts[i]) - budget), 0)
            cut = [{**rows[i], field: rows[i][field][: ends_of[i][kept[i] - 1] if kept[i] else 0]} for i in long]
            for i, ids in zip(long, self._encode([self.prompt.render(row) for row in cut]), strict=True):
                prompts[i] = ids
        return prompts

    def _encode(self, texts: list[str]) -> list[list[int]]:
        encoded = self.tokenizer(texts, add_special_tokens=self.adds_special, verbose=False)["input_ids"]
        if not self.is_decoder:
            return list(encoded)
        # An end token that the tokenizer adds would tell the model that there is nothing to write; no token at all
        # would leave nothing to continue.
        return [(ids[:-1] if self.adds_special and ids[-1:] == [self.end] else ids) or [self.end] for ids in encoded]

    def _ends(self, texts: list[str]) -> list[list[int]]:
        """The characters at which the tokens of each text end."""
        encoded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [[end for _, end in offsets] for offsets in encoded["offset_mapping"]]

    def write(self, answers: Sequence[str]) -> list[list[int]]:
        """Token ids of each answer, the end token last."""
        texts = [answer.strip() for answer in answers]
        if not texts:
            return []
        if self.is_decoder:
            space = self._space()
            texts = [space + text if text else "" for text in texts]
        encoded = self.tokenizer(texts, add_special_tokens=not self.is_decoder, verbose=False)["input_ids"]
        return [ids if ids[-1:] == [self.end] else [*ids, self.end] for ids in encoded]

    def _space(self) -> str:
        """What stands between prompt and answer: a space where it is a part of the first word's token."""
        if self.prompt.template[-1:].isspace():
            return ""
        with_space, without = (self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (" a", "a"))
        return " " if len(with_space) <= len(without) else ""

    def decode(self, ids: Sequence[int]) -> str:
        """The text that generated tokens stand for, up to the end token."""
        kept = list(ids[: ids.index(self.end)] if self.end in ids else ids)
        return str(self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


def make_scribe(tokenizer: Any, prompt: Prompt, *, is_decoder: bool) -> Scribe:
    """Put a prompt into the frame of a chat where the tokenizer has a template for one (instruction models).

    The frame is the one of a single message of the user with the answer to come, without reasoning before it.
    """
    frame = _chat_frame(tokenizer)
    if frame is None:
        return Scribe(tokenizer, prompt, is_decoder, adds_special=True)
    return Scribe(tokenizer, prompt.within(*frame), is_decoder, adds_special=False)


def _chat_frame(tokenizer: Any) -> tuple[str, str] | None:
    """What the chat template puts before and after a user's message; None without one that holds a message."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    chat = [{"role": "user", "content": _MESSAGE}]
    options = {"enable_thinking": False, "date_string": _DATE}
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **options)
    before, found, after = text.partition(_MESSAGE)
    return (before, after) if found else None
