"""Tensors of the Open Inference Protocol, as JSON and in the binary tensor extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, model_validator

from service.http.base64_text import from_base64
from service.http.bodies import MOST_PARTS
from service.http.errors import Invalid, MalformedBody
from service.http.json_text import LONGEST_TEXT, check_small, json_value
from service.http.pointers import pointers
from workers.contract import MOST_NUMBERS, InvalidImage, InvalidTensor, from_bfloat16, from_json

LENGTH = "inference-header-content-length"
BYTES, BFLOAT = "BYTES", "BF16"
MOST_INPUTS = MOST_PARTS + 1  # the targets
MOST_OUTPUTS, MOST_PARAMETERS = MOST_PARTS + 2, 1000  # a number of arrays, and the documents
DATATYPES = {
    "BOOL": "bool",
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
BASE64, AS_THEY_ARE = "base64", (None, "str", "np", "pd")  # of MLServer's codecs
LONGEST_CODEC = 40
NAMES = {dtype: datatype for datatype, dtype in DATATYPES.items()}

Text: TypeAlias = Annotated[str, Field(max_length=LONGEST_TEXT)]
Name: TypeAlias = Annotated[str, Field(max_length=300)]
Values: TypeAlias = NDArray[Any] | list[bytes] | list[str]  # elements that came as JSON are text
Output: TypeAlias = NDArray[Any] | list[bytes]


class _Lenient(BaseModel):
    """What is null counts as what is not there, as clients write it that know of members which they do not use."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: one for name, one in given.items() if one is not None} if isinstance(given, dict) else given


class InputTensor(_Lenient):
    """A tensor of a request: its values in `data`, or in `binary_data_size` bytes after the JSON."""

    name: Name
    shape: list[NonNegativeInt] = Field(max_length=8)
    datatype: str = Field(json_schema_extra={"enum": [*DATATYPES, BFLOAT, BYTES]})
    parameters: dict[str, Any] = Field(default={}, max_length=MOST_PARAMETERS, description="`binary_data_size`.")
    data: list[Any] | None = Field(
        default=None, max_length=MOST_NUMBERS, description="Row by row in one list, or nested; images in base64."
    )


class OutputAsked(_Lenient):
    """An output that the client wants."""

    name: Name
    parameters: dict[str, Any] = Field(
        default={},
        max_length=MOST_PARAMETERS,
        description="`binary_data`: after the JSON instead of in it. `classification`: so many of the highest scores, "
        "as texts `score:index:label`.",
    )

    @property
    def classes(self) -> int | None:
        """How many of the highest classes are asked for, instead of the scores."""
        count: int | None = self.parameters.get("classification")
        return count


class InferenceRequest(_Lenient):
    """A request of the Open Inference Protocol."""

    id: str = Field(default="", max_length=1000)
    inputs: list[InputTensor] = Field(min_length=1, max_length=MOST_INPUTS)
    outputs: list[OutputAsked] = Field(default=[], max_length=MOST_OUTPUTS)
    parameters: dict[
        str, bool | int | float | Text | Annotated[dict[str, Any], Field(max_length=MOST_PARAMETERS)] | None
    ] = Field(default={}, max_length=MOST_PARAMETERS, description="Of the method: `whence.steps`.")


def read_request(
    body: bytes, length: str | None, most: int, fits: Callable[[InputTensor], None]
) -> tuple[InferenceRequest, dict[str, Values]]:
    """The request and the values of its inputs by name; `length` is that of the JSON before the binary data.

    `most`: how many commas the JSON may hold; `fits` raises for a tensor of another shape than the model takes, before
    it is made. Raises MalformedBody, Invalid, InputTooLarge, InvalidTensor.
    """
    if length is not None and not (length.isdecimal() and int(length[:20]) <= len(body)):
        raise MalformedBody("Inference-Header-Content-Length is the length of the JSON at the body's beginning")
    end = len(body) if length is None else int(length)
    content = json_value(body[:end], "", most)
    check_small(_without_data(content), "")
    try:
        request = InferenceRequest.model_validate(content)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        raise Invalid(pointers(errors, raw=content, kind=InferenceRequest)) from None
    _check_parameters(request)
    values: dict[str, Values] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in values:
            raise Invalid([_fault(index, "two tensors have this name")])
        fits(tensor)
        size, where = tensor.parameters.get("binary_data_size"), f"/inputs/{index}"
        codec = tensor.parameters.get("content_type", request.parameters.get("content_type"))
        if size is None:
            values[tensor.name] = _elements(_from_json(tensor, where), codec, where)
            continue
        if type(size) is not int or not 0 <= size <= len(body) - end:
            raise Invalid([_fault(index, f"binary_data_size is a number of bytes; {len(body) - end} are left")])
        values[tensor.name] = _elements(_from_binary(tensor, body[end : end + size], where), codec, where)
        end += size
    if end != len(body):
        raise MalformedBody(f"{len(body) - end} bytes follow what the inputs' binary_data_size take")
    return request, values


def _without_data(content: Any) -> Any:
    """A request less the numbers of its tensors, where it has no more of these than it may."""
    inputs = content.get("inputs") if isinstance(content, dict) else None
    if not isinstance(inputs, list) or len(inputs) > MOST_INPUTS:
        return content
    less = [{**one, "data": None} if isinstance(one, dict) else one for one in inputs]
    return {**content, "inputs": less}


