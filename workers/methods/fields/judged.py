"""The fields that evaluations have in common: which methods are judged, and over what. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field

from workers.explanation.card import InputSpec
from workers.methods.method import AnyMethod, DatasetName, Method

MOST = 32
SIDE = 9  # of a patch: S2 section 5


class _UnlessDataset:
    """Whether a job of an evaluation takes an input: it does unless its method names a dataset."""

    def __get__(self, method: Any, _: type | None = None) -> bool:
        return method is None or method.dataset is None


UNLESS_DATASET = cast(bool, _UnlessDataset())


def _listed(value: object) -> object:
    """One method, by name or with parameters, as a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _attributing(of: tuple[Method, ...]) -> tuple[Method, ...]:
    for method in of:
        if method.kind != "attribution":
            raise ValueError(f"attributions are judged, and {method.name} makes none")
    twice = next((method for at, method in enumerate(of) if method in of[:at]), None)
    if twice is not None:
        raise ValueError(f"{label(twice)} is there twice")
    return of


Judged: TypeAlias = Annotated[
    tuple[AnyMethod, ...],
    Field(min_length=1, max_length=MOST, description="The methods judged, side by side: one, or a list."),
    BeforeValidator(_listed),
    AfterValidator(_attributing),
]
Over: TypeAlias = Annotated[
    DatasetName | None,
    Field(description="A dataset, to judge over all its items; without one, over the input that is sent."),
]
PAIR = ("gradient", "input_times_gradient")
Fill: TypeAlias = Literal["patch_mean", "mean", "zero", "minimum", "blur", "uniform"]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Box: TypeAlias = Annotated[
    tuple[Fraction, Fraction, Fraction, Fraction],
    Field(
        description="Where the object is in the input that is sent: left, top, right and bottom as fractions of width "
        "and height; by default the middle. A dataset has boxes or masks of its own."
    ),
]
Noise: TypeAlias = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Noise added to the input first, a share of its range, so that no values tie: at a tie rounding, "
        "which differs between two models, decides what a gradient is. 0 takes the input as it is.",
    ),
]
MIDDLE = (0.25, 0.25, 0.75, 0.75)


def patch_side(spec: InputSpec) -> int:
    """Of a patch that is taken away, where none is asked for."""
    return 1 if spec.channel_axis is None else min(SIDE, max(1, max(spec.spatial_shape) // 4))


def label(method: Method) -> str:
    """Its name and those of its parameters that are not the default: `lrp composite=zero`."""
    said = [method.name]
    for name, field in type(method).model_fields.items():
        value = getattr(method, name)
        shown = label(value) if isinstance(value, Method) else value
        if name != "name" and shown != field.default:
            said.append(f"{name}=({shown})" if isinstance(value, Method) else f"{name}={_short(shown)}")
    return " ".join(said)


def _short(value: object) -> str:
    text = "(...)" if isinstance(value, tuple) else str(value)
    return text if len(text) <= 24 else text[:21] + "..."
