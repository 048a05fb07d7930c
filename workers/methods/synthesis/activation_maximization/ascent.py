"""Ascent: inputs made up, step by step, so that units of a model grow, under priors (S3 2.1.1; S4 ch. 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from workers.engine.graph.graph import Graph
from workers.engine.model import target_masks
from workers.engine.model.batch import Report
from workers.engine.model.model import Model
from workers.engine.model.outputs import log_chances
from workers.explanation.target import Target, UnitTarget
from workers.methods.synthesis.activation_maximization.priors import Penalty, Priors

MOMENTUM = 0.9
SIZE = 0.99  # how slowly the measure of the gradient's size forgets
SMALLEST = 1e-12


class Term(NamedTuple):
    """A unit that is to grow, or with a negative weight to shrink."""

    target: Target
    weight: float


@dataclass(frozen=True)
class Objective:
    """The weighted sum of some units; with `selective`, by the logarithm of a softmax over their class or layer."""

    model: Model
    terms: tuple[Term, ...]
    selective: bool

    def values(self, x: Tensor) -> Tensor:
        """Every term's value, unweighted, (terms, n)."""
        graph = self.model.graph_of([term.target for term in self.terms])
        output, values = graph.run(x, {target_masks.node_of(term.target, graph) for term in self.terms})
        values[graph.output] = log_chances(self.model.card, output) if self.selective else output
        if self.selective:
            values |= self._selective(graph, values)
        found = [target_masks.masks([term.target] * len(x), graph, values) for term in self.terms]
        return torch.stack([target_masks.scores(masks, graph, values) for masks in found])

    def _selective(self, graph: Graph, values: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The values of layers with units that are to grow alone: the logarithm of a softmax over all of a layer's."""
        found = {}
        for term in self.terms:
            if isinstance(term.target, UnitTarget):
                node = graph.nodes[target_masks.node_of(term.target, graph)]
                parts = node.rows.split(values[node.index])
                found[node.index] = node.rows.join(parts.log_softmax(min(term.target.axis + 1, parts.dim() - 1)))
        return found

    def __call__(self, x: Tensor) -> Tensor:
        weights = x.new_tensor([term.weight for term in self.terms])
        return weights @ self.values(x)


@dataclass(frozen=True)
class Ascent:
    """`decode` makes inputs of what is moved: itself, or a generator's code. A step moves it by `length` on average."""

    objective: Objective
    priors: Priors
    decode: Callable[[Tensor], Tensor]
    penalty: Penalty
    length: float
    bounds: tuple[Tensor, Tensor] | None
    diversity: float
    coded: bool = False

    def run(
        self, start: Tensor, steps: int, report: Report, source: torch.Generator, show: Callable[[Tensor], None]
    ) -> tuple[Tensor, Tensor]:
        """What the steps end with, shaped like `start`, and the objective at each step, (n, steps); each is shown.

        The gradient's direction is kept: it is divided by its own running size alone, and steps shrink to nothing.
        """
        moved, pace, size, trace = start.clone(), torch.zeros_like(start), start.new_zeros(()), []
        for step in range(steps):
            values, slope = self.slope(moved, source)
            slope = self.priors.of_gradient(slope)
            pace = MOMENTUM * pace + (1 - MOMENTUM) * slope
            mean_square = slope.square().flatten(1).mean(1).view(-1, *[1] * (slope.dim() - 1))
            size = SIZE * size + (1 - SIZE) * mean_square
            scale = (1 - MOMENTUM ** (step + 1)) * (size / (1 - SIZE ** (step + 1))).clamp(min=SMALLEST).sqrt()
            moved = moved + self.length * (1 - step / steps) * pace / scale
            moved = self.priors.between(moved, step, source, self.coded)
            if self.bounds is not None:
                moved = moved.clamp(*self.bounds)
            trace.append(values)
            show(moved)
            report(step + 1, steps, "steps")
        return moved, torch.stack(trace, 1)

    def slope(self, moved: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """The objective (n,) as the model is shown it, and the gradient of it less the penalties."""
        show = self.priors.transformation(source)
        values, slopes = [], []
        for part in torch.split(moved, self.objective.model.chunk):
            leaf = part.detach().requires_grad_()
            with torch.enable_grad():
                x = self.decode(leaf)
                value = self.objective(show(x))
                total = (value - self.penalty(leaf, x)).sum()
            values.append(value.detach())
            slopes.append(torch.autograd.grad(total, leaf)[0])
        return torch.cat(values), torch.cat(slopes) - self._likeness(moved)

    def _likeness(self, moved: Tensor) -> Tensor | float:
        """The gradient of how like each other the inputs are: the mean cosine of their pairs, weighted."""
        if not self.diversity or len(moved) == 1:
            return 0.0
        leaf = moved.detach().requires_grad_()
        with torch.enable_grad():
            flat = self.decode(leaf).flatten(1)
            alike = cosine_similarity(flat[:, None], flat[None], dim=2).sum() - len(flat)
            mean = self.diversity * alike / (len(flat) - 1)
        return torch.autograd.grad(mean, leaf)[0]


def activations(objective: Objective, x: Tensor) -> list[list[float]]:
    """Every term's value at each input as it is, by input."""
    with torch.no_grad():
        parts = [objective.values(part) for part in torch.split(x, objective.model.chunk)]
    found: list[list[float]] = torch.cat(parts, 1).T.tolist()
    return found


def terms(wanted: Target, also: Sequence[tuple[Target, float]]) -> tuple[Term, ...]:
    """The target itself and those beside it."""
    return (Term(wanted, 1.0), *(Term(*one) for one in also))
