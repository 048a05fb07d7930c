"""ModelCard: what a client must know of a model, in JSON, made by the worker that loaded it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

Mode: TypeAlias = Literal["RGB", "BGR", "L"]
Output: TypeAlias = Literal["logits", "binary", "multilabel", "probabilities", "value", "evidence", "segmentation"]
Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]  # of products; all else is float32 in each
FULL: Precision = "float32"
TOLERANCES: Mapping[Precision, float] = {
    "float32": 1e-3,
    "tf32": 1e-1,
    "bfloat16": 1e-1,
}  # of two machines, of the norm
_CHANNELS = {"channel", "channels", "feature", "features"}
PerChannel: TypeAlias = float | tuple[float, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageSpec(_Frozen):
    """How an image becomes the tensor, in this order: mode, resize, crop, scale, mean and std.

    `resize`: shorter side, or (height, width), in pixels. `crop`: side of the centre crop. `scale`: pixel values are
    0..scale before mean and std, which are per channel in the order of `mode`.
    """

    mode: Mode = "RGB"
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The lowest and highest value of each channel of the model's input: black and white after mean and std."""
        low = tuple((0.0 - m) / s for m, s in zip(self.mean, self.std, strict=True))
        high = tuple((self.scale - m) / s for m, s in zip(self.mean, self.std, strict=True))
        return low, high


Feed: TypeAlias = Literal["input_ids", "attention_mask", "token_type_ids"]
IDS: Feed = "input_ids"
OPEN = -1  # in a shape: an axis of any length, "*" in the card
Size: TypeAlias = Annotated[
    int,
    BeforeValidator(lambda raw: OPEN if raw == "*" else 0 if raw == OPEN else raw),
    PlainSerializer(lambda size: size if size != OPEN else "*"),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"const": "*", "description": "Any length."}]}),
]


class Part(_Frozen):
    """Where an input lies among several that are laid end to end, and its shape there.

    One that is `held` is context, which no method alters or explains. Of ids, which are held, what is explained is the
    `embedding`: a part of its own by the same name, whose last axis is summed over. `channels` is the axis that is none
    of places.
    """

    name: str
    shape: tuple[Size, ...]
    start: int
    channels: int | None = None
    held: bool = False
    embedding: bool = False
    places: tuple[int, ...] | None = Field(
        default=None,
        exclude_if=lambda places: places is None,
        description="Of an embedding that takes some ids alone, as one of each column does: which, counted from 0.",
    )

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """The sizes of the axes that are no channels."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self.channels)

    @property
    def stop(self) -> int:
        """Where the next part begins."""
        return self.start + prod(self.shape)


class InputSpec(_Frozen):
    """An input of a model: `shape` without the batch axis, float32, or ids (int64).

    Of a model of several inputs, or of ids, `parts` says what a method is given: all of them end to end.
    """

    kind: Literal["image", "tensor", "table", "text", "several"] = "tensor"
    shape: tuple[Size, ...] = ()
    image: ImageSpec | None = None
    axes: tuple[str, ...] = ()
    low: PerChannel | None = None
    high: PerChannel | None = None
    names: tuple[str, ...] = ()
    categories: dict[str, tuple[str | float, ...]] = Field(
        default={},
        exclude_if=lambda known: not known,
        description="Of a table, the values of each column that is no quantity. A row holds a text by its place among "
        "them, and a number as it is.",
    )
    background: str | None = Field(
        default=None, exclude_if=lambda file: file is None, description="Rows that stand for the model's usual inputs."
    )
    background_rows: int = Field(default=0, exclude_if=lambda rows: not rows, description="How many there are.")
    dtype: Literal["float32", "int64"] = Field(default="float32", exclude_if=lambda dtype: dtype == "float32")
    held: bool = Field(
        default=False, exclude_if=lambda held: not held, description="Context, which is neither altered nor explained."
    )
    tokenizer: str | None = Field(
        default=None, exclude_if=lambda name: name is None, description="The file that makes ids of a text."
    )
    length: int | None = Field(
        default=None, ge=1, exclude_if=lambda most: most is None, description="Of a text, the most tokens it may have."
    )
    padding: int | None = Field(
        default=None, ge=0, exclude_if=lambda one: one is None, description="The id that stands for no token."
    )
    mask: int | None = Field(
        default=None, ge=0, exclude_if=lambda one: one is None, description="The id that stands for a hidden token."
    )
    feeds: tuple[Feed, ...] = Field(
        default=(IDS,),
        exclude_if=lambda feeds: feeds == (IDS,),
        description="What of a text the model takes, in the order of its arguments.",
    )
    pair: bool = Field(
        default=False,
        exclude_if=lambda pair: not pair,
        description="Whether a text may be two, as a question and where its answer is: the first line, and the rest.",
    )
    parts: tuple[Part, ...] = Field(default=(), exclude_if=lambda parts: not parts)

    @property
    def channel_axis(self) -> int | None:
        """The axis that holds the channels, not counting the batch: the one of that name, else the first.

        None for a flat input, whose features are its places.
        """
        if len(self.shape) == 1:
            return None
        return next((axis for axis, name in enumerate(self.axes) if name.lower() in _CHANNELS), 0)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """The sizes of the axes that are no channels."""
        channels = self.channel_axis
        return tuple(size for axis, size in enumerate(self.shape) if axis != channels)


_STEP = re.compile(r"\.t(0|[1-9]\d{0,6})\.")  # of a recurrent layer, in the name of what it computes
_CALL = re.compile(r"(?:@([1-9]\d{0,6}))?\.(?=[^.@]+$)")  # of a cell that is called step by step


def steps_of(name: str) -> Iterator[tuple[str, int]]:
    """What a name says of the step of a recurrent layer, or of the call of a cell: with a star for it, and which."""
    if at := _STEP.search(name):
        yield f"{name[: at.start()]}.t*.{name[at.end() :]}", int(at[1])
    if at := _CALL.search(name):
        yield f"{name[: at.start()]}@*.{name[at.end() :]}", int(at[1] or 0)


class Layer(_Frozen):
    """One node of the exported graph: `name` is its module path, else its node's name."""

    name: str
    op: str
    shape: tuple[Size, ...] = Field(
        description="Shape of what belongs to one input: without the batch axis, and where the layer has windows, "
        "frames or heads merged into that axis, with an axis that counts them in its place."
    )
    aliases: tuple[str, ...] = ()
    axes: tuple[str, ...] = Field(
        default=(),
        description="The name of each axis of `shape`, as channel, token, time, height, or part for what was merged "
        "into the batch axis; empty: not known.",
    )
    outputs: tuple[str, ...] = Field(
        default=(), exclude_if=lambda names: not names, description="Which of several outputs its value is, by name."
    )
    steps: int = Field(
        default=0,
        exclude_if=lambda count: not count,
        description="Of a value that every step of a recurrent layer has: how many there are. The `*` in its name "
        "stands for the number of the step, from 0; of a cell that is called step by step, `cell@*.c`, the first is "
        "`cell.c` and the next `cell@1.c`.",
    )

    def at(self, step: int) -> str:
        """The name of what one of the steps computes."""
        return self.name.replace(".t*.", f".t{step}.").replace("@*.", f"@{step}." if step else ".")


