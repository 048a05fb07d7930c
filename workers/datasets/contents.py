"""What a dataset holds, item by item, wherever its bytes lie; and the digest of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.datasets.card import DatasetKind
from workers.explanation.bundle import File, Kind, bundle, digest_inputs
from workers.explanation.errors import InputError, InvalidDataset, InvalidTensor
from workers.explanation.tensors import as_float32, digest_image, digest_tensor, encode_npy
from workers.explanation.text import decode_text, digest_text

One: TypeAlias = bytes | str | NDArray[Any]  # an image's bytes, a text, a tensor
Item: TypeAlias = One | Mapping[str, One]


def sent(item: Item) -> tuple[Kind, str, bytes]:
    """Its kind, digest and bytes where it comes as an input; raises InvalidTensor, InvalidText, InputTooLarge."""
    if isinstance(item, Mapping):
        files = {name: _file(one) for name, one in item.items()}
        return "inputs", digest_inputs(files), bundle(files)
    return _file(item)


def _file(item: One) -> File:
    if isinstance(item, bytes):
        return File("image", digest_image(item), item)
    if isinstance(item, str):
        data = item.encode()
        return File("text", digest_text(decode_text(data)), data)
    row = as_float32(item)
    return File("tensor", digest_tensor(row), encode_npy(row))


@dataclass(frozen=True)
class Contents:
    """`item(i)` is an image's bytes, a text, a tensor (*shape), or several of these by name, of `inputs`' shapes.

    Nothing is read before it is asked for.

    `labels` (n,) int64 index `classes`; `masks` (n, concepts, H, W), whose `categories`
    (concepts,) may be given; `boxes` (n, 4) left, top, right, bottom fractions;
    `series` (n, steps, series) what is known of each step.
    """

    kind: DatasetKind
    count: int
    item: Callable[[int], Item]
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    inputs: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)
    labels: NDArray[np.int64] | None = None
    masks: NDArray[Any] | None = None
    categories: tuple[int, ...] = ()
    boxes: NDArray[np.float32] | None = None
    series: NDArray[Any] | None = None

    def digest(self) -> str:
        """ "sha256:" and 64 hex digits over the items in order, with all that is said of each.

        An item counts by the digest that it would have as an input. Raises InvalidDataset for a tensor not finite.
        """
        head: dict[str, Any] = {"classes": self.classes, "boxes": self.boxes is not None, "concepts": self.concepts}
        if self.categories:  # what has none keeps the digest that it had before there were any
            head["categories"] = self.categories
        if self.series is not None:
            head["series"] = self.series.shape[1:]
        total = hashlib.sha256(orjson.dumps(head, option=orjson.OPT_SORT_KEYS))
        for i in range(self.count):
            total.update(f"\n{self._item_digest(i)}".encode())
            if self.labels is not None:
                total.update(f" label {self.labels[i]}".encode())
            if self.masks is not None:
                total.update(b" masks " + hashlib.sha256((self.masks[i] != 0).tobytes()).digest())
            if self.boxes is not None:
                total.update(b" box " + self.boxes[i].astype("<f4").tobytes())
            if self.series is not None:
                total.update(b" series " + np.ascontiguousarray(self.series[i], "<f8").tobytes())
        return "sha256:" + total.hexdigest()

    @property
    def concepts(self) -> int:
        return 0 if self.masks is None else self.masks.shape[1]

    def _item_digest(self, i: int) -> str:
        item = self.item(i)
        try:
            return digest_image(item) if isinstance(item, bytes) else sent(item)[1]
        except InvalidTensor:
            raise InvalidDataset(f"item {i} of inputs holds NaN, infinity or a value beyond float32") from None
        except InputError as error:
            raise InvalidDataset(f"item {i} of inputs: {error.detail}") from None
