"""Shares of relevance along one axis of the input, and the trends in them (S4 16.3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.labels import about, none_of
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import named
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import Instead, InvalidParameter, MethodNotApplicable
from workers.explanation.inputs import explained
from workers.explanation.result import Attribution
from workers.explanation.target import Target
from workers.methods.method import Method

NOTHING = 1e-6  # a sum this small beside the sum of sizes is none to have shares of
Floats = NDArray[np.float64]


class Shares(NamedTuple):
    """Mean and standard deviation of the shares (places), of so many items; others had none."""

    mean: Floats
    std: Floats
    items: int
    left_out: int


class Sums:
    """Sums of shares and of their squares so far; another worker can go on from them."""

    def __init__(self, places: int) -> None:
        self.sums = np.zeros((2, places))
        self.counts = np.zeros(2, np.int64)  # items with shares, items seen

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"sums": self.sums, "counts": self.counts}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.sums, self.counts = arrays["sums"].astype(np.float64), arrays["counts"].astype(np.int64)

    def add(self, relevance: Floats) -> None:
        """Add the relevance (items, places) of some items."""
        whole, sizes = relevance.sum(1), np.abs(relevance).sum(1)
        kept = np.abs(whole) > NOTHING * sizes
        share = relevance[kept] / whole[kept, None]
        self.sums += np.stack([share.sum(0), np.square(share).sum(0)])
        self.counts += [int(kept.sum()), len(relevance)]


def shares(
    model: Function, batch: Batch, of: Method, name: str, target: Target, axis: int | str, size: bool, most: int
) -> Shares:
    """The shares of a method's relevance at each place of an axis, over the items that the target is about."""
    spec = one_input(model.card)
    at = place_axis(spec, axis)
    found = Sums(spec.shape[at])
    for _, x in about(model, batch, name, target, found, "shares"):
        few, seed = x[: most - int(found.counts[1])], getattr(of, "seed", 0)
        if not len(few):
            break
        inner = Batch(few, [target] * len(few), [seed] * len(few), resources=batch.resources, once=True)
        values = _of_that_input(of.explain(model, inner).arrays["attribution"], model.card, of)
        _check_axis(values.shape[at + 1], of, found)
        values = np.abs(values) if size else values
        found.add(values.sum(tuple(i for i in range(1, values.ndim) if i != at + 1)))
    if not found.counts[1]:
        raise none_of(name, target)
    if not found.counts[0]:
        raise InvalidParameter(
            "the relevance of no item sums to anything that could be shared out",
            pointer="/method/size",
            instead=[Instead(parameters={"size": True})],
        )
    mean, square = found.sums / found.counts[0]
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return Shares(mean, std, int(found.counts[0]), int(found.counts[1] - found.counts[0]))


def one_input(card: ModelCard) -> InputSpec:
    """The input that is explained; raises MethodNotApplicable where there are several."""
    names = dict.fromkeys(part.name for part in explained(card.input))
    if len(names) > 1:
        raise MethodNotApplicable(
            f"relevance is shared out along an axis of one input, and {card.name} has {', '.join(names)}",
            pointer="/method",
        )
    return card.named[next(iter(names))] if names else card.input


def _of_that_input(values: Tensor, card: ModelCard, of: Method) -> Floats:
    """Of ids what each has, summed over what embeddings look up for it."""
    (found,) = named(Attribution({"attribution": values.detach().double()}), card.input, of.of_places()).arrays.values()
    return torch.as_tensor(found).cpu().numpy()


def place_axis(spec: InputSpec, axis: int | str) -> int:
    """The axis, not counting the batch; raises InvalidParameter for one that the input has not."""
    count = len(spec.shape)
    if isinstance(axis, str) and axis in spec.axes:
        return spec.axes.index(axis)
    if isinstance(axis, int) and -count <= axis < count:
        return axis % count
    named = f", named {', '.join(spec.axes)}" if spec.axes else ""
    raise InvalidParameter(f"the input has the axes 0 to {count - 1}{named}", pointer="/method/axis")


def _check_axis(have: int, of: Method, found: Sums) -> None:
    if have != found.sums.shape[1]:
        raise InvalidParameter(
            f"{of.name} gives one value for the {found.sums.shape[1]} places of this axis; take another axis",
            pointer="/method/axis",
        )


def fits(mean: Floats) -> dict[str, dict[str, float]]:
    """The quadratic and the linear fit over t = 1, 2, ...: the seed's table 16.1 is of that origin."""
    t = np.arange(1, len(mean) + 1, dtype=np.float64)
    border = np.linalg.lstsq(np.stack([t**2, t, np.ones_like(t)], 1), mean, rcond=None)[0]
    lookahead = np.linalg.lstsq(np.stack([t, np.ones_like(t)], 1), mean, rcond=None)[0]
    return {
        "border": dict(zip(("B", "C", "D"), border.tolist(), strict=True)),
        "lookahead": dict(zip(("L", "A"), lookahead.tolist(), strict=True)),
    }
