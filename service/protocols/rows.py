"""Between tensors with a batch axis and single explanations: a request's rows, the outputs of their answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.explanations.documents import result_document
from service.explanations.input import file_input, named_input, tensor_input
from service.http.base64_text import from_base64
from service.http.errors import Invalid
from service.http.json_text import json_value
from service.protocols.instances import Answer, Instance
from service.protocols.tensor_encoding import BYTES, InputTensor, Output, Values
from service.queue.storage import Input
from service.settings import Settings
from workers.contract import InputSpec, ModelCard, encode_npy, fits

INPUT, IMAGE, TARGET = "input", "image", "target"
UNNAMED = "input-0"  # as MLServer's codecs name the one input of a request
EXPLANATION = "explanation"


def takes(card: ModelCard) -> list[dict[str, Any]]:
    """The inputs as the metadata tells them; either of the first two, and targets if need be."""
    if len(card.inputs) > 1:
        named = [_taken(name, spec) for name, spec in card.inputs.items()]
        return [*named, {"name": TARGET, "datatype": "INT64", "shape": [-1]}]
    tensor = _taken(INPUT, card.only)
    image = [{"name": IMAGE, "datatype": BYTES, "shape": [-1]}] if card.input.kind == "image" else []
    return [tensor, *image, {"name": TARGET, "datatype": "INT64", "shape": [-1]}]


def _taken(name: str, spec: InputSpec) -> dict[str, Any]:
    """An input: an image as its own tensor, or as files of BYTES; a text as it is."""
    if spec.kind == "text":
        return {"name": name, "datatype": BYTES, "shape": [-1]}
    kind = "INT64" if spec.dtype == "int64" else "FP32"
    return {"name": name, "datatype": kind, "shape": [-1, *spec.shape]}


def gives(card: ModelCard, kind: str) -> list[dict[str, Any]]:
    """The outputs as the metadata tells them; -1 is a size that the method decides."""
    told = {"name": EXPLANATION, "datatype": BYTES, "shape": [-1]}
    if kind == "attribution" and len(card.inputs) > 1:
        own = {name: [-1, *spec.shape] for name, spec in card.inputs.items() if not spec.held}
        return [*({"name": f"{kind}.{name}", "datatype": "FP32", "shape": shape} for name, shape in own.items()), told]
    free = [-1, *card.outputs]
    if kind == "attribution":
        shape = card.only.shape
        free = [-1, -1, *shape[1:]] if len(shape) == 3 else [-1, *shape]
    array = {"name": kind, "datatype": "FP32", "shape": free}
    return [array, told]


def rows(values: Mapping[str, Values], card: ModelCard, settings: Settings, target: Any) -> list[Instance]:
    """An instance of each row; `target` holds for all where there is no tensor of targets.

    Raises Invalid, InvalidTensor, InvalidImage, InputTooLarge.
    """
    if len(card.inputs) > 1:
        found = _rows_of_several({name: one for name, one in values.items() if name != TARGET}, card, settings)
    else:
        found = _rows_of_one(values, card.only, settings)
    targets = [target] * len(found)
    if TARGET in values:
        if target != "argmax":
            _refuse(f"targets came twice: as the tensor {TARGET} and as a parameter")
        targets = _targets(values[TARGET], len(found))
    return [Instance(each, own) for each, own in zip(found, targets, strict=True)]


def _rows_of_one(values: Mapping[str, Values], spec: InputSpec, settings: Settings) -> list[Input]:
    if UNNAMED in values and not values.keys() & {INPUT, IMAGE}:
        values = {_named(name, given): given for name, given in values.items()}
    names = values.keys() - {TARGET}
    if names not in ({INPUT}, {IMAGE}):
        _refuse_names(spec)
    given = values[next(iter(names))]
    if not 0 < len(given) <= settings.most_explanations:
        _refuse(f"one call has 1 to {settings.most_explanations} rows")
    if isinstance(given, list):
        return [file_input(_file(one, spec), spec, settings) for one in given]
    if not fits(spec, given.shape[1:]):
        _refuse(f"{INPUT} has the shape {list(given.shape)}; the model takes {[-1, *spec.shape]}")
    return [tensor_input(row, spec, "/inputs") for row in given]


def _rows_of_several(values: Mapping[str, Values], card: ModelCard, settings: Settings) -> list[Input]:
    """Tensors by the names of the inputs, each with a row for each instance; texts and bytes are files."""
    counts = {len(one) for one in values.values()}
    if len(counts) > 1 or not 0 < max(counts, default=0) <= settings.most_explanations:
        _refuse(f"the inputs {', '.join(card.inputs)} have the same number of rows, 1 to {settings.most_explanations}")
    files = [
        {
            name: _file(one[row], card.inputs.get(name)) if isinstance(one, list) else encode_npy(one[row])
            for name, one in values.items()
        }
        for row in range(max(counts))
    ]
    return [named_input({}, parts, card, settings) for parts in files]


def check_shape(tensor: InputTensor, card: ModelCard, most: int) -> None:
    """Raises Invalid where a tensor of a request has more rows than a call may have, or rows of another shape.

    The model's own input alone has a shape; files and targets are one for each row.
    """
    several = len(card.inputs) > 1
    if several and tensor.name not in (*card.inputs, TARGET):
        _refuse(f"the inputs are {', '.join(card.inputs)}, and {TARGET} if need be")
    if not several and tensor.name not in (INPUT, IMAGE, TARGET, UNNAMED):
        _refuse_names(card.only)
    spec = card.inputs.get(tensor.name, card.only)
    size, numbers = math.prod(tensor.shape), tensor.name != TARGET and tensor.datatype != BYTES
    count = tensor.shape[0] if numbers and tensor.shape else size
    if not 0 < count <= most:
        _refuse(f"one call has 1 to {most} rows; the shape of {tensor.name} says {count}")
    if numbers and not fits(spec, tensor.shape[1:]):
        _refuse(f"{tensor.name} has the shape {tensor.shape}; the model takes {[-1, *spec.shape]}")


def _named(name: str, given: Values) -> str:
    """The name of an input that came under none: texts and bytes are files, numbers the model's own input."""
    return name if name != UNNAMED else IMAGE if isinstance(given, list) else INPUT


