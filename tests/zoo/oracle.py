"""What is right, by torch's own autograd in float64 on the net as it was written, not as it was exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tests.zoo.animals import ZOO
from workers.engine.model.inputs import piece
from workers.explanation.card import InputSpec, Part
from workers.explanation.inputs import fed, is_plain
from workers.explanation.target import (
    ClassTarget,
    ElementTarget,
    RankTarget,
    ReducedTarget,
    Target,
    UnitTarget,
    ValueTarget,
)

Watched: TypeAlias = tuple[nn.Module, Callable[[nn.Module, Any, Any], None]]


@cache
def net(name: str) -> nn.Module:
    return ZOO[name].module().double()


def scalar(name: str, x: Tensor, target: Target, spec: InputSpec) -> Tensor | None:
    """The scalar that is explained, for one input x (*shape); None where no module has the target's value as its own.

    Of several inputs x is their list, laid out as `spec` says. A layer's value is what its module returned, where it
    ran once and its first axis is the batch.
    """
    if isinstance(target, UnitTarget):
        return _unit(name, x, target, spec)
    row = _output(name, x, spec)[0]
    if isinstance(target, ValueTarget):
        return row.sum()
    if isinstance(target, ElementTarget):
        return row[target.index]
    if isinstance(target, ReducedTarget):
        return row.sum() if target.reduce == "sum" else row.mean()
    totals = row.reshape(len(row), -1).sum(1) if row.dim() else row[None]
    index = target.index if isinstance(target, ClassTarget) else None
    if isinstance(target, RankTarget):
        index = int(totals.argsort(descending=True, stable=True)[target.rank])
    return None if index is None else totals[index]


def _output(name: str, x: Tensor, spec: InputSpec, watched: Watched | None = None) -> Tensor:
    """What the net returns for one input, its embeddings giving what the list says that they look up."""
    one = ZOO[name]
    if is_plain(one.takes):
        with watching(watched):
            returned = net(name)(x[None])
    else:
        parts = {part.name: part for part in spec.parts if not part.embedding}
        tensors = {key: piece(x[None], parts[key]) for key in fed(one.takes)}
        ids = {key: tensors[key].long() for key, of in fed(one.takes).items() if of.dtype == "int64"}
        with looked_up(net(name), x, ids, [part for part in spec.parts if part.embedding]), watching(watched):
            returned = net(name)(*{**tensors, **ids}.values())
    chosen: Tensor = returned if one.select is None else returned[one.select]
    return chosen


@contextmanager
def watching(watched: Watched | None) -> Iterator[None]:
    """A hook sees what the module returns, all that was put in its place included."""
    with ExitStack() as stack:
        if watched is not None:
            module, hook = watched
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def looked_up(module: nn.Module, x: Tensor, ids: Mapping[str, Tensor], parts: list[Part]) -> Iterator[None]:
    """Each embedding of an input's ids gives its part of the list."""
    left = list(parts)

    def given(_: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        part = next((part for part in left if torch.equal(_taken(ids, part), arguments[0].reshape(1, -1))), None)
        if part is None:
            return output
        left.remove(part)
        return piece(x[None], part).view(output.shape)

    with ExitStack() as stack:
        for each in module.modules():
            if isinstance(each, nn.Embedding):
                stack.callback(each.register_forward_hook(given).remove)
        yield


def _taken(ids: Mapping[str, Tensor], part: Part) -> Tensor:
    """The ids (1, n) that a part's embedding takes."""
    own = ids[part.name].flatten(1)
    return own if part.places is None else own[:, part.places]


def _unit(name: str, x: Tensor, target: UnitTarget, spec: InputSpec) -> Tensor | None:
    seen: list[Any] = []
    modules = dict(net(name).named_modules())
    if target.layer not in modules or target.index is None:
        return None

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output.clone() if isinstance(output, Tensor) else output)  # what follows may write into it

    _output(name, x, spec, (modules[target.layer], keep))
    if len(seen) != 1 or not isinstance(seen[0], Tensor) or len(seen[0]) != 1:
        return None
    return seen[0][(0, *target.index)]


def gradient(name: str, x: Tensor, target: Target, spec: InputSpec) -> Tensor | None:
    """Of the scalar at x; None where there is no such scalar, zeros where it does not depend on x."""
    x = x.clone().requires_grad_()
    value = scalar(name, x, target, spec)
    if value is None:
        return None
    return torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)[0] if value.requires_grad else x * 0
