"""From stored bytes to what the model takes: rows of float32 by name, and the inputs as a person sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.bundle import FileKind, Kind, unbundle
from workers.explanation.card import IDS, OPEN, ImageSpec, InputSpec
from workers.explanation.errors import ExplainError, InputError, InvalidTensor, UnknownInput
from workers.explanation.images.decoding import prepare
from workers.explanation.inputs import fits, laid, spoken, words_of
from workers.explanation.table import check_row
from workers.explanation.tensors import as_float32, decode_npy
from workers.explanation.text import Encoder, Tokens, decode_text
from workers.jobs.work import Work

NONE: Mapping[str, Encoder] = MappingProxyType({})
STEPS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)  # each is compiled once, and its texts share passes


@dataclass(frozen=True, slots=True)
class Prepared:
    """`rows` (float32, each of its input's shape) by name; `seen` the pictures (uint8 HWC) or tensors they are of.

    `texts` are those inputs that are texts, as answers tell them.
    """

    rows: Mapping[str, NDArray[np.float32]]
    seen: Mapping[str, NDArray[Any]]
    texts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """What rows that share a pass have in common."""
        return tuple(row.shape for row in self.rows.values())


def together(
    works: Sequence[Work], inputs: Mapping[str, InputSpec], tokenizers: Mapping[str, Encoder], threads: int
) -> list[Prepared | Exception]:
    """As `prepared`, of each or why it cannot be; in threads, for what decodes and resizes holds no lock."""

    def one(work: Work) -> Prepared | Exception:
        try:
            return prepared(work, inputs, tokenizers)
        except Exception as error:
            return error

    if len(works) < 2 or threads < 2:
        return [one(work) for work in works]
    with ThreadPoolExecutor(min(threads, len(works))) as pool:
        return list(pool.map(one, works))


def prepared(work: Work, inputs: Mapping[str, InputSpec], tokenizers: Mapping[str, Encoder] = NONE) -> Prepared:
    """The inputs of a work; a method without an input gets rows of zeros, made from nothing.

    Raises UnknownInput, InvalidImage, InvalidTensor, InputTooLarge, naming the input where there are several.
    """
    if not work.job.method.takes_input:
        rows = {name: np.zeros(nominal(spec.shape), np.float32) for name, spec in laid(inputs).items()}
        return Prepared(rows, {})
    if work.data is None or work.kind is None:
        raise UnknownInput("the input is no longer stored; send it again", pointer="/input")
    return decoded(work.kind, work.data, inputs, tokenizers)


def decoded(kind: Kind, data: bytes, inputs: Mapping[str, InputSpec], tokenizers: Mapping[str, Encoder]) -> Prepared:
    """The inputs of a model from what is stored of them; raises as `prepared`, but UnknownInput."""
    if kind != "inputs":
        (name,) = inputs if len(inputs) == 1 else [""]
        if not name:
            raise InvalidTensor(f"the model takes the inputs {', '.join(inputs)}, by name", pointer="/inputs")
        return _one(name, kind, data, inputs[name], tokenizers)
    files = unbundle(data)
    if files.keys() != inputs.keys():
        raise InvalidTensor(f"the model takes the inputs {', '.join(inputs)}", pointer="/inputs")
    found = [_named(name, *files[name], spec, tokenizers) for name, spec in inputs.items()]
    rows = {name: row for one in found for name, row in one.rows.items()}
    return Prepared(
        {name: rows[name] for name in laid(inputs)},
        {name: seen for one in found for name, seen in one.seen.items()},
        {name: text for one in found for name, text in one.texts.items()},
    )


def nominal(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with one for every axis of any length."""
    return tuple(1 if size == OPEN else size for size in shape)


def _named(name: str, kind: FileKind, data: bytes, spec: InputSpec, tokenizers: Mapping[str, Encoder]) -> Prepared:
    try:
        return _one(name, kind, data, spec, tokenizers)
    except InputError as error:
        told: ExplainError = type(error)(f"the input {name}: {error.detail}", pointer=f"/inputs/{name}")
        raise told from None


def _one(name: str, kind: FileKind, data: bytes, spec: InputSpec, tokenizers: Mapping[str, Encoder]) -> Prepared:
    if kind == "text":
        if name not in tokenizers:
            raise InvalidTensor(f"the model takes {takes(spec)}, not a text", pointer="/input")
        return _text(name, decode_text(data), spec, tokenizers[name])
    if kind == "image":
        if spec.kind != "image":
            raise InvalidTensor(f"the model takes {takes(spec)}, not an image", pointer="/input")
        row, seen = prepare(data, spec.image or ImageSpec(), spec.shape)
        return Prepared({name: row}, {name: seen})
    if name in tokenizers:
        return _ids(name, decode_npy(data), spec, tokenizers[name])
    tensor = decode_npy(data)
    row = tensor[0] if tensor.shape[:1] == (1,) and fits(spec, tensor.shape[1:]) else tensor
    if not fits(spec, row.shape):
        raise InvalidTensor(
            f"the tensor has the shape {list(tensor.shape)}; the model takes {spoken(spec)}", pointer="/input"
        )
    if spec.length is not None and row.ndim and len(row) > spec.length:
        raise InvalidTensor(f"there are {len(row)} ids; the model takes up to {spec.length}", pointer="/input")
    values = as_float32(row)
    check_row(values, spec, "/input")
    return Prepared({name: values}, {name: row})


def takes(spec: InputSpec) -> str:
    """What an input is, in a few words."""
    return "a text" if spec.kind == "text" else f"a tensor of the shape {spoken(spec)}"


def _text(name: str, text: str, spec: InputSpec, tokenizer: Encoder) -> Prepared:
    found = tokenizer.encode(text)
    return _tokens(name, found, found.told(text), spec)


def _ids(name: str, tensor: NDArray[Any], spec: InputSpec, tokenizer: Encoder) -> Prepared:
    """Ids that a client made itself; each token that is not padding is a word of its own."""
    if spec.pair and "token_type_ids" in spec.feeds:
        raise InvalidTensor(
            "ids do not say of which of two texts each is; send the texts, the first as a line of its own",
            pointer="/input",
        )
    ids = tensor[0] if tensor.ndim == 2 and len(tensor) == 1 else tensor
    most = spec.length or 0
    if ids.ndim != 1 or len(ids) > most or not (ids == np.floor(ids)).all():
        raise InvalidTensor(
            f"the tensor has the shape {list(tensor.shape)}; the model takes a text, or its ids: up to {most} whole "
            "numbers",
            pointer="/input",
        )
    found = tokenizer.of_ids([int(one) for one in ids])
    return _tokens(name, found, found.told(found.spelt), spec)


def _tokens(name: str, found: Tokens, told: Mapping[str, Any], spec: InputSpec) -> Prepared:
    """The ids padded to the length that the model takes, and beside them whose word each is of, -1 of none."""
    count = len(found.ids)
    length = padded(count, spec)
    blank = {IDS: spec.padding or 0}
    fed = {IDS: found.ids, "attention_mask": (1,) * count, "token_type_ids": found.types}
    rows = {}
    for feed in spec.feeds:
        row = np.full(length, blank.get(feed, 0), np.float32)
        row[:count] = fed[feed]
        rows[name if feed == IDS else f"{name}.{feed}"] = row
    words = np.full(length, -1, np.float32)
    words[:count] = [-1 if token.word is None else token.word for token in found.tokens]
    return Prepared({**rows, words_of(name): words}, {name: np.asarray(found.ids, np.float32)}, {name: told})


def padded(count: int, spec: InputSpec) -> int:
    """How many tokens a text of so many is padded to: all that there may be, or to a step of which there are few."""
    assert spec.length is not None
    if OPEN not in spec.shape:
        return spec.length
    return min(spec.length, next((step for step in STEPS if step >= count), spec.length))
