"""What the command line of an export says of the inputs: their names, shapes, kinds and examples."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from torch import Tensor, nn

from workers.explanation.card import OPEN, InputSpec
from workers.explanation.errors import InputError, InvalidFolder
from workers.explanation.images.decoding import prepare
from workers.explanation.inputs import ONE, fits, spoken
from workers.explanation.tensors import as_float32, decode_npy, decode_safetensors

EXAMPLES = 8  # of a file of many, more would take long and show no more
IMAGE_OPTIONS = ("mode", "resize", "crop", "scale", "mean", "std")
IMAGE_RANK = 3


def sections_of(options: argparse.Namespace, module: nn.Module) -> dict[str, dict[str, Any]]:
    """The card's section of each input by its name, in the order of the module's arguments; `input` of one alone."""
    shapes = [shape for _, shape in options.shape]
    given = [name for name, _ in options.shape]
    names = options.names or (_arguments(module) if len(shapes) > 1 else [])
    if any(given):
        names = given
    several = len(shapes) > 1 or names
    if several and (len(names) < len(shapes) or not all(names) or len(options.names or shapes) != len(shapes)):
        raise InvalidFolder(
            f"{len(shapes)} shapes and the names {', '.join(filter(None, names)) or '(none)'}: name each input once, "
            "in the order of the model's arguments, as --names image,row --shape 3,64,64 --shape 5"
        )
    by_name = dict(zip(names if several else [ONE], shapes, strict=False))
    for option in ("ids", "held"):
        for name in getattr(options, option):
            if name not in by_name:
                raise InvalidFolder(f"--{option} {name}: there is no such input; there are: {', '.join(by_name)}")
    axes = _axes(options.axes, by_name)
    return {name: _section(name, shape, options, axes.get(name)) for name, shape in by_name.items()}


def _axes(given: Sequence[tuple[str, list[str]]], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[str]]:
    found = {name or next(iter(shapes)): axes for name, axes in given}
    for name, axes in found.items():
        if name not in shapes or len(axes) != len(shapes[name]):
            raise InvalidFolder(
                f"--axes {name}={','.join(axes)}: it should be a name for each axis of an input, as --axes "
                f"{next(iter(shapes))}=channel,time"
            )
    return found


def _arguments(module: nn.Module) -> list[str]:
    """The names of what forward takes."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _section(name: str, shape: tuple[int, ...], options: argparse.Namespace, axes: list[str] | None) -> dict[str, Any]:
    section: dict[str, Any] = {"kind": "tensor", "shape": ["*" if size == OPEN else size for size in shape]}
    if name in options.ids:
        section["dtype"] = "int64"
    if name in options.held:
        section["held"] = True
    if axes:
        section["axes"] = axes
    if len(shape) == IMAGE_RANK and shape[0] in (1, 3) and not axes and name not in (*options.ids, *options.held):
        image = {key: getattr(options, key) for key in IMAGE_OPTIONS}
        image["mode"] = image["mode"] or ("RGB" if shape[0] == IMAGE_RANK else "L")
        if image["resize"] is None and image["crop"] is None and OPEN not in shape:
            image["resize"] = list(shape[1:])
        section["kind"] = "image"
        section["image"] = {key: value for key, value in image.items() if value is not None}
    return section


def examples(options: argparse.Namespace, inputs: Mapping[str, InputSpec]) -> dict[str, Tensor] | None:
    """The examples of --example by name (n, *shape), pictures prepared as the card says; None without any.

    Of several inputs each is a file of its own, NAME=FILE, or all are in one .safetensors file.
    """
    if not options.example:
        return None
    found: dict[str, Tensor] = {}
    for name, path in options.example:
        if not name and len(inputs) > 1:
            found |= _together(path, inputs)
        else:
            own = name or next(iter(inputs))
            if own not in inputs:
                raise InvalidFolder(f"--example {own}: there is no such input; there are: {', '.join(inputs)}")
            found[own] = _example(path, inputs[own])
    if found.keys() != inputs.keys():
        missing = ", ".join(sorted(inputs.keys() - found.keys()))
        raise InvalidFolder(f"--example: none is given of {missing}; say --example NAME=FILE for each")
    count = min(len(rows) for rows in found.values())
    return {name: found[name][:count] for name in inputs}


def _together(path: Path, inputs: Mapping[str, InputSpec]) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        raise InvalidFolder(
            f"--example {path}: the model has the inputs {', '.join(inputs)}; say --example NAME=FILE for each, or "
            "give a .safetensors file of all"
        )
    arrays = load_safetensors(path.read_bytes())
    return {name: _rows(path, as_float32(arrays[name]), spec) for name, spec in inputs.items() if name in arrays}


def _example(path: Path, spec: InputSpec) -> Tensor:
    data = path.read_bytes()
    try:
        if path.suffix == ".npy":
            values = as_float32(decode_npy(data, len(data)))
        elif path.suffix == ".safetensors":
            values = as_float32(decode_safetensors(data, len(data)))
        elif spec.image is not None:
            values = prepare(data, spec.image, spec.shape)[0]
        else:
            raise InvalidFolder(f"--example {path}: it should be a .npy or a .safetensors file")
    except InputError as error:
        raise InvalidFolder(f"--example {path}: {error.detail}") from None
    return _rows(path, values, spec)


def _rows(path: Path, values: NDArray[Any], spec: InputSpec) -> Tensor:
    if not fits(spec, values.shape) and not fits(spec, values.shape[1:]):
        raise InvalidFolder(
            f"--example {path}: its shape is {list(values.shape)}; it should be {spoken(spec)}, or several"
        )
    rows = values[None] if fits(spec, values.shape) else values
    return torch.from_numpy(rows)[:EXAMPLES]


def named_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    return name, tuple(OPEN if part.strip() == "*" else int(part) for part in sizes.split(","))


def named_words(text: str) -> tuple[str, list[str]]:
    name, _, rest = text.rpartition("=")
    return name, words(rest)


def named_file(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=") if "=" in text and not Path(text).is_file() else ("", "", text)
    return name, existing_file(file)


def words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def index_or_key(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def sides(text: str) -> int | list[int]:
    given = [int(part) for part in text.split(",")]
    return given[0] if len(given) == 1 else given


def existing_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)
