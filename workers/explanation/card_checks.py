"""What the keys of a card's [input] promise each other."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from workers.explanation.card import IDS, OPEN, ImageSpec, InputSpec, Output, PerChannel
from workers.explanation.errors import InvalidFolder

CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}


def check_input(spec: InputSpec, where: str, section: str = "input") -> InputSpec:
    """The same spec; raises InvalidFolder for the first pair of keys that contradict each other."""
    for problem in (*_shape(spec), *_image(spec), *_range(spec), *_table(spec), *_ids(spec)):
        raise InvalidFolder(f"{where}: {problem.replace('[input', f'[{section}')}")
    return spec


def _ids(spec: InputSpec) -> Iterator[str]:
    if spec.parts or spec.kind == "several":
        yield '[input] kind = "several" and parts are not for a card; give each input a section [inputs.NAME]'
    if spec.kind == "text":
        yield from _text(spec)
        return
    for key in ("tokenizer", "pair"):
        if getattr(spec, key):
            yield f'[input] {key} is for texts; set kind = "text", or remove it'
    for key in ("length", "padding", "mask"):
        if getattr(spec, key) is not None and spec.dtype != "int64":
            yield f'[input] {key} is for tokens; set dtype = "int64" or kind = "text", or remove it'
    if spec.dtype == "int64" and spec.kind != "tensor":
        yield '[input] dtype = "int64" is for tensors of ids; an image is float32'
    elif spec.dtype == "int64" and (spec.low is not None or spec.high is not None):
        yield "[input] low and high are for numbers; ids have no range to be moved in"
    if spec.held and spec.kind == "image":
        yield "[input] held is for context, as a mask; an image is explained, or given as a tensor"


def _text(spec: InputSpec) -> Iterator[str]:
    if spec.tokenizer is None:
        yield "[input] tokenizer is missing; a text needs the name of a tokenizer.json in the folder"
    if spec.held or spec.low is not None or spec.high is not None or spec.names:
        yield "[input] held, low, high and names are not for texts; remove them"
    if len(spec.shape) != 1:
        yield f'[input] shape is {list(spec.shape)}; of a text it is one axis of tokens, as [128], or ["*"]'
    elif spec.length is None:
        yield "[input] length is missing; it is the most tokens that a text may have, as 128"
    elif spec.shape[0] not in (OPEN, spec.length):
        yield f"[input] length is {spec.length} and the shape is {list(spec.shape)}; they should be the same number"
    if IDS not in spec.feeds or len(set(spec.feeds)) < len(spec.feeds):
        yield f'[input] feeds is {list(spec.feeds)}; it names each tensor once, and "{IDS}" is one of them'


def check_output(output: Output, shape: tuple[int, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels by class of an output of that shape; raises InvalidFolder where it is none of the kind it is called.

    Of two labels of one logit, the first is what it speaks against, and the second what it speaks for.
    """
    entries = shape[0] if shape else 1
    if output == "binary":
        if prod(shape) != 1:
            raise InvalidFolder(
                f'the model returns the shape {list(shape)} and output = "binary" is one logit; say "multilabel" where '
                'each class has a yes and no of its own, or "logits" where they exclude each other'
            )
        labels = labels[1:] if len(labels) == 2 else labels
    if not shape and output not in ("binary", "probabilities", "value"):
        raise InvalidFolder(
            'the model returns one number; say output = "binary" in [model] of card.toml for a logit, "probabilities" '
            'for a probability, or "value" for a quantity'
        )
    if labels and len(labels) != entries and not (output == "value" and not shape):
        raise InvalidFolder(f"the labels file names {len(labels)} classes and the model has {entries}; one name a line")
    return labels


def _shape(spec: InputSpec) -> Iterator[str]:
    shape = list(spec.shape)
    if "shape" not in spec.model_fields_set and spec.kind != "text":
        yield "[input] shape is missing; it should be a list of positive whole numbers without the batch axis"
        return
    if not shape or any(size < 1 and size != OPEN for size in shape):
        yield f"[input] shape is {shape}; it should be a list of positive whole numbers without the batch axis"
        return
    if spec.axes and len(spec.axes) != len(shape):
        yield f"[input] axes names {len(spec.axes)} axes; the shape {shape} has {len(shape)}"
    if spec.names and len(spec.names) != shape[0]:
        yield f"[input] names has {len(spec.names)} entries; the first axis of the shape {shape} has {shape[0]}"