class MethodSupport(_Frozen):
    """Whether a model supports a method with its default parameters; with others, asking for it tells."""

    name: str
    supported: bool
    reason: str | None = Field(default=None, description="Why not: names the node and what is missing.")
    alternatives: tuple[dict[str, Any], ...] = Field(
        default=(),
        exclude_if=lambda found: not found,
        description="What works instead: parts of a request, {method} or {target}, to be put in place of its own.",
    )


class ModelCard(_Frozen):
    """What a client must know of a model."""

    name: str
    digest: str
    output: Output = "logits"
    input: InputSpec = Field(description="The input; of several, or of ids, all of them end to end.")
    inputs: dict[str, InputSpec] = Field(
        default={}, exclude_if=lambda named: not named, description="The inputs by name, where there are several."
    )
    outputs: tuple[Size, ...] = Field(description="Shape of the output, without the batch axis.")
    returned: dict[str, tuple[Size, ...]] = Field(
        default={},
        exclude_if=lambda outputs: not outputs,
        description="Of several outputs, the shape of each by its name; a target may name any.",
    )
    select: int | str | None = Field(
        default=None, exclude_if=lambda name: name is None, description="Which of several outputs is explained."
    )
    labels: tuple[str, ...] = ()
    default_method: str = "integrated_gradients"
    accuracy: float | None = None
    precision: str = Field(
        default=FULL, description="What everything is computed in; of tf32 and bfloat16 products alone."
    )
    stored: tuple[str, ...] = Field(
        default=(), description="Types that weights are stored in, where others than `precision`, as bfloat16."
    )
    layers: tuple[Layer, ...] = ()
    cells: tuple[Layer, ...] = Field(
        default=(),
        exclude_if=lambda found: not found,
        description="What each step of a recurrent layer computes (gates, memory cell `c`, state `h`), by "
        "`rnn.l0.t*.c`: rnn.l0.t5.c is a layer, too, for targets and for `to`.",
    )
    methods: tuple[MethodSupport, ...] = ()

    def layer(self, name: str) -> Layer | None:
        """The layer of that name or alias, or what a step of a recurrent layer computes; None where there is none."""
        found = next((layer for layer in self.layers if name == layer.name or name in layer.aliases), None)
        if found is not None:
            return found
        steps = dict(steps_of(name))
        cell = next((cell for cell in self.cells if steps.get(cell.name, cell.steps) < cell.steps), None)
        return cell.model_copy(update={"name": name, "steps": 0}) if cell else None

    @property
    def named(self) -> Mapping[str, InputSpec]:
        """The inputs by name; one that has no name is called `input`."""
        return self.inputs or {"input": self.input}

    @property
    def only(self) -> InputSpec:
        """The one input, of a model that takes one."""
        return next(iter(self.named.values()))

    @property
    def is_number(self) -> bool:
        """Whether the output holds one number for one input, of any size."""
        return all(size == 1 for size in self.outputs)

    @property
    def heads(self) -> int:
        """How many entries the output's first axis has: its classes, where it has some; 1 of a lone number."""
        return self.outputs[0] if self.outputs else 1

    def label(self, index: int) -> str | None:
        return self.labels[index] if 0 <= index < len(self.labels) else None

    def reason_against(self, method: str) -> str | None:
        """Why this model does not support the method with its default parameters; None where it does."""
        told = self.support_of(method)
        return None if told is None or told.supported else told.reason

    def support_of(self, method: str) -> MethodSupport | None:
        """What the worker that loaded the model says of the method; None for one that it does not know."""
        return next((told for told in self.methods if told.name == method), None)
