"""What a dataset holds, item by item, wherever its bytes lie; and the digest of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.datasets.card import DatasetKind
from workers.explanation.errors import InvalidDataset, InvalidTensor
from workers.explanation.tensors import as_float32, digest_image, digest_tensor


@dataclass(frozen=True)
class Contents:
    """`item(i)` is an image's bytes or a tensor (*shape); nothing is read before it is asked for.

    `labels` (n,) int64 index `classes`; `masks` (n, concepts, H, W), whose `categories`
    (concepts,) may be given; `boxes` (n, 4) left, top, right, bottom fractions;
    `series` (n, steps, series) what is known of each step.
    """

    kind: DatasetKind
    count: int
    item: Callable[[int], bytes | NDArray[Any]]
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
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
        if isinstance(item, bytes):
            return digest_image(item)
        try:
            return digest_tensor(as_float32(item))
        except InvalidTensor:
            raise InvalidDataset(f"item {i} of inputs holds NaN, infinity or a value beyond float32") from None
