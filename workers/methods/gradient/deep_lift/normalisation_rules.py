"""DeepLIFT's rules for nodes that divide by what they sum over: softmax, attention, layer norm and its kin.

Each is the exact composition of simpler rules in closed form, so that nothing is divided by a difference that may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.graph import Node, Ref, substitute
from workers.engine.graph.tape import Local
from workers.engine.rules.rule import fit
from workers.methods.gradient.deep_lift.rules import Lifting


def argument(node: Node, name: str) -> Any:
    """A call's argument by the name that the operation's schema gives it, its default where it was not given."""
    declared = _declared(node.call, name)
    if declared is None:
        return None
    position, default = declared
    return node.args[position] if position < len(node.args) else node.kwargs.get(name, default)


@cache
def _declared(call: Callable[..., Any], name: str) -> tuple[int, Any] | None:
    """The place of a call's argument, and its default."""
    arguments = enumerate(call._schema.arguments)  # type: ignore[attr-defined]  # an OpOverload
    return next(((place, one.default_value) for place, one in arguments if one.name == name), None)


def log_mean(a: Tensor, b: Tensor) -> Tensor:
    """(e^a - e^b) / (a - b), the multiplier of the exponential; e^a where a = b, 0 where both are minus infinity."""
    gap = a - b
    near = gap.abs() < torch.finfo(gap.dtype).eps ** (1 / 4)
    series = ((a + b) / 2).exp() * (1 + gap.square() / 24)
    mean = torch.where(near, series, (a.exp() - b.exp()) / torch.where(near, 1.0, gap))
    return torch.where(torch.isneginf(a) & torch.isneginf(b), 0.0, mean)


def through_softmax(m: Tensor, a: Tensor, b: Tensor, dim: int) -> Tensor:
    """The multiplier of the logits, a and b being the log of the softmax for input and baseline.

    With s the logarithmic mean of both outputs, dy_i = s_i (dx_i - dL), and dL = sum s dx / sum s, as the outputs
    sum to 1 before and after. It is softmax's derivative with s for the output.
    """
    s = log_mean(a, b)
    return s * (m - (m * s).sum(dim, keepdim=True) / s.sum(dim, keepdim=True))


class Softmax(Lifting):
    """softmax, log_softmax and logsumexp over one axis."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        m, dim = relevance, argument(local.node, "dim")
        dim = dim[0] if isinstance(dim, list | tuple) else dim
        a, b = (x.log_softmax(dim) for x in (local.leaves[0].detach(), self.contrast.references(local)[0]))
        if local.node.op == "softmax":
            return [through_softmax(m, a, b, dim)]
        s = log_mean(a, b)
        shares = s / s.sum(dim, keepdim=True)
        if local.node.op == "logsumexp":
            return [shares * (m if argument(local.node, "keepdim") else m.unsqueeze(dim))]
        return [m - shares * m.sum(dim, keepdim=True)]


class Attention(Lifting):
    """softmax(q k^T scale + mask) v: a product, a softmax, a product."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        node, m = local.node, relevance
        q, k, v = (substitute(a, self.contrast.tape.values) for a in node.args[:3])
        q0, k0, v0 = (substitute(a, self.contrast.base) for a in node.args[:3])
        scale = argument(node, "scale") or 1 / math.sqrt(q.shape[-1])
        mask = substitute(argument(node, "attn_mask"), self.contrast.tape.values)
        if argument(node, "is_causal"):
            mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
        a, b = (_log_weights(left @ right.mT * scale, mask) for left, right in ((q, k), (q0, k0)))
        through = through_softmax(m @ ((v + v0) / 2).mT, a, b, -1) * scale
        of = (through @ ((k + k0) / 2), through.mT @ ((q + q0) / 2), ((a.exp() + b.exp()) / 2).mT @ m)
        shares: dict[int, Tensor] = {}
        for given, part in zip(node.args[:3], of, strict=True):
            if isinstance(given, Ref):
                shares[given.index] = shares.get(given.index, 0.0) + part
        return [
            fit(shares[i], leaf) if i in shares else None for i, leaf in zip(local.inputs, local.leaves, strict=True)
        ]


def _log_weights(logits: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.log_softmax(-1)


class Standardise(Lifting):
    """Layer, group, instance and root-mean-square norm: y = c / s, c = x - mean, s = sqrt(mean c^2 + eps).

    As the product c = s y, whose difference is that of s times the mean y and that of y times the mean s. (As the
    product of c and 1 / s it would be exact too, but a constant baseline, whose 1 / s is 1000, would drown the rest.)
    """

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        node, x, x0 = local.node, local.leaves[0].detach(), self.contrast.references(local)[0]
        m = _grouped(node, relevance * _weight(node, x))
        (c, s), (c0, s0) = (_parts(node, _grouped(node, part)) for part in (x, x0))
        both = s + s0
        of_s = -(m * (c / s + c0 / s0)).sum(-1, keepdim=True) / both
        shares = 2 * m / both + of_s * (c + c0) / (both * c.shape[-1])
        if node.op != "rms_norm":
            shares = shares - shares.mean(-1, keepdim=True)
        return [shares.view_as(x)]


def _parts(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    c = x if node.op == "rms_norm" else x - x.mean(-1, keepdim=True)
    epsilon = argument(node, "eps")
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else epsilon
    return c, (c.square().mean(-1, keepdim=True) + epsilon).sqrt()


def _grouped(node: Node, x: Tensor) -> Tensor:
    """x with all that is normalised together in the last axis."""
    shape = argument(node, "normalized_shape")
    if shape is not None:
        return x.flatten(-len(shape))
    return x.reshape(x.shape[0], argument(node, "num_groups") or x.shape[1], -1)


def _weight(node: Node, x: Tensor) -> Tensor | float:
    weight = argument(node, "weight")
    if not isinstance(weight, Tensor):
        return 1.0
    return weight if argument(node, "normalized_shape") else weight.view(-1, *[1] * (x.dim() - 2))
