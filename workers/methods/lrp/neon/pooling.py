"""The layers that k-means and one-class SVMs are: distances, and a soft minimum over them (S4 10.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method


@dataclass(frozen=True)
class Machine:
    """A soft minimum over points (m, d) with weights (m,); of k-means each is a rival of the cluster `of`.

    Without `cluster`, k-means takes the nearest of each input; a one-class SVM has none.
    """

    points: Tensor
    weights: Tensor
    stiffness: float
    clusters: bool
    cluster: int | None = None


class Pooled(NamedTuple):
    """Relevance (n, d) of a layer's values, what it sums to by theory (n,), and what is told of each row."""

    relevance: Tensor
    expected: Tensor
    info: list[dict[str, Any]]


def layer_of(fit: Method) -> str:
    """The layer that the machine sees."""
    return cast(str, fit.layer)  # type: ignore[attr-defined]  # a neon_fit, as its field has it


def machine_of(state: Mapping[str, Any], cluster: int | None, stiffness: float) -> Machine:
    """The machine by its arrays; raises InvalidParameter for a cluster that there is not."""
    if "centres" not in state:
        if cluster is not None:
            raise InvalidParameter("a one-class SVM has no clusters; leave the cluster out", pointer="/method/cluster")
        support, weights = (torch.from_numpy(state[name]).double() for name in ("support", "weights"))
        return Machine(support, weights, float(state["width"][0]), clusters=False)
    centres = torch.from_numpy(state["centres"]).double()
    if cluster is not None and cluster >= len(centres):
        raise InvalidParameter(
            f"there is no cluster {cluster}; the fit has {len(centres)}, counted from 0", pointer="/method/cluster"
        )
    return Machine(centres, torch.ones(len(centres), dtype=torch.float64), stiffness, clusters=True, cluster=cluster)


def pooled(machine: Machine, x: Tensor) -> Pooled:
    """The machine's answer for x (n, d) and its relevance, a row at a time: points by d are all that is in memory."""
    points, weights = machine.points.to(x.device), machine.weights.to(x.device)
    rows = [_row(machine, points, weights, one) for one in x]
    relevance = torch.stack([row[0] for row in rows])
    return Pooled(relevance, torch.stack([row[1] for row in rows]), [row[2] for row in rows])


def _row(machine: Machine, points: Tensor, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
    apart = (x - points).square()
    own = None
    if machine.clusters:
        own = int(apart.sum(1).argmin()) if machine.cluster is None else machine.cluster
        rivals = torch.arange(len(points), device=x.device) != own
        apart, weights = apart[rivals] - apart[own], weights[rivals]
    h = apart.sum(1)
    logits = weights.log() - machine.stiffness * h
    p = logits.softmax(0)
    answer = -logits.logsumexp(0) / machine.stiffness
    taken = (torch.xlogy(p, p) - torch.xlogy(p, weights)).sum() / machine.stiffness
    info = {"answer": float(answer), "p": [float(one) for one in p]}
    if own is None:
        info |= {"machine": "one_class_svm", "about": f"how unusual it is, {answer:.3g}"}
    else:
        info |= {"machine": "k_means", "cluster": own, "about": f"cluster {own}, by {answer:.3g}"}
    return (p[:, None] * apart).sum(0), answer - taken, info
