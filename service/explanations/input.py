"""The input of a request: sniffed, checked against the model's card before anything is decoded, and digested."""

import re
from typing import Any

from numpy.typing import NDArray

from service.explanations.request_schema import InputField
from service.http.base64_text import from_base64
from service.queue.storage import Input
from service.settings import Settings
from workers.contract import (
    InputSpec,
    InvalidImage,
    InvalidTensor,
    as_float32,
    decode_npy,
    decode_safetensors,
    describe_file,
    digest_image,
    digest_tensor,
    encode_npy,
    from_json,
    inspect,
)

_NPY = b"\x93NUMPY"
_SAFETENSORS = re.compile(rb".{2,4}\0{4,6}\{", re.DOTALL)


def read_input(given: InputField | None, upload: bytes | None, spec: InputSpec, settings: Settings) -> Input | None:
    """The input, or None where the request has none or names one by digest.

    Raises InvalidImage, InvalidTensor, InputTooLarge.
    """
    if upload is not None:
        return file_input(upload, spec, settings)
    if given is None or given.digest is not None:
        return None
    if given.image is not None:
        return file_input(from_base64(given.image, "/input/image"), spec, settings)
    assert given.tensor is not None
    return tensor_input(from_json(given.tensor, spec.shape), spec, "/input/tensor")


def file_input(data: bytes, spec: InputSpec, settings: Settings) -> Input:
    """What the first bytes say it is, whatever it is called and however it came."""
    if data.startswith(_NPY):
        return tensor_input(decode_npy(data, settings.body_limit), spec)
    if _SAFETENSORS.match(data):
        return tensor_input(decode_safetensors(data, settings.body_limit), spec)
    if spec.kind != "image":
        takes = f"the model takes a tensor of the shape {list(spec.shape)}"
        if (what := describe_file(data)) is not None:
            raise InvalidTensor(f"{takes}; the file is {what.removeprefix('the file is ')}", pointer="/input")
        raise InvalidImage(f"{takes}, not an image", pointer="/input")
    inspect(data, settings.pixel_limit)
    return Input(digest_image(data), "image", data)


def tensor_input(values: NDArray[Any], spec: InputSpec, pointer: str = "/input") -> Input:
    """The tensor as float32 of the model's shape; a leading axis of 1 is dropped."""
    if values.ndim == 0:
        raise InvalidTensor(
            f"the tensor is a single number, without axes; the model takes {list(spec.shape)}", pointer=pointer
        )
    row = values[0] if values.shape == (1, *spec.shape) else values
    if row.shape != spec.shape:
        raise InvalidTensor(
            f"the tensor has the shape {list(values.shape)}; the model takes {list(spec.shape)}", pointer=pointer
        )
    tensor = as_float32(row)
    return Input(digest_tensor(tensor), "tensor", encode_npy(tensor))
