"""From stored bytes to what the model takes: one row of float32, and the input as a person sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import InvalidTensor, UnknownInput
from workers.explanation.images.decoding import prepare
from workers.explanation.tensors import as_float32, decode_npy
from workers.jobs.records import Work


def prepared(work: Work, spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """The row (float32, the model's shape) and the picture (uint8 HWC) or tensor that it was made from.

    A method without an input gets a row of zeros, made from nothing.
    Raises UnknownInput, InvalidImage, InvalidTensor, InputTooLarge.
    """
    if not work.job.method.takes_input:
        return np.zeros(spec.shape, np.float32), None
    if work.data is None:
        raise UnknownInput("the input is no longer stored; send it again", pointer="/input")
    if work.kind == "image":
        if spec.kind != "image":
            raise InvalidTensor(
                f"the model takes a tensor of the shape {list(spec.shape)}, not an image", pointer="/input"
            )
        return prepare(work.data, spec.image or ImageSpec(), spec.shape)
    tensor = decode_npy(work.data)
    row = tensor[0] if tensor.shape == (1, *spec.shape) else tensor
    if row.shape != spec.shape:
        raise InvalidTensor(
            f"the tensor has the shape {list(tensor.shape)}; the model takes {list(spec.shape)}", pointer="/input"
        )
    return as_float32(row), row
