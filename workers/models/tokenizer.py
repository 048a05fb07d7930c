"""A tokenizer from its tokenizer.json: data for the `tokenizers` library, which runs nothing of it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.explanation.errors import ExplainError, InvalidFolder, InvalidTensor, InvalidText, ModelError
from workers.explanation.text import Token, Tokens
from workers.models.tokenizer_growth import checked

if TYPE_CHECKING:
    import tokenizers

MAX_BYTES = 64 * 2**20
PADDING = ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<PAD>")
TRIAL = "a b"  # a text of some tokenizers at least: what panics at it panics at every text
MASK = ("[MASK]", "<mask>", "<|mask|>", "<MASK>")


@dataclass(frozen=True)
class Tokenizer:
    """Makes ids of texts: at most `length`, and with them which token is which part of the text.

    `padding` and `mask` are the ids that stand for no token and for a hidden one, where it has such. Of a `pair` the
    first line of a text is one, and what follows it the other.
    """

    whole: tokenizers.Tokenizer
    cut: tokenizers.Tokenizer
    length: int
    padding: int | None
    mask: int | None
    pair: bool = False

    def encode(self, text: str) -> Tokens:
        """Raises InvalidText for a text of no token."""
        first, second = text, None
        if self.pair and "\n" in text:
            first, _, second = text.partition("\n")
        behind = len(first) + 1
        with _failing(_unread):
            whole = encoded = self.whole.encode(first, second)
            if len(whole.ids) > self.length:
                encoded = self.cut.encode(first, second)
            tokens = _tokens(text, encoded, behind)
        if all(encoded.special_tokens_mask) or (second is not None and not {0, 1} <= {*encoded.sequence_ids}):
            told = "the text has" if second is None else "one of two texts, the first line or what follows it, has"
            raise InvalidText(f"{told} no token that the model knows; send at least one word", pointer="/input")
        return Tokens(
            tuple(encoded.ids),
            tokens,
            tuple(encoded.type_ids),
            left_out=len(whole.ids) - len(tokens),
            cut=_cut(whole, encoded, behind),
        )

    def of_ids(self, ids: Sequence[int]) -> Tokens:
        """The tokens of ids, the padding behind them left out; each is a word of its own. Raises InvalidTensor."""
        ids = list(ids)
        while ids and ids[-1] == self.padding:
            ids.pop()
        names = [self.whole.id_to_token(one) if 0 <= one < 2**31 else None for one in ids]
        if not ids or None in names:
            wrong = next((one for one, name in zip(ids, names, strict=True) if name is None), "no id")
            raise InvalidTensor(
                f"the tokenizer has no token {wrong}; its ids are 0 to {self.whole.get_vocab_size() - 1}",
                pointer="/input",
            )
        special = {one for one, added in self.whole.get_added_tokens_decoder().items() if added.special}
        tokens: list[Token] = []
        at = count = 0
        for one, name in zip(ids, names, strict=True):
            word = None if one in special and one != self.mask else count
            count += word is not None
            tokens.append(Token(str(name), at, at + len(str(name)), word))
            at += len(str(name)) + 1
        return Tokens(tuple(ids), tuple(tokens), (0,) * len(ids), " ".join(map(str, names)))


@contextmanager
def _failing(told: Callable[[str], ExplainError], *, panics: bool = False) -> Iterator[None]:
    """What the library raises is told as an error of ours; with `panics` those alone, which end a process elsewhere."""
    try:
        yield
    except BaseException as error:
        panic = type(error).__name__ == "PanicException"  # of Rust, and no Exception
        if panic or (isinstance(error, Exception) and not panics):
            raise told(str(error)[:200]) from None
        if not isinstance(error, Exception):
            raise


def _unread(told: str) -> ModelError:
    return ModelError(f"the model's tokenizer could not read the text: {told}")


def _offsets(encoded: tokenizers.Encoding, behind: int) -> list[tuple[int, int]]:
    """Where each token lies in the text, a second one being from the character `behind` on."""
    both = zip(encoded.offsets, encoded.sequence_ids, strict=True)
    return [(start + behind, end + behind) if part == 1 else (start, end) for (start, end), part in both]


def _cut(whole: tokenizers.Encoding, kept: tokenizers.Encoding, behind: int) -> int | None:
    """The character behind the last token that is kept of the text that lost some; None where none did."""
    for part in (0, 1):
        if kept.sequence_ids.count(part) < whole.sequence_ids.count(part):
            return max(
                end for (_, end), of in zip(_offsets(kept, behind), kept.sequence_ids, strict=True) if of == part
            )
    return None


def _tokens(text: str, encoded: tokenizers.Encoding, behind: int) -> tuple[Token, ...]:
    own = [not special for special in encoded.special_tokens_mask]
    offsets = _offsets(encoded, behind)
    words = _words(text, [at for at, mine in zip(offsets, own, strict=True) if mine], encoded, own)
    found, number = [], iter(words)
    for name, (start, end), mine in zip(encoded.tokens, offsets, own, strict=True):
        if mine:
            found.append(Token(text[start:end] or name, start, end, next(number)))
        else:
            found.append(Token(name, start, end, None))
    return tuple(found)


def _words(text: str, offsets: list[tuple[int, int]], encoded: tokenizers.Encoding, own: list[bool]) -> list[int]:
    """The number of each token's word: the tokenizer's own words, cut at white space that one of them runs over."""
    starts = [found.start() for found in re.finditer(r"\S+", text)]
    theirs = [word for word, mine in zip(encoded.word_ids, own, strict=True) if mine]
    keys = [(word, bisect_right(starts, _first(text, *at))) for word, at in zip(theirs, offsets, strict=True)]
    order: dict[tuple[int | None, int], int] = {}
    return [order.setdefault(key, len(order)) for key in keys]


def _first(text: str, start: int, end: int) -> int:
    """Where a token's first character lies that is no white space, which some tokenizers let a token begin with.

    One that is white space alone goes with what follows.
    """
    return next((at for at in range(start, end) if not text[at].isspace()), end)


def read_tokenizer(
    data: bytes, length: int, padding: int | None, mask: int | None, where: str, pair: bool = False
) -> Tokenizer:
    """The tokenizer of the bytes of a tokenizer.json; raises InvalidFolder in words of what is wrong."""
    import tokenizers

    def refused(told: str) -> InvalidFolder:
        return InvalidFolder(f"{where}: it is no tokenizer.json that the tokenizers library reads: {told}")

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise refused("it is not UTF-8") from None
    with _failing(refused):
        text = checked(text)
        whole, cut = (tokenizers.Tokenizer.from_str(text) for _ in range(2))
    for one in (whole, cut):
        one.no_padding()
    whole.no_truncation()
    with _failing(refused, panics=True):
        whole.encode(TRIAL, TRIAL if pair else None)
    added = whole.num_special_tokens_to_add(pair)
    if length <= added + pair:
        raise InvalidFolder(
            f"{where}: it adds {added} special tokens to every text, and [input] length is {length}; let it be more"
        )
    cut.enable_truncation(length)
    return Tokenizer(whole, cut, length, _id(whole, padding, PADDING), _id(whole, mask, MASK), pair)


def _id(tokenizer: tokenizers.Tokenizer, given: int | None, names: tuple[str, ...]) -> int | None:
    if given is not None:
        return given
    return next((found for name in names if (found := tokenizer.token_to_id(name)) is not None), None)
