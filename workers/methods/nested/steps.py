"""The steps of a sequence: which axis of the input has them, and what of the input is of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.inputs import explained, words_of

if TYPE_CHECKING:
    from torch import Tensor

TIME = ("time", "step", "steps")


@dataclass(frozen=True)
class Steps:
    """`shape` of what has steps along `axis`, which begins at `start` in a list of inputs; else it is the input."""

    shape: tuple[int, ...]
    axis: int
    start: int | None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.shape[self.axis]

    def mask(self, inside: Tensor, x: Tensor) -> Tensor:
        """Of x (n, ...), what lies in steps that are inside (n, steps); in a list of inputs the rest is outside."""
        import torch

        own = self._along(inside)
        if self.start is None:
            return own
        found = torch.zeros(len(inside), *x.shape[1:], dtype=torch.bool, device=x.device)
        flat = own.reshape(len(inside), -1)
        found[:, self.start : self.start + flat.shape[1]] = flat
        return found

    def sums(self, values: Tensor) -> Tensor:
        """Of what the inputs' features have (n, ...), the sum at each step, (n, steps)."""
        own = values if self.start is None else values[:, self.start : self.start + prod(self.shape)]
        each = own.reshape(len(values), *self.shape).movedim(self.axis + 1, 1)
        return each.reshape(len(values), self.count, -1).sum(2)

    def lengths(self, card: ModelCard, x: Tensor) -> Tensor:
        """How many steps each input has, (n,): of a text without the padding behind it."""
        import torch

        whole = torch.full((len(x),), self.count, device=x.device)
        held = {part.name: part for part in card.input.parts if part.held}
        name = next((part.name for part in explained(card.input) if words_of(part.name) in held), None)
        if name is None:
            return whole
        ids, words = (x[:, held[key].start : held[key].stop] for key in (name, words_of(name)))
        fillers = (ids == (card.named[name].padding or 0)) & (words < 0)
        return whole - fillers.flip(1).to(torch.int64).cumprod(1).sum(1)

    def spread(self, values: Tensor, like: Tensor) -> Tensor:
        """The number of each step (n, steps) shared evenly by its features, shaped like the input."""
        import torch

        each = self._along(values / (prod(self.shape) // self.count))
        if self.start is None:
            return each.contiguous()
        found = torch.zeros_like(like)
        flat = each.reshape(len(values), -1)
        found[:, self.start : self.start + flat.shape[1]] = flat
        return found

    def _along(self, values: Tensor) -> Tensor:
        """What is of each step (n, steps), at all features of that step (n, *shape)."""
        shape = [self.count if at == self.axis else 1 for at in range(len(self.shape))]
        return values.view(len(values), *shape).expand(len(values), *self.shape)


def axis_of(card: ModelCard, axis: int | None) -> int:
    """The axis of the input that has the steps; raises MethodNotApplicable where there is no such axis."""
    return _chosen(card.name, card.input.shape, card.input.axes, axis)


def steps_of(card: ModelCard, axis: int | None) -> Steps:
    """The steps of a model's input, or of the one of several that is explained: the tokens of a text.

    Raises MethodNotApplicable where more than one is explained, or there is no such axis.
    """
    parts = explained(card.input)
    if not parts:
        return Steps(card.input.shape, axis_of(card, axis), None)
    if len(parts) > 1:
        told = ", ".join(part.name for part in parts)
        raise MethodNotApplicable(f"the steps of one input are meant, and {card.name} has {told}", pointer="/method")
    return Steps(parts[0].shape, _chosen(card.name, parts[0].shape, (), axis), parts[0].start)


def count(spec: InputSpec, axis: int | None) -> int:
    """About how many steps there are: what work is reckoned by."""
    parts = explained(spec)
    shape, named = (parts[0].shape, ()) if parts else (spec.shape, spec.axes)
    try:
        return int(shape[_chosen("", shape, named, axis)])
    except MethodNotApplicable:
        return 1


def _chosen(name: str, shape: Sequence[int], named: Sequence[str], axis: int | None) -> int:
    known = [at for at, one in enumerate(named) if one in TIME]
    chosen = axis if axis is not None else known[0] if known else 0
    if not -len(shape) <= chosen < len(shape):
        raise MethodNotApplicable(
            f"the input of {name} has the shape {list(shape)}, and no axis {chosen}", pointer="/method/axis"
        )
    return chosen % len(shape)
