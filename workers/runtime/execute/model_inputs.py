"""From stored bytes to what the model takes: rows of float32 by name, and the inputs as a person sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.bundle import FileKind, unbundle
from workers.explanation.card import OPEN, ImageSpec, InputSpec
from workers.explanation.errors import ExplainError, InputError, InvalidTensor, UnknownInput
from workers.explanation.images.decoding import prepare
from workers.explanation.inputs import fits, spoken
from workers.explanation.tensors import as_float32, decode_npy
from workers.jobs.records import Work


@dataclass(frozen=True, slots=True)
class Prepared:
    """`rows` (float32, each of its input's shape) by name; `seen` the pictures (uint8 HWC) or tensors they are of."""

    rows: Mapping[str, NDArray[np.float32]]
    seen: Mapping[str, NDArray[Any]]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """What rows that share a pass have in common."""
        return tuple(row.shape for row in self.rows.values())


def prepared(work: Work, inputs: Mapping[str, InputSpec]) -> Prepared:
    """The inputs of a work; a method without an input gets rows of zeros, made from nothing.

    Raises UnknownInput, InvalidImage, InvalidTensor, InputTooLarge, naming the input where there are several.
    """
    if not work.job.method.takes_input:
        return Prepared({name: np.zeros(nominal(spec.shape), np.float32) for name, spec in inputs.items()}, {})
    if work.data is None or work.kind is None:
        raise UnknownInput("the input is no longer stored; send it again", pointer="/input")
    if work.kind != "inputs":
        (name,) = inputs if len(inputs) == 1 else [""]
        if not name:
            raise InvalidTensor(f"the model takes the inputs {', '.join(inputs)}, by name", pointer="/inputs")
        row, seen = _one(work.kind, work.data, inputs[name])
        return Prepared({name: row}, {name: seen})
    files = unbundle(work.data)
    if files.keys() != inputs.keys():
        raise InvalidTensor(f"the model takes the inputs {', '.join(inputs)}", pointer="/inputs")
    found = {name: _named(name, *files[name], spec) for name, spec in inputs.items()}
    return Prepared({name: row for name, (row, _) in found.items()}, {name: seen for name, (_, seen) in found.items()})


def nominal(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with one for every axis of any length."""
    return tuple(1 if size == OPEN else size for size in shape)


def _named(name: str, kind: FileKind, data: bytes, spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[Any]]:
    try:
        return _one(kind, data, spec)
    except InputError as error:
        told: ExplainError = type(error)(f"the input {name}: {error.detail}", pointer=f"/inputs/{name}")
        raise told from None


def _one(kind: FileKind, data: bytes, spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[Any]]:
    if kind == "image":
        if spec.kind != "image":
            raise InvalidTensor(f"the model takes a tensor of the shape {spoken(spec)}, not an image", pointer="/input")
        return prepare(data, spec.image or ImageSpec(), spec.shape)
    tensor = decode_npy(data)
    row = tensor[0] if tensor.shape[:1] == (1,) and fits(spec, tensor.shape[1:]) else tensor
    if not fits(spec, row.shape):
        raise InvalidTensor(
            f"the tensor has the shape {list(tensor.shape)}; the model takes {spoken(spec)}", pointer="/input"
        )
    return as_float32(row), row
