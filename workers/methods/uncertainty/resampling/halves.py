"""Halves of a dataset, drawn by chance: what a method says that has learned from one of them alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.engine.model.batch import Batch
from workers.engine.model.resources import Dataset, ItemExplanation, Items, Resources
from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method


@dataclass(frozen=True)
class Half:
    """The items of a dataset that `chosen` (count of the whole) is true for."""

    whole: Dataset
    chosen: NDArray[np.bool_]

    @property
    def digest(self) -> str:
        return self.whole.digest

    @property
    def count(self) -> int:
        return int(self.chosen.sum())

    @property
    def classes(self) -> tuple[str, ...]:
        return self.whole.classes

    @property
    def model_classes(self) -> tuple[int, ...]:
        return self.whole.model_classes

    @property
    def categories(self) -> tuple[int, ...]:
        return self.whole.categories

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        done = 0
        for items in self.whole.batches(size):
            at = np.flatnonzero(self.chosen[items.start : items.start + len(items.x)])
            first, done = done, done + len(at)
            at = at[max(0, start - first) :]
            if len(at):
                where = torch.from_numpy(at).to(items.x.device)
                yield Items(
                    max(first, start),
                    items.x[where],
                    None if items.labels is None else items.labels[at],
                    None if items.masks is None else items.masks[where],
                    None if items.boxes is None else items.boxes[at],
                )


@dataclass
class Halved:
    """Resources whose datasets are halves, the first or the second of one split; what is fitted on them is not kept."""

    whole: Resources
    split: int  # the seed of its draw
    second: bool
    digests: set[str] = field(default_factory=set)
    _states: dict[Method, Mapping[str, Any]] = field(default_factory=dict)

    def dataset(self, name: str) -> Half:
        found = self.whole.dataset(name)
        if found.count < 2:
            raise InvalidParameter(f"the dataset {name!r} has too few items to be halved", pointer="/method/of")
        self.digests.add(found.digest)
        order = torch.randperm(found.count, generator=torch.Generator().manual_seed(self.split)).numpy()
        chosen = np.zeros(found.count, bool)
        chosen[order[: found.count // 2]] = True
        return Half(found, ~chosen if self.second else chosen)

    def explanations(self, *_: Any) -> Iterator[list[ItemExplanation]]:
        raise InvalidParameter("explanations of items are not fitted on data, so halves say nothing of them")

    def state(self, model: Any, method: Method) -> Mapping[str, Any]:
        if method not in self._states:
            row = torch.zeros(1, *model.card.input.shape, device=model.device, dtype=model.dtype)
            self._states[method] = method.explain(model, Batch(row, [], resources=self)).rows()[0].arrays
        return self._states[method]

    def model(self, name: str) -> Any:
        return self.whole.model(name)

    def given(self, digest: str) -> torch.Tensor:
        return self.whole.given(digest)

    def saved(self, _: str) -> None:
        return None

    def save(self, _: str, __: Mapping[str, NDArray[Any]]) -> None:
        return None
