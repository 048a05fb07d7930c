"""A module as its inputs are handed to it: several from one list, ids as whole numbers, one output of several."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from workers.explanation.card import OPEN, InputSpec
from workers.explanation.inputs import NOMINAL, is_plain


class Called(nn.Module):
    """`inner` for what methods are given of the inputs: a list (n, numbers) of all of them, in floats.

    `types` are those of whole numbers by the input's name. What it returns is the output that `select` names.
    """

    def __init__(
        self,
        inner: nn.Module,
        inputs: Mapping[str, InputSpec],
        types: Mapping[str, torch.dtype],
        select: int | str | None,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.inputs = dict(inputs)
        self.types = dict(types)
        self.select = select

    def forward(self, x: Tensor) -> Tensor:
        if is_plain(self.inputs) and not self.types:
            return chosen(self.inner(x), self.select)
        pieces = torch.split(x.flatten(1), [prod(spec.shape) for spec in self.inputs.values()], 1)
        given = []
        for (name, spec), piece in zip(self.inputs.items(), pieces, strict=True):
            one = piece.reshape(-1, *spec.shape)
            given.append(one.to(self.types[name]) if name in self.types else one)
        return chosen(self.inner(*given), self.select)


def chosen(output: Any, select: int | str | None) -> Tensor:
    """The output of that index or key, or those with dots between them."""
    for step in [] if select is None else str(select).split("."):
        output = output[int(step)] if isinstance(output, list | tuple) else output[step]
    if isinstance(output, Mapping) and len(output) == 1:
        (output,) = output.values()
    elif isinstance(output, list | tuple) and len(output) == 1:
        (output,) = output
    found: Tensor = output
    return found


def traced_shape(spec: InputSpec, places: int = NOMINAL) -> tuple[int, ...]:
    """The shape that an input is traced with where no example says another, axes of any length having those places."""
    return tuple(min(places, spec.length or places) if size == OPEN else size for size in spec.shape)


def joined_rows(inputs: Mapping[str, InputSpec], rows: Mapping[str, Tensor]) -> Tensor:
    """Inputs by name (n, *shape) as `Called` takes them."""
    if is_plain(inputs):
        return next(iter(rows.values()))
    return torch.cat([rows[name].flatten(1).float() for name in inputs], 1)
