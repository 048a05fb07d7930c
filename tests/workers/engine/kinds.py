"""A small net of each kind of output, with the scalar that a target of it is, and its probability, by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tests.toys import model_of
from workers.engine.model.model import Model
from workers.explanation.card import Output
from workers.explanation.request_target import parse_targets

Scalar: TypeAlias = Callable[[Tensor], Tensor]  # of one input's output
SHAPE = (1, 2, 3)


class Headed(nn.Module):
    """Two layers whose last values come in a shape; `squash` is what a net ends with that gives probabilities."""

    def __init__(self, shape: tuple[int, ...], squash: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.shape, self.squash = shape, squash
        self.body, self.drop = nn.Linear(6, 8), nn.Dropout()
        self.head = nn.Linear(8, max(1, torch.Size(shape).numel()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.drop(torch.relu(self.body(x.flatten(1)))))
        y = y.reshape(-1, *self.shape) if self.shape else y.squeeze(1)
        return y if self.squash is None else self.squash(y)


@dataclass(frozen=True)
class Kind:
    """A net's output, a target in a request's words, the scalar that it is, and its probability."""

    output: Output
    shape: tuple[int, ...]
    target: Any
    scalar: Scalar
    probability: Scalar | None = None
    squash: Callable[[Tensor], Tensor] | None = None

    def model(self) -> Model:
        return _model(self.output, self.shape, self.squash)

    def module(self) -> Headed:
        return Headed(self.shape, self.squash).double().eval()

    def parsed(self, model: Model) -> Any:
        (target,) = parse_targets(self.target, model.card)
        return target

    def told(self, x: Tensor) -> tuple[float, float | None]:
        """The scalar at an input (*SHAPE), and its probability."""
        with torch.no_grad():
            y = self.module()(x[None])[0]
            return self.scalar(y).item(), None if self.probability is None else self.probability(y).item()


@cache
def _model(output: Output, shape: tuple[int, ...], squash: Callable[[Tensor], Tensor] | None) -> Model:
    return model_of(Headed(shape, squash), SHAPE, torch.float64, output=output, low=-3.0, high=3.0)


def softmaxed(y: Tensor) -> Tensor:
    return y.softmax(1)


def alpha(y: Tensor) -> Tensor:
    return (y.clamp(min=0) + 1)[1] / (y.clamp(min=0) + 1).sum()


def mask(*shape: int) -> Any:
    return (torch.arange(torch.Size(shape).numel()) % 2 == 0).view(shape).tolist()


def within(y: Tensor) -> Tensor:
    return y[torch.tensor(mask(*y.shape))]


KINDS = {
    "logits": Kind("logits", (3,), 1, lambda y: y[1], lambda y: y.softmax(0)[1]),
    "logits of places": Kind("logits", (3, 4), 1, lambda y: y[1].sum(), lambda y: y.softmax(0)[1].mean()),
    "a lone logit of an unknown kind": Kind("logits", (1,), 0, lambda y: y[0]),
    "binary (n, 1)": Kind("binary", (1,), 0, lambda y: y[0], lambda y: y[0].sigmoid()),
    "binary (n,)": Kind("binary", (), "argmax", lambda y: y, lambda y: y.sigmoid()),
    "binary (n, 1, 1)": Kind("binary", (1, 1), 0, lambda y: y.sum(), lambda y: y.sigmoid().sum()),
    "sigmoid inside (n, 1)": Kind("probabilities", (1,), 0, lambda y: y[0], lambda y: y[0], torch.sigmoid),
    "sigmoid inside (n,)": Kind("probabilities", (), 0, lambda y: y, lambda y: y, torch.sigmoid),
    "multilabel": Kind("multilabel", (3,), 2, lambda y: y[2], lambda y: y[2].sigmoid()),
    "multilabel of one": Kind("multilabel", (1,), 0, lambda y: y[0], lambda y: y[0].sigmoid()),
    "probabilities": Kind("probabilities", (3,), 1, lambda y: y[1], lambda y: y[1], softmaxed),
    "evidence": Kind("evidence", (3,), 1, lambda y: y[1], alpha),
    "value (n,)": Kind("value", (), "value", lambda y: y),
    "value (n, 1)": Kind("value", (1,), "argmax", lambda y: y[0]),
    "value (n, 1, 1)": Kind("value", (1, 1), {"index": [0, 0]}, lambda y: y[0, 0]),
    "one of four values": Kind("value", (4,), 2, lambda y: y[2]),
    "sum of four values": Kind("value", (4,), {"reduce": "sum"}, lambda y: y.sum()),
    "mean of four values": Kind("value", (4,), {"reduce": "mean"}, lambda y: y.mean()),
    "one of a picture": Kind("value", (2, 2, 3), {"index": [1, 0, 2]}, lambda y: y[1, 0, 2]),
    "sum of a picture": Kind("value", (2, 2, 3), {"reduce": "sum"}, lambda y: y.sum()),
    "mean of a picture": Kind("value", (2, 2, 3), {"reduce": "mean"}, lambda y: y.mean()),
    "segmentation 1D": Kind("segmentation", (3, 4), 1, lambda y: y[1].sum(), lambda y: y.softmax(0)[1].mean()),
    "segmentation 2D": Kind("segmentation", (3, 2, 3), 1, lambda y: y[1].sum(), lambda y: y.softmax(0)[1].mean()),
    "segmentation 3D": Kind("segmentation", (3, 2, 2, 2), 2, lambda y: y[2].sum(), lambda y: y.softmax(0)[2].mean()),
    "segmentation of one class": Kind("segmentation", (1, 4), 0, lambda y: y.sum(), lambda y: y.sigmoid().mean()),
    "mask 1D": Kind(
        "segmentation", (3, 4), {"class": 1, "mask": mask(4)}, lambda y: within(y[1]).sum(),
        lambda y: within(y.softmax(0)[1]).mean(),
    ),
    "mask 2D": Kind(
        "segmentation", (3, 2, 3), {"class": 0, "mask": mask(2, 3)}, lambda y: within(y[0]).sum(),
        lambda y: within(y.softmax(0)[0]).mean(),
    ),
    "mask 3D": Kind(
        "segmentation", (3, 2, 2, 2), {"class": 2, "mask": mask(2, 2, 2)}, lambda y: within(y[2]).sum(),
        lambda y: within(y.softmax(0)[2]).mean(),
    ),
    "mask of one class": Kind(
        "segmentation", (1, 4), {"class": 0, "mask": mask(4)}, lambda y: within(y[0]).sum(),
        lambda y: within(y[0].sigmoid()).mean(),
    ),
}  # fmt: skip
