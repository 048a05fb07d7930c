"""Another served model beside this one: of the size of its inputs, and what it takes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import separate
from workers.engine.model.resources import Dataset, Resources
from workers.explanation.errors import InvalidParameter
from workers.explanation.inputs import has_ids
from workers.methods.nested.comparable import shapes, unlike
from workers.methods.nested.resources import Changed, Unkept

M = TypeVar("M", bound=Function)


@dataclass
class Elsewhere(Unkept):
    """What a model asks of the resources of another: the same datasets and inputs, as it takes them."""

    asked: Function
    own: Function

    def dataset(self, name: str) -> Dataset:
        return Changed(self.wrapped.dataset(name), lambda x: taken(x, self.own, self.asked))

    def given(self, digest: str) -> Tensor:
        return taken(self.wrapped.given(digest)[None], self.own, self.asked)[0]


def counterpart(model: M, batch: Batch, name: str, pointer: str) -> tuple[M, Resources]:
    """The served model of that name, for inputs of the batch's size, and its resources.

    Raises InvalidParameter where it takes others, makes other numbers of them, or returns another output.
    """
    other = cast("M", batch.resources.model(name))
    if model.any_size is not None:
        other = cast("M", other.sized(shapes(model.card.input)))
    told = unlike(model, other, batch)
    if told is not None:
        raise InvalidParameter(f"{told}; they must be alike", pointer=pointer)
    return other, Elsewhere(batch.resources, other, model) if has_ids(model.card.input) else batch.resources


def taken(x: Tensor, model: Function, other: Function) -> Tensor:
    """Inputs of a model (n, *shape) as another one takes them, which looks ids up in embeddings of its own.

    One that was made of this model has this one's.
    """
    spec = model.card.input
    alike = other.card.digest == model.card.digest or not has_ids(spec)
    return x if alike else other.join(separate(x, spec))
