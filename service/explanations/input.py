"""The input of a request: sniffed, checked against the model's card before anything is decoded, and digested."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from numpy.typing import NDArray

from service.explanations.request_schema import ExplanationRequest, InputField
from service.explanations.table_input import row_of_json, row_of_text, taken
from service.http.base64_text import from_base64
from service.http.bodies import Body
from service.http.errors import Invalid, moved
from service.queue.storage import Input
from service.settings import Settings
from workers.contract import (
    OPEN,
    File,
    FileKind,
    ImageSpec,
    InputKind,
    InputSpec,
    InputTooLarge,
    InvalidImage,
    InvalidTensor,
    InvalidText,
    ModelCard,
    as_float32,
    bundle,
    check_row,
    decode_npy,
    decode_safetensors,
    decode_text,
    describe_file,
    digest_image,
    digest_inputs,
    digest_tensor,
    digest_text,
    encode_npy,
    fit_of,
    fits,
    from_json,
    inspect,
    meant,
    spoken,
    unbundle,
)

LETTERS = 3  # of a token, about
_NPY = b"\x93NUMPY"
_SAFETENSORS = re.compile(rb".{2,4}\0{4,6}\{", re.DOTALL)


def read_inputs(request: ExplanationRequest, body: Body, card: ModelCard, settings: Settings) -> Input | None:
    """The input of a request, or all of several as one; None where it has none, or names one by digest.

    Raises Invalid, InvalidImage, InvalidTensor, InvalidText, InputTooLarge.
    """
    sent = [body.upload is not None, request.input is not None, request.inputs is not None or bool(body.parts)]
    if sum(sent) > 1:
        raise Invalid([{"pointer": "/input", "detail": "the input came twice: as bytes, and in the request"}])
    if not sent[2]:
        if len(card.inputs) > 1 and (body.upload is not None or _is_of_one(request.input)):
            raise InvalidTensor(f"the model takes {_named(card)}", pointer="/input")
        return read_input(request.input, body.upload, card.only, settings)
    return named_input(request.inputs or {}, body.parts, card, settings)


def _is_of_one(given: InputField | None) -> bool:
    """Whether a field holds one input itself: no digest, and no dataset, which are of all inputs together."""
    return given is not None and given.digest is None and given.dataset is None


def named_input(
    given: Mapping[str, InputField], parts: Mapping[str, bytes], card: ModelCard, settings: Settings
) -> Input:
    """All inputs of a model by their names, some as fields, some as the bytes of files, as one.

    Raises Invalid, InvalidImage, InvalidTensor, InputTooLarge.
    """
    _check_names((*given, *parts), card)
    files = {name: _file(name, given.get(name), parts.get(name), card, settings) for name in card.named}
    if len(files) == 1:
        (one,) = files.values()
        return Input(one.digest, one.kind, one.data)
    return Input(digest_inputs(files), "inputs", bundle(files))


def _check_names(given: Sequence[str], card: ModelCard) -> None:
    """Raise Invalid where an input is not the model's, came twice, or is missing."""
    for name in given:
        if name not in card.named:
            raise Invalid([{"pointer": f"/inputs/{name}", "detail": f"no such input; {meant(name, card.named)}"}])
        if given.count(name) > 1:
            raise Invalid([{"pointer": f"/inputs/{name}", "detail": "it came twice: as a part, and in the request"}])
    if missing := ", ".join(name for name in card.named if name not in given):
        raise Invalid(
            [{"pointer": "/inputs", "detail": f"there is nothing for {missing}; the model takes {_named(card)}"}]
        )


def _file(name: str, given: InputField | None, part: bytes | None, card: ModelCard, settings: Settings) -> File:
    """One of several inputs; what is wrong with it is told with its name."""
    at = f"/inputs/{name}"
    try:
        found = read_input(given, part, card.named[name], settings, at)
    except (InvalidImage, InvalidTensor, InvalidText, InputTooLarge) as error:
        pointer = error.pointer if error.pointer and error.pointer.startswith(at) else at
        raise moved(error, pointer, f"the input {name}: ") from None
    if found is None or found.data is None:
        raise Invalid([{"pointer": f"{at}/digest", "detail": "a digest is of all inputs: give it as input"}])
    return File(cast(FileKind, found.kind), found.digest, found.data)


