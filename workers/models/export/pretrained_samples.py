"""Texts that a folder's model is tried on: by its own tokenizer and ours, by the library's call and our module."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from workers.explanation.card import IDS, Feed
from workers.explanation.errors import InvalidFolder, InvalidText
from workers.explanation.text import Tokens
from workers.models.export.pretrained_modules import TextModel
from workers.models.export.pretrained_text import SAMPLES
from workers.models.tokenizer import read_tokenizer

FILLERS = 3
TOLERANCE = 1e-3  # of float32 numbers that two ways of one computation give

log = logging.getLogger(__name__)


Words: TypeAlias = tuple[str, ...]  # of a sample: one text, or two


def read_samples(tokenizer: bytes, length: int, padding: int, pair: bool, where: str) -> dict[Words, Tokens]:
    """The samples as our tokenizer reads them, two in one where the model takes pairs; none where it knows no word."""
    reader = read_tokenizer(tokenizer, length, padding, None, where, pair)
    try:
        return {words: reader.encode("\n".join(words)) for words in SAMPLES if pair or len(words) == 1}
    except InvalidText:
        return {}


def check_text(
    theirs: TextModel, ours: nn.Module, library: Any, texts: Mapping[Words, Tokens], feeds: Sequence[Feed], where: str
) -> None:
    """Raise InvalidFolder where what the library makes of a sample is not what will be explained of it.

    `theirs` calls the library's model with all that its tokenizer, `library`, gives; `ours` is what is exported.
    """
    for words, text in texts.items() if library is not None else ():
        try:
            given = library(*words, truncation=True, max_length=len(text.ids))
            _check_ids(given["input_ids"], text, words[0], where)
            wanted = _called(theirs, given)
        except InvalidFolder:
            raise
        except Exception:  # what the library says is told where ours is tried
            log.debug("the library's own call fails on %s", where, exc_info=True)
            return
        size = max(1.0, wanted.abs().max().item())
        if not (gap := _gap(ours, _rows(text, feeds, theirs.padding), wanted)) <= TOLERANCE * size:
            raise InvalidFolder(
                f"{where}: of {words[0]!r} the model answers otherwise by {gap:.2g} as the library calls it (with "
                f"{', '.join(given)}) than with {', '.join(feeds)} and a mask of what is no padding; write a factory "
                "that takes what it needs, as python:net.py:build"
            )
        padded = _rows(text, feeds, theirs.padding, len(text.ids) + FILLERS)
        if not (gap := _gap(ours, padded, wanted)) <= TOLERANCE * size:
            raise InvalidFolder(
                f"{where}: padding behind {words[0]!r} changes its answer by {gap:.2g}, as of a model that reads the "
                "last place whatever stands there; write a factory whose answer hangs on the text alone, as "
                "python:net.py:build"
            )


@torch.no_grad()
def _gap(ours: nn.Module, rows: Sequence[Sequence[int]], wanted: Tensor) -> float:
    """How far the module's answer, of the text's own tokens where it has one for each, is from the one wanted."""
    found: Tensor = ours(*(torch.tensor([row]) for row in rows))
    of_tokens = found.dim() > 2 and found.shape[-1] == len(rows[0])
    return float(((found[..., : wanted.shape[-1]] if of_tokens else found) - wanted).abs().max())


def _rows(text: Tokens, feeds: Sequence[Feed], padding: int, length: int = 0) -> list[list[int]]:
    """What the module is fed of a text, with fillers up to a length."""
    fillers = max(length - len(text.ids), 0)
    fed = {IDS: [*text.ids, *[padding] * fillers], "token_type_ids": [*text.types, *[0] * fillers]}
    return [fed[feed] for feed in feeds]


def _check_ids(theirs: Sequence[int], text: Tokens, word: str, where: str) -> None:
    if list(theirs) != list(text.ids):
        raise InvalidFolder(
            f"{where}: of {word!r} its tokenizer makes the ids {_some(theirs)} in the library, and {_some(text.ids)} "
            "by its tokenizer.json alone; write a factory, with a tokenizer.json that makes the first"
        )


@torch.no_grad()
def _called(theirs: TextModel, given: Any) -> Tensor:
    rows = {name: torch.tensor([list(values)]) for name, values in given.items()}
    there = rows.get("attention_mask", torch.ones_like(rows["input_ids"]))
    return theirs.head(theirs.model(**rows, return_dict=True), there != 0)


def _some(ids: Sequence[int]) -> str:
    return f"[{', '.join(map(str, ids[:8]))}{', ...' if len(ids) > 8 else ''}]"


def laid_out(texts: Collection[Tokens], feeds: Sequence[Feed], padding: int) -> dict[str, Tensor] | None:
    """The samples by the names of what the module is fed, padded to the longest; None without any."""
    if not texts:
        return None
    longest = max(len(text.ids) for text in texts)
    rows = [_rows(text, feeds, padding, longest) for text in texts]
    names = ["input" if feed == IDS else f"input.{feed}" for feed in feeds]
    return {name: torch.tensor(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
