"""What is known of a dataset, and what may be taken in as one. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidDataset
from workers.explanation.inputs import fits, spoken

DatasetKind: TypeAlias = Literal["images", "tensors", "texts", "several"]
MAX_CLASSES = 50_000
MIB = 2**20


class DatasetCard(BaseModel):
    """What a client must know of a dataset; `bytes` is what it takes on disk, `created_at` is in unix seconds."""

    model_config = ConfigDict(frozen=True)

    digest: str = Field(
        description="SHA-256 over its items in order, with their labels, masks, boxes and series, and the categories."
    )
    name: str | None = Field(default=None, description="Of a dataset that the operator placed; null for an upload.")
    kind: DatasetKind
    count: int = Field(description="How many items it has.")
    shape: tuple[int, ...] | None = Field(description="Of each tensor; null for images and texts.")
    inputs: dict[str, tuple[int, ...] | None] = Field(
        default={},
        exclude_if=lambda several: not several,
        description="Of items of several inputs, the shape of each by its name; null for texts.",
    )
    classes: tuple[str, ...] = Field(description="The class names that labels index; empty where items have no label.")
    concepts: int = Field(default=0, description="How many masks each item has.")
    categories: int = Field(default=0, description="In how many categories the concepts lie; 0 where it does not say.")
    boxes: bool = Field(default=False, description="Whether each item has a box.")
    series: int = Field(default=0, description="How many series each item has: numbers that are known of each step.")
    bytes: int
    created_at: float


def check_fits(dataset: DatasetCard, inputs: Mapping[str, InputSpec], pointer: str) -> None:
    """Raises InvalidDataset where a model with these inputs, by name, cannot take the dataset's items."""
    if len(inputs) > 1 or dataset.kind == "several":
        _check_names(dataset, inputs, pointer)
        for name, shape in dataset.inputs.items():
            kind: DatasetKind = "texts" if shape is None else "tensors"
            _check_one(kind, shape, inputs[name], f"the dataset's inputs.{name}", pointer)
    else:
        (spec,) = inputs.values()
        _check_one(dataset.kind, dataset.shape, spec, "the dataset", pointer)


def _check_names(dataset: DatasetCard, inputs: Mapping[str, InputSpec], pointer: str) -> None:
    if dataset.inputs.keys() != inputs.keys():
        holds = (
            f"the arrays {_arrays(dataset.inputs)}" if dataset.inputs else f"one input for each item ({dataset.kind})"
        )
        wanted = _arrays(inputs) if len(inputs) > 1 else "the array inputs"
        raise InvalidDataset(f"the dataset holds {holds}; for this model a .npz has {wanted}", pointer=pointer)


def _arrays(names: Iterable[str]) -> str:
    return ", ".join(f"inputs.{name}" for name in names)


def _check_one(kind: DatasetKind, shape: tuple[int, ...] | None, spec: InputSpec, what: str, pointer: str) -> None:
    takes = "a text" if spec.kind == "text" else f"a tensor of the shape {spoken(spec)}"
    if shape is None:
        if spec.kind != {"images": "image", "texts": "text"}[kind]:
            raise InvalidDataset(f"{what} holds {kind}, and the model takes {takes}", pointer=pointer)
    elif spec.kind == "text":
        if len(shape) != 1 or (spec.length is not None and shape[0] > spec.length):
            ids = f"{takes}, or its ids: up to {spec.length}"
            raise InvalidDataset(
                f"{what} holds tensors of the shape {list(shape)}; the model takes {ids}", pointer=pointer
            )
    elif not fits(spec, shape):
        detail = f"{what} holds tensors of the shape {list(shape)}; the model takes {spoken(spec)}"
        raise InvalidDataset(detail, pointer=pointer)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may be: bytes unpacked, bytes and pixels of one image, items.

    `space`: bytes on disk of all uploads together.
    """

    unpacked: int = 2048 * MIB
    item: int = 32 * MIB
    pixels: int = 25_000_000
    items: int = 100_000
    space: int = 16384 * MIB

    @property
    def entries(self) -> int:
        """Most of an archive: folders and headers come on top of items."""
        return 4 * self.items
