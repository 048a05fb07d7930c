"""Whether two models make the same numbers of the same input: of others no maps are compared."""

from __future__ import annotations

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import piece
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import InvalidTensor
from workers.explanation.inputs import Shapes
from workers.explanation.names.dataset_classes import told_apart

# Of an input, what tells which numbers are made of it; that tokenizers agree is seen by their tokens.
TELLING = ("dtype", "image", "names", "categories", "padding", "feeds", "pair")


def unlike(model: Function, other: Function, batch: Batch) -> str | None:
    """Why the batch's inputs are not the same to both, or their outputs not of one shape; None where they are."""
    return _difference(model.card, other.card) or _other_tokens(model, other, batch)


def shapes(spec: InputSpec) -> Shapes:
    """Of each tensor that a model is given, and of what is laid beside texts."""
    return tuple(part.shape for part in spec.parts if not part.embedding) or (spec.shape,)


def _difference(one: ModelCard, other: ModelCard) -> str | None:
    """How two models are no two of one kind, of which each is given the same."""
    for what, here, there in (
        ("inputs", list(one.named), list(other.named)),
        ("an input of the shape", _plain(shapes(one.input)), _plain(shapes(other.input))),
        ("an output of the shape", list(one.outputs), list(other.outputs)),
    ):
        if here != there:
            return f"{other.name} has {what} {there}, and {one.name} {here}"
    for name, spec in one.named.items():
        for field in TELLING:
            here, there = getattr(spec, field), getattr(other.named[name], field)
            if here != there and not any(said in (None, (), {}) for said in (here, there)):
                return f"{other.name} makes other numbers of the same input than {one.name}: [input] {field} differs"
    return _other_order(one, other)


def _other_order(one: ModelCard, other: ModelCard) -> str | None:
    """A class that has another number in the other model, by a label that either has once."""
    theirs = told_apart(other.labels)
    for label, number in told_apart(one.labels).items():
        if theirs.get(label, number) != number:
            return f"{label!r} is class {number} of {one.name}, and class {theirs[label]} of {other.name}"
    return None


def _plain(found: Shapes) -> object:
    return list(found[0]) if len(found) == 1 else [list(shape) for shape in found]


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