def _table(spec: InputSpec) -> Iterator[str]:
    if spec.kind != "table":
        for key in ("categories", "background"):
            if getattr(spec, key):
                yield f'[input] {key} is for tables; set kind = "table", with the names of the columns'
        return
    if len(spec.shape) != 1:
        yield f"[input] shape is {list(spec.shape)}; a table has one axis, its columns"
    if not spec.names:
        yield '[input] names is missing; with kind = "table" it names the columns'
    if len(set(spec.names)) < len(spec.names) or not all(spec.names):
        yield "[input] names should name each column once"
    for column, values in spec.categories.items():
        where = f"[input.categories] {column}"
        if column not in spec.names:
            yield f"{where} is no column; there are {', '.join(spec.names)}"
        elif len(values) < 2 or len({str(value) for value in values}) < len(values):
            yield f"{where} should list two values or more, each once"
        elif len({isinstance(value, str) for value in values}) > 1:
            yield f"{where} should list texts alone, or numbers alone"


def _image(spec: InputSpec) -> Iterator[str]:
    if spec.kind != "image":
        if spec.image is not None:
            yield '[input.image] is for images; set kind = "image", or remove the section'
        return
    if spec.image is None:
        yield 'the section [input.image] is missing; with kind = "image" it says how an image becomes the tensor'
    elif len(spec.shape) != 3 or spec.shape[0] != CHANNELS[spec.image.mode]:
        right = f"[{CHANNELS[spec.image.mode]}, height, width]"
        yield f"[input] shape is {list(spec.shape)}; with mode {spec.image.mode} it should be {right}"
    else:
        yield from _normalisation(spec.image, spec.shape[0])
        yield from _size(spec.image, spec.shape[1:])


def _normalisation(image: ImageSpec, channels: int) -> Iterator[str]:
    for key, values in (("mean", image.mean), ("std", image.std)):
        if len(values) != channels:
            yield f"[input.image] {key} has {len(values)} numbers; mode {image.mode} has {channels} channels"
    if min(image.std, default=1) <= 0:
        yield "[input.image] std holds a number that is not positive; pixels are divided by it"
    if image.scale <= 0:
        yield f"[input.image] scale is {image.scale}; it should be positive, as 1.0 or 255.0"


def _size(image: ImageSpec, size: tuple[int, ...]) -> Iterator[str]:
    wanted = f"the shape's height and width {list(size)}"
    sides = image.resize if isinstance(image.resize, tuple) else (image.resize,) * 2
    if any(side is not None and side < 1 for side in (*sides, image.crop)):
        yield "[input.image] resize and crop should be positive whole numbers of pixels"
    elif OPEN in size:
        if image.crop is not None or isinstance(image.resize, tuple):
            yield "[input.image] crop and resize = [height, width] fix a size that the shape leaves open; remove them"
    elif image.crop is not None:
        if size != (image.crop, image.crop):
            yield f"[input.image] crop is {image.crop}; it should give {wanted}"
        elif any(side is not None and side < image.crop for side in sides):
            yield f"[input.image] resize is smaller than crop = {image.crop}; it should be at least as large"
    elif isinstance(image.resize, int):
        yield f"[input.image] resize = {image.resize} sets the shorter side only; add crop, or give [height, width]"
    elif image.resize is not None and image.resize != size:
        yield f"[input.image] resize is {list(image.resize)}; without crop it should be {wanted}"


def _range(spec: InputSpec) -> Iterator[str]:
    if spec.low is None and spec.high is None:
        return
    if spec.kind == "image":
        yield "[input] low and high are for tensors; an image's range follows from [input.image]"
        return
    for key, value in (("low", spec.low), ("high", spec.high)):
        if isinstance(value, tuple) and len(value) != spec.shape[0]:
            yield f"[input] {key} has {len(value)} numbers; the first axis of the shape has {spec.shape[0]}"
            return
    if spec.low is None or spec.high is None:
        yield "[input] low and high come together; one of them is missing"
    elif any(a >= b for a, b in zip(_each(spec.low, spec.shape[0]), _each(spec.high, spec.shape[0]), strict=True)):
        yield "[input] low should be below high in every channel"


def _each(value: PerChannel, count: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * count