def input_shapes(given: Input, card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs whose bytes were sent, by name: what work on them is reckoned by."""
    if given.data is None:
        return {}
    files = unbundle(given.data) if given.kind == "inputs" else {next(iter(card.named)): (given.kind, given.data)}
    return {name: _shape(kind, data, card.named[name]) for name, (kind, data) in files.items()}


def _shape(kind: InputKind, data: bytes, spec: InputSpec) -> tuple[int, ...]:
    if kind == "text":  # which its tokenizer knows, and that is the worker's
        return (min(spec.length or len(data), len(data) // LETTERS + 2),)
    if kind != "image":
        return decode_npy(data, len(data)).shape
    header, image = inspect(data), spec.image or ImageSpec()
    fit = fit_of((header.width, header.height), image)
    return (spec.shape[0], fit.height, fit.width)


def _named(card: ModelCard) -> str:
    """What a model takes, in words."""
    if not card.inputs:
        return "one input: give it as input"
    told = ", ".join(f"{name} ({one.kind} {spoken(one)})" for name, one in card.inputs.items())
    return f"the inputs {told}, by name: as inputs in JSON, or a part of a form for each"


def read_input(
    given: InputField | None, upload: bytes | None, spec: InputSpec, settings: Settings, at: str = "/input"
) -> Input | None:
    """The input, or None where the request has none or names one by digest.

    Raises InvalidImage, InvalidTensor, InvalidText, InputTooLarge.
    """
    if upload is not None:
        return file_input(upload, spec, settings, at)
    if given is None or given.digest is not None or given.dataset is not None:
        return None
    if given.image is not None:
        if spec.kind == "text":
            raise InvalidText("the model takes a text, not an image", pointer=f"{at}/image")
        return file_input(from_base64(given.image, f"{at}/image"), spec, settings, at)
    if given.table is not None:
        return tensor_input(row_of_json(given.table, spec, f"{at}/table"), spec, at)
    if given.text is not None:
        return text_input(given.text.encode(), spec, f"{at}/text")
    assert given.tensor is not None
    if spec.kind == "text":
        return ids_input(from_json(given.tensor), spec, f"{at}/tensor")
    wanted = None if OPEN in spec.shape else spec.shape
    return tensor_input(from_json(given.tensor, wanted), spec, f"{at}/tensor")


def file_input(data: bytes, spec: InputSpec, settings: Settings, at: str = "/input") -> Input:
    """What the first bytes say it is, whatever it is called and however it came."""
    if spec.kind == "text":
        if data.startswith(_NPY):
            return ids_input(decode_npy(data, settings.body_limit), spec, at)
        if (what := describe_file(data)) is not None:
            raise InvalidText(f"the model takes a text; {what}", pointer=at)
        return text_input(data, spec, at)
    if data.startswith(_NPY):
        return tensor_input(decode_npy(data, settings.body_limit), spec, at)
    if _SAFETENSORS.match(data):
        return tensor_input(decode_safetensors(data, settings.body_limit), spec, at)
    if spec.kind == "table":
        return tensor_input(row_of_text(data, spec, at), spec, at)
    if spec.kind != "image":
        takes = f"the model takes a tensor of the shape {spoken(spec)}"
        if (what := describe_file(data)) is not None:
            raise InvalidTensor(f"{takes}; the file is {what.removeprefix('the file is ')}", pointer=at)
        raise _no_tensor(data, takes, at)
    inspect(data, settings.pixel_limit)
    return Input(digest_image(data), "image", data)


def _no_tensor(data: bytes, takes: str, pointer: str) -> InvalidImage | InvalidTensor:
    """Why bytes are no tensor: they are an image, or nothing that is known."""
    try:
        inspect(data)
    except InvalidImage:
        told = "as a .npy or .safetensors file, or as numbers in JSON; these bytes are neither"
        return InvalidTensor(f"{takes}, {told}; rows of a .csv go as a dataset", pointer=pointer)
    return InvalidImage(f"{takes}, not an image", pointer=pointer)


def text_input(data: bytes, spec: InputSpec, pointer: str) -> Input:
    """The text of UTF-8 bytes."""
    if spec.kind != "text":
        raise InvalidText(f"the model takes {taken(spec)}, not a text", pointer=pointer)
    text = decode_text(data, pointer)
    return Input(digest_text(text), "text", data)


def ids_input(values: NDArray[Any], spec: InputSpec, pointer: str) -> Input:
    """The ids of a text that a client has made itself, one for each token; a leading axis of 1 is dropped."""
    row = values[0] if values.ndim == 2 and len(values) == 1 else values
    if row.ndim != 1 or len(row) > (spec.length or 0):
        raise InvalidTensor(
            f"the tensor has the shape {list(values.shape)}; the model takes a text, or its ids: up to {spec.length}",
            pointer=pointer,
        )
    return tensor_of(row)


def tensor_input(values: NDArray[Any], spec: InputSpec, pointer: str = "/input") -> Input:
    """The tensor as float32 of the model's shape; a leading axis of 1 is dropped."""
    if values.ndim == 0:
        raise InvalidTensor(
            f"the tensor is a single number, without axes; the model takes {spoken(spec)}", pointer=pointer
        )
    row = values[0] if values.shape[:1] == (1,) and fits(spec, values.shape[1:]) else values
    if not fits(spec, row.shape):
        raise InvalidTensor(
            f"the tensor has the shape {list(values.shape)}; the model takes {spoken(spec)}", pointer=pointer
        )
    check_row(as_float32(row), spec, pointer)
    return tensor_of(row)


def tensor_of(row: NDArray[Any]) -> Input:
    """The stored form of a tensor."""
    tensor = as_float32(row)
    return Input(digest_tensor(tensor), "tensor", encode_npy(tensor))
