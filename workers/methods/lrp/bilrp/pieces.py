"""Pieces: what of each of two inputs is told apart, so that the table of their pairs stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isqrt, prod
from typing import Any

import torch
from torch import Tensor

from workers.engine.model.inputs import piece
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec, Part
from workers.explanation.errors import Instead, InvalidParameter, MethodNotApplicable, methods
from workers.explanation.inputs import explained

USUAL = 196  # patches of an input, where nobody says: 14 x 14
MOST = 2**20  # pairs


@dataclass(frozen=True)
class Pieces:
    """Blocks of `side` along each axis of an input's places (`sizes`); `parts` are where it lies among all inputs."""

    name: str
    parts: tuple[Part, ...]
    sizes: tuple[int, ...]
    side: int

    @property
    def grid(self) -> tuple[int, ...]:
        """How many there are along each axis."""
        return tuple(ceil(size / self.side) for size in self.sizes)

    @property
    def count(self) -> int:
        return prod(self.grid)

    def sums(self, values: Tensor) -> Tensor:
        """Values of all inputs end to end (n, numbers), summed over each piece of this one: (n, pieces)."""
        found = torch.zeros(len(values), self.count, dtype=torch.float64, device=values.device)
        for part in self.parts:
            own = piece(values, part).double()
            own = own if part.channels is None else own.sum(part.channels + 1)
            numbers = self._numbers() if part.places is None else self._numbers()[list(part.places)]
            found.index_add_(1, numbers.to(values.device), own.flatten(1))
        return found

    def _numbers(self) -> Tensor:
        """The piece of each place, end to end."""
        number = torch.zeros(1, dtype=torch.int64)
        for size, count in zip(self.sizes, self.grid, strict=True):
            number = (number[:, None] * count + torch.arange(size) // self.side).flatten()
        return number

    def told(self) -> Mapping[str, Any]:
        return {"input": self.name, "grid": list(self.grid), "patch": self.side}


def names(model: Model) -> list[str]:
    """The inputs that are explained, in the order of the model's arguments; none of a lone tensor."""
    there = {part.name for part in explained(model.card.input)}
    return [name for name in model.card.named if name in there]


def pieces(model: Model, side: int | None) -> tuple[Pieces, Pieces]:
    """The pieces of the model's two inputs, patches by `side`.

    Raises MethodNotApplicable where those that are explained are not two, InvalidParameter where there are too many
    pairs.
    """
    spec, parts = model.card.input, {name: list[Part]() for name in names(model)}
    for part in explained(spec):
        parts[part.name].append(part)
    if len(parts) != 2:
        there = f"takes {len(parts)}: {', '.join(parts)}" if parts else "takes one"
        raise MethodNotApplicable(
            f"bilrp explains what two inputs have in common, each under a name of its own, and this model {there}",
            pointer="/method",
            instead=methods("lrp", "input_times_gradient", "occlusion"),
        )
    one, other = (_cut(spec, own, side) for own in parts.values())
    if one.count * other.count > MOST:
        larger = next(
            (s for s in range(2, 10_001) if prod(_cut(spec, own, s).count for own in parts.values()) <= MOST), None
        )
        raise InvalidParameter(
            f"{one.count} pieces of {one.name} and {other.count} of {other.name} make {one.count * other.count} pairs; "
            f"at most {MOST} are told",
            pointer="/method/patch",
            instead=(*([Instead(parameters={"patch": larger})] if larger else []), *methods("lrp", "occlusion")),
        )
    return one, other


def _cut(spec: InputSpec, parts: Sequence[Part], side: int | None) -> Pieces:
    first = parts[0]
    sizes = first.spatial_shape
    if first.embedding:
        sizes = next(one.shape for one in spec.parts if one.name == first.name and not one.embedding)
    return Pieces(first.name, tuple(parts), sizes, _side(first, side))


def _side(part: Part, asked: int | None) -> int:
    """Of a patch; tokens and features are pieces as they are."""
    if part.embedding or part.channels is None:
        return 1
    if asked is not None:
        return asked
    places = part.spatial_shape
    along = {1: USUAL, 2: isqrt(USUAL)}.get(len(places), int(USUAL ** (1 / max(1, len(places)))))
    return max(1, ceil(max(places, default=1) / along))
