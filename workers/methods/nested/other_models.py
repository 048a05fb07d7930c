"""Another served model beside this one: of the size of its inputs, and what it takes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import piece
from workers.engine.model.resources import Dataset, Resources
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import InvalidParameter, InvalidTensor
from workers.methods.nested.resources import Changed, Unkept

# What says nothing of how an input becomes numbers; that tokenizers agree is seen by their tokens.
OTHERWISE = frozenset({"low", "high", "background", "background_rows", "held", "parts", "tokenizer", "length"})
M = TypeVar("M", bound=Function)
PREPARED = tuple(field for field in InputSpec.model_fields if field not in OTHERWISE)


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
        other = cast("M", other.sized(_shapes(model.card.input)))
    told = _difference(model.card, other.card) or _other_tokens(model, other, batch)
    if told is not None:
        raise InvalidParameter(f"{told}; they must be alike", pointer=pointer)
    return other, Elsewhere(batch.resources, other, model) if has_ids(model.card.input) else batch.resources


def taken(x: Tensor, model: Function, other: Function) -> Tensor:
    """Inputs of a model (n, *shape) as another one takes them, which looks ids up in embeddings of its own.

    One that was made of this model has this one's.
    """
    spec = model.card.input
    if other.card.digest == model.card.digest or not has_ids(spec):
        return x
    return other.join({part.name: piece(x, part) for part in spec.parts if not part.embedding})


def has_ids(spec: InputSpec) -> bool:
    """Whether a model looks something up for its inputs, which methods are given beside them."""
    return any(part.embedding for part in spec.parts)


def _shapes(spec: InputSpec) -> tuple[tuple[int, ...], ...]:
    return tuple(part.shape for part in spec.parts if not part.embedding) or (spec.shape,)


def _difference(one: ModelCard, other: ModelCard) -> str | None:
    """How two models are no two of one kind, of which each is given the same."""
    shapes = [_shapes(card.input) for card in (one, other)]
    for what, here, there in (
        ("inputs", list(one.named), list(other.named)),
        ("an input of the shape", *(_plain(each) for each in shapes)),
        ("an output of the shape", list(one.outputs), list(other.outputs)),
    ):
        if here != there:
            return f"{other.name} has {what} {there}, and {one.name} {here}"
    for name, spec in one.named.items():
        for field in PREPARED:
            here, there = getattr(spec, field), getattr(other.named[name], field)
            if here != there:
                return f"{other.name} makes other numbers of the same input than {one.name}: [input] {field} differs"
    return None


def _plain(shapes: tuple[tuple[int, ...], ...]) -> object:
    return list(shapes[0]) if len(shapes) == 1 else [list(shape) for shape in shapes]


def _other_tokens(model: Function, other: Function, batch: Batch) -> str | None:
    """Which token of a text is another one by the other model's tokenizer."""
    for part in model.card.input.parts:
        own, theirs = (one.tokenizers.get(part.name) for one in (model, other))
        if part.embedding or own is None or theirs is None:
            continue
        for ids in piece(batch.x, part).long().tolist():
            here = [token.text for token in own.of_ids(ids).tokens]
            try:
                there = [token.text for token in theirs.of_ids(ids).tokens]
            except InvalidTensor as unknown:
                return f"of {other.card.name} {unknown.detail}"
            for mine, yours in zip(here, there, strict=True):
                if mine != yours:
                    return f"the token {mine!r} is {yours!r} to the tokenizer of {other.card.name}"
    return None
