"""Resources of explanations within an evaluation: nothing is kept, and models that no one serves have states anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.resources import Dataset, Items, NoResources, Resources
from workers.methods.method import Method


@dataclass(frozen=True)
class Changed:
    """A dataset of which each input is another one; `change` takes some (n, *shape)."""

    given: Dataset
    change: Callable[[Tensor], Tensor]

    @property
    def digest(self) -> str:
        return self.given.digest

    @property
    def count(self) -> int:
        return self.given.count

    @property
    def classes(self) -> tuple[str, ...]:
        return self.given.classes

    @property
    def model_classes(self) -> tuple[int, ...]:
        return self.given.model_classes

    @property
    def categories(self) -> tuple[int, ...]:
        return self.given.categories

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        for part in self.given.batches(size, start):
            yield replace(part, x=self.change(part.x))


@dataclass
class Unkept(NoResources):
    """As the resources given, but nothing is kept on the way: what one method keeps is not another's."""

    wrapped: Resources

    def dataset(self, name: str) -> Dataset:
        return self.wrapped.dataset(name)

    def state(self, model: Model, method: Method) -> Mapping[str, Any]:
        return self.wrapped.state(model, method)

    def model(self, name: str) -> Any:
        return self.wrapped.model(name)

    def given(self, digest: str) -> Tensor:
        return self.wrapped.given(digest)


@dataclass
class Refitted(Unkept):
    """States are computed for the model that asks, on inputs with `shift` added."""

    shift: Tensor | None = None
    states: dict[Method, Mapping[str, Any]] = field(default_factory=dict)

    def dataset(self, name: str) -> Dataset:
        found, shift = self.wrapped.dataset(name), self.shift
        return found if shift is None else Changed(found, lambda x: x.to(shift) + shift)

    def state(self, model: Model, method: Method) -> Mapping[str, Any]:
        if method not in self.states:
            nothing = torch.empty(0, *model.card.input.shape, device=model.device, dtype=model.dtype)
            self.states[method] = method.explain(model, Batch(nothing, [], resources=self)).rows()[0].arrays
        return self.states[method]
