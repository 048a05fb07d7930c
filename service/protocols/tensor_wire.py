"""Tensors of the Open Inference Protocol, as JSON and in the binary tensor extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from service.bodies import json_value
from service.errors import Invalid, MalformedBody
from service.problems import pointers
from workers.contract import InvalidTensor, from_json

LENGTH = "inference-header-content-length"
BYTES = "BYTES"
DATATYPES = {
    "BOOL": "bool",
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
NAMES = {dtype: datatype for datatype, dtype in DATATYPES.items()}

Values: TypeAlias = NDArray[Any] | list[bytes] | list[str]  # elements that came as JSON are text
Output: TypeAlias = NDArray[Any] | list[bytes]


class InputTensor(BaseModel):
    """A tensor of a request: its values in `data`, or in `binary_data_size` bytes after the JSON."""

    name: str
    shape: list[NonNegativeInt] = Field(max_length=8)
    datatype: str = Field(json_schema_extra={"enum": [*DATATYPES, BYTES]})
    parameters: dict[str, Any] = Field(default={}, description="`binary_data_size`.")
    data: list[Any] | None = Field(default=None, description="Row by row in one list, or nested; images in base64.")


class OutputAsked(BaseModel):
    """An output that the client wants."""

    name: str
    parameters: dict[str, Any] = Field(default={}, description="`binary_data`: after the JSON instead of in it.")


class InferenceRequest(BaseModel):
    """A request of the Open Inference Protocol."""

    id: str = ""
    inputs: list[InputTensor] = Field(min_length=1, max_length=2)
    outputs: list[OutputAsked] = []
    parameters: dict[str, bool | int | float | str] = Field(default={}, description="Of the method: `whence.steps`.")


def read_request(body: bytes, length: str | None) -> tuple[InferenceRequest, dict[str, Values]]:
    """The request and the values of its inputs by name; `length` is that of the JSON before the binary data.

    Raises MalformedBody, Invalid, InvalidTensor.
    """
    if length is not None and not (length.isdecimal() and int(length[:20]) <= len(body)):
        raise MalformedBody("Inference-Header-Content-Length is the length of the JSON at the body's beginning")
    end = len(body) if length is None else int(length)
    content = json_value(body[:end], "")
    try:
        request = InferenceRequest.model_validate(content)
    except ValidationError as error:
        raise Invalid(pointers(error.errors(include_input=False, include_url=False))) from None
    values: dict[str, Values] = {}
    for index, tensor in enumerate(request.inputs):
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values[tensor.name] = _from_json(tensor, f"/inputs/{index}")
            continue
        if type(size) is not int or not 0 <= size <= len(body) - end:
            raise Invalid([_fault(index, f"binary_data_size is a number of bytes; {len(body) - end} are left")])
        values[tensor.name] = _from_binary(tensor, body[end : end + size], f"/inputs/{index}")
        end += size
    if end != len(body):
        raise MalformedBody(f"{len(body) - end} bytes follow what the inputs' binary_data_size take")
    return request, values


def written(outputs: Mapping[str, Output], head: Mapping[str, Any], binary: Mapping[str, bool]) -> tuple[Any, bytes]:
    """The JSON of an answer, and the bytes that follow it."""
    told, rest = [], b""
    for name, values in outputs.items():
        listed = isinstance(values, list)
        datatype = BYTES if isinstance(values, list) else NAMES[values.dtype.name]
        about = {"name": name, "datatype": datatype, "shape": [len(values)] if listed else list(np.shape(values))}
        if binary[name]:
            data = _packed(values) if isinstance(values, list) else _little(values).tobytes()
            told.append({**about, "parameters": {"binary_data_size": len(data)}})
            rest += data
        else:
            flat: Any = [one.decode() for one in values] if isinstance(values, list) else _little(values).ravel()
            told.append({**about, "data": flat})
    return {**head, "outputs": told}, rest


def _from_json(tensor: InputTensor, where: str) -> Values:
    if tensor.data is None:
        _refuse("a tensor has data, or the parameter binary_data_size", where)
    if tensor.datatype == BYTES:
        flat = tensor.data
        if any(not isinstance(one, str) for one in flat) or len(flat) != math.prod(tensor.shape):
            _refuse(f"data holds {math.prod(tensor.shape)} strings, as shape says", where)
        return flat
    if tensor.datatype not in DATATYPES:
        _refuse(f"datatype is one of {', '.join([*DATATYPES, BYTES])}", where)
    try:
        return from_json({"shape": tensor.shape, "dtype": DATATYPES[tensor.datatype], "data": tensor.data})
    except InvalidTensor as error:
        raise InvalidTensor(error.detail, pointer=where) from None


def _from_binary(tensor: InputTensor, data: bytes, where: str) -> Values:
    if tensor.datatype == BYTES:
        return _unpacked(data, math.prod(tensor.shape), where)
    if tensor.datatype not in DATATYPES:
        _refuse(f"datatype is one of {', '.join([*DATATYPES, BYTES])}", where)
    dtype = np.dtype(DATATYPES[tensor.datatype]).newbyteorder("<")
    wanted = math.prod(tensor.shape) * dtype.itemsize
    if len(data) != wanted:
        _refuse(f"{tensor.datatype} of the shape {tensor.shape} takes {wanted} bytes; there are {len(data)}", where)
    return np.frombuffer(data, dtype).reshape(tensor.shape).astype(dtype.newbyteorder("="))


def _unpacked(data: bytes, count: int, where: str) -> list[bytes]:
    """Elements with their lengths before them, as 4 bytes each."""
    found, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            _refuse("an element ends beyond the binary data", where)
        found.append(data[at + 4 : end])
        at = end
    if len(found) != count:
        _refuse(f"the binary data holds {len(found)} elements; the shape says {count}", where)
    return found


def _packed(values: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in values)


def _little(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))


def _fault(index: int, detail: str) -> dict[str, str]:
    return {"pointer": f"/inputs/{index}", "detail": detail}


def _refuse(detail: str, where: str) -> NoReturn:
    raise InvalidTensor(detail, pointer=where)
