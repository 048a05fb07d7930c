"""What is known of a dataset, and what may be taken in as one. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidDataset

DatasetKind: TypeAlias = Literal["images", "tensors"]
MAX_RATIO = 100
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
    shape: tuple[int, ...] | None = Field(description="Of each tensor; null for images.")
    classes: tuple[str, ...] = Field(description="The class names that labels index; empty where items have no label.")
    concepts: int = Field(default=0, description="How many masks each item has.")
    categories: int = Field(default=0, description="In how many categories the concepts lie; 0 where it does not say.")
    boxes: bool = Field(default=False, description="Whether each item has a box.")
    series: int = Field(default=0, description="How many series each item has: numbers that are known of each step.")
    bytes: int
    created_at: float


def check_fits(dataset: DatasetCard, spec: InputSpec, pointer: str) -> None:
    """Raises InvalidDataset where a model with this input cannot take the dataset's items."""
    if dataset.kind == "images" and spec.kind != "image":
        detail = f"the dataset holds images, and the model takes tensors of the shape {list(spec.shape)}"
        raise InvalidDataset(detail, pointer=pointer)
    if dataset.shape is not None and dataset.shape != spec.shape:
        detail = f"the dataset holds tensors of the shape {list(dataset.shape)}; the model takes {list(spec.shape)}"
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

    def unpacked_from(self, size: int) -> int:
        """Bytes that an archive of this size may unpack to."""
        return min(self.unpacked, max(MAX_RATIO * size, MIB))