def _check_parameters(request: InferenceRequest) -> None:
    """Raises Invalid for what would change the answer and is not done here."""
    for place, each in (("inputs", request.inputs), ("outputs", request.outputs)):
        for index, parameters in enumerate(one.parameters for one in each):
            for name, value in parameters.items():
                pointer, wrong = f"/{place}/{index}/parameters/{name}", None
                if name.startswith("shared_memory"):
                    wrong = "memory is not shared here; send data, or binary_data_size, and read the answer's"
                elif name == "classification" and value is not None and not (type(value) is int and value > 0):
                    wrong = "a number of classes, at least 1"
                elif name == "binary_data" and not isinstance(value, bool | None):
                    wrong = "this is true or false"
                if wrong is not None:
                    raise Invalid([{"pointer": pointer, "detail": wrong}])


def written(outputs: Mapping[str, Output], head: Mapping[str, Any], binary: Mapping[str, bool]) -> tuple[Any, bytes]:
    """The JSON of an answer, and the bytes that follow it."""
    told, rest = [], b""
    for name, values in outputs.items():
        texts = values if isinstance(values, list) else values.ravel().tolist() if values.dtype == object else None
        datatype = BYTES if texts is not None else NAMES[np.asarray(values).dtype.name]
        about = {
            "name": name,
            "datatype": datatype,
            "shape": [len(values)] if values is texts else list(np.shape(values)),
        }
        if binary[name]:
            data = _packed(texts) if texts is not None else _little(np.asarray(values)).tobytes()
            told.append({**about, "parameters": {"binary_data_size": len(data)}})
            rest += data
        else:
            flat: Any = [one.decode() for one in texts] if texts is not None else _little(np.asarray(values)).ravel()
            told.append({**about, "data": flat})
    return {**head, "outputs": told}, rest


def _from_json(tensor: InputTensor, where: str) -> Values:
    if tensor.data is None:
        _refuse("a tensor has data, or the parameter binary_data_size", where)
    if tensor.datatype == BYTES:
        flat = _flat(tensor.data)
        if len(flat) != math.prod(tensor.shape) or any(not isinstance(one, str) for one in flat):
            _refuse(f"data holds {math.prod(tensor.shape)} strings, as shape says", where)
        return flat
    if tensor.datatype == BFLOAT:
        _refuse(f"{BFLOAT} comes as binary data alone; as JSON, send FP32", where)
    if tensor.datatype not in DATATYPES:
        _refuse(f"datatype is one of {', '.join([*DATATYPES, BFLOAT, BYTES])}", where)
    try:
        return from_json({"shape": tensor.shape, "dtype": DATATYPES[tensor.datatype], "data": tensor.data})
    except InvalidTensor as error:
        raise InvalidTensor(error.detail, pointer=where) from None


def _flat(data: list[Any]) -> list[Any]:
    """Nested lists as one list, row by row."""
    while any(isinstance(one, list) for one in data):
        data = [inner for one in data for inner in (one if isinstance(one, list) else [one])]
    return data


def _elements(values: Values, codec: Any, where: str) -> Values:
    """Elements of BYTES by the codec of MLServer that wrote them: of base64 the bytes that are meant."""
    if not isinstance(values, list) or codec in AS_THEY_ARE:
        return values
    if codec != BASE64:
        _refuse(
            f"elements of the content type {str(codec)[:LONGEST_CODEC]!r} are not read: send a text as it is (str), or "
            f"a text or an image's file in {BASE64}",
            f"{where}/parameters/content_type",
        )
    texts = (one if isinstance(one, str) else one.decode("ascii", "replace") for one in values)
    try:
        return [from_base64(one, where) for one in texts]
    except InvalidImage:
        _refuse("the content type is base64, and an element is none: a character is not of it, or it is cut", where)


def _from_binary(tensor: InputTensor, data: bytes, where: str) -> Values:
    if tensor.datatype == BYTES:
        return _unpacked(data, math.prod(tensor.shape), where)
    if tensor.datatype not in (*DATATYPES, BFLOAT):
        _refuse(f"datatype is one of {', '.join([*DATATYPES, BFLOAT, BYTES])}", where)
    dtype = np.dtype(DATATYPES.get(tensor.datatype, "uint16")).newbyteorder("<")
    wanted = math.prod(tensor.shape) * dtype.itemsize
    if len(data) != wanted:
        _refuse(f"{tensor.datatype} of the shape {tensor.shape} takes {wanted} bytes; there are {len(data)}", where)
    found = np.frombuffer(data, dtype).reshape(tensor.shape).astype(dtype.newbyteorder("="))
    return from_bfloat16(found) if tensor.datatype == BFLOAT else found


def _unpacked(data: bytes, count: int, where: str) -> list[bytes]:
    """Elements with their lengths before them, as 4 bytes each."""
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) <= count:
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            _refuse("an element ends beyond the binary data", where)
        found.append(data[at + 4 : end])
        at = end
    if len(found) != count:
        held = len(found) if at == len(data) else f"more than {count}"
        _refuse(f"the binary data holds {held} elements; the shape says {count}", where)
    return found


def _packed(values: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in values)


def _little(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))


def _fault(index: int, detail: str) -> dict[str, str]:
    return {"pointer": f"/inputs/{index}", "detail": detail}


def _refuse(detail: str, where: str) -> NoReturn:
    raise InvalidTensor(detail, pointer=where)