def classified(scores: NDArray[Any], count: int, labels: Sequence[str]) -> NDArray[Any]:
    """Triton's classification extension: of each row the highest `count` of its scores, as `score:index:label`.

    (n, classes) becomes (n, count) of bytes.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    told = [
        [f"{row[i]:f}:{i}" + (f":{labels[i]}" if i < len(labels) else "") for i in chosen]
        for row, chosen in zip(scores, best.tolist(), strict=True)
    ]
    return np.array([[one.encode() for one in each] for each in told], dtype=object)


def outputs(kind: str, found: Sequence[Answer]) -> dict[str, Output]:
    """The arrays with a batch axis, where they are of one shape, and the document of each as JSON."""
    arrays = [one.array for one in found if one.array is not None]
    told: dict[str, Output] = {EXPLANATION: [orjson.dumps(result_document(one.meta)) for one in found]}
    if len(arrays) == len(found) and len({array.shape for array in arrays}) == 1:
        return {kind: np.stack(arrays), **told}
    named = {name: [one.named[name] for one in found if name in one.named] for name in found[0].named}
    alike = all(len(own) == len(found) and len({array.shape for array in own}) == 1 for own in named.values())
    return ({f"{kind}.{name}": np.stack(own) for name, own in named.items()} if alike else {}) | told


def _file(given: bytes | str, spec: InputSpec | None) -> bytes:
    """A file's bytes; as JSON they are base64, but of a text."""
    if isinstance(given, str) and spec is not None and spec.kind == "text":
        return given.encode()
    return given if isinstance(given, bytes) else from_base64(given, "/inputs")


def _targets(given: Values, count: int) -> list[Any]:
    """A class index for each row, or a label or other target as text."""
    if isinstance(given, list):
        flat: list[Any] = list(given)
    elif given.dtype.kind in "iu" and given.ndim and given.size == len(given):
        flat = given.ravel().tolist()
    else:
        _refuse(f"{TARGET} holds a whole number for each row, or a text")
    if len(flat) != count:
        _refuse(f"{TARGET} has one entry for each row: there are {count} rows and {len(flat)} targets")
    return [_target(one) for one in flat]


def _target(one: Any) -> Any:
    text = one.decode(errors="replace") if isinstance(one, bytes) else one
    if not isinstance(text, str):
        return text
    return json_value(text, f"/inputs/{TARGET}") if text.startswith(("{", "[")) else text


def _refuse_names(spec: InputSpec) -> NoReturn:
    if spec.kind == "text":
        _refuse(f"the texts are named {INPUT}, {UNNAMED} will do, and beside them is {TARGET} if need be")
    _refuse(f"the inputs are one of {INPUT} and {IMAGE}, and {TARGET} if need be")


def _refuse(detail: str) -> NoReturn:
    raise Invalid([{"pointer": "/inputs", "detail": detail}])
