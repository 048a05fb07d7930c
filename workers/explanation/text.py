"""A text as a model sees it: its tokens, the words that they belong to, and what of it was left out. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workers.explanation.errors import InputTooLarge, InvalidText

MAX_CHARACTERS = 2**20


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text: the characters `start` to `end` of it, part of the word of that number.

    A special token is none of the text's but the tokenizer's own, as [CLS]; it has no word.
    """

    text: str
    start: int
    end: int
    word: int | None

    @property
    def special(self) -> bool:
        return self.word is None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text with their ids; `left_out` tokens, from the character `cut` on, did not fit the model.

    `types` say of which of two texts a token is. `spelt` is the text of ids that came without one.
    """

    ids: tuple[int, ...]
    tokens: tuple[Token, ...]
    types: tuple[int, ...] = ()
    spelt: str = ""
    left_out: int = 0
    cut: int | None = None

    @property
    def words(self) -> list[tuple[int, int]]:
        """Where each word begins and ends in the text."""
        found: dict[int, tuple[int, int]] = {}
        for token in self.tokens:
            if token.word is not None:
                start, end = found.get(token.word, (token.start, token.end))
                found[token.word] = min(start, token.start), max(end, token.end)
        return [found[word] for word in sorted(found)]

    def told(self, text: str) -> dict[str, Any]:
        """What an answer tells of the text beside its numbers."""
        words = [{"text": text[start:end], "start": start, "end": end} for start, end in self.words]
        tokens = [{"text": t.text, "start": t.start, "end": t.end, "word": t.word} for t in self.tokens]
        said: dict[str, Any] = {"tokens": tokens, "words": words, "truncated": None}
        if self.left_out:
            total = len(self.ids) + self.left_out
            said["truncated"] = {"tokens": len(self.ids), "of": total, "from": self.cut}
        return said


class Encoder(Protocol):
    """What makes tokens of texts, and of ids."""

    def encode(self, text: str) -> Tokens: ...
    def of_ids(self, ids: Sequence[int]) -> Tokens: ...


def with_values(told: Mapping[str, Any], values: Sequence[float]) -> dict[str, Any]:
    """What is told of a text, with the value of each of its tokens, and each word's sum of those."""
    tokens = [{**token, "value": float(value)} for token, value in zip(told["tokens"], values, strict=False)]
    sums = [0.0] * len(told["words"])
    for token in tokens:
        if token["word"] is not None:
            sums[token["word"]] += token["value"]
    words = [{**word, "value": value} for word, value in zip(told["words"], sums, strict=True)]
    return {**told, "tokens": tokens, "words": words}


def decode_text(data: bytes, pointer: str = "/input") -> str:
    """The text of UTF-8 bytes; raises InvalidText, InputTooLarge."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidText(
            f"the text is not UTF-8 from byte {error.start} on; send it as UTF-8", pointer=pointer
        ) from None
    if not text.strip():
        raise InvalidText("the text is empty; send at least one word", pointer=pointer)
    if len(text) > MAX_CHARACTERS:
        raise InputTooLarge(f"the text has {len(text)} characters; {MAX_CHARACTERS} are allowed", pointer=pointer)
    return text


def digest_text(text: str) -> str:
    """ "sha256:" and 64 hex digits over the UTF-8 bytes, told apart from a file's of the same bytes."""
    return "sha256:" + hashlib.sha256(b"text " + text.encode()).hexdigest()
