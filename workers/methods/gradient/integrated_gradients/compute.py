"""Integrals of gradients along straight paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.chunks import sweep
from workers.explanation.target import Target


class Integral(NamedTuple):
    """Averaged gradients (n, *shape), with the completeness sums and the steps taken, by row."""

    gradients: Tensor
    expected: list[float]
    observed: list[float]
    steps: list[int]


def nodes_and_weights(rule: str, steps: int) -> tuple[Tensor, Tensor]:
    """Where on [0, 1] a rule evaluates, and its weights, which sum to 1; float64."""
    if rule == "gauss_legendre":
        roots, masses = np.polynomial.legendre.leggauss(steps)
        return torch.from_numpy((roots + 1) / 2), torch.from_numpy(masses / 2)
    offset = 0.5 if rule == "midpoint" else 1.0
    nodes = (torch.arange(steps, dtype=torch.float64) + offset) / steps
    return nodes, torch.full((steps,), 1 / steps, dtype=torch.float64)


def integrate(
    model: Model, batch: Batch, start: Tensor, rule: str, steps: int, tolerance: float | None, cap: int
) -> Integral:
    """Gradients averaged along the line from `start` to the inputs.

    With a tolerance, the steps of the rows whose relative completeness gap is above it are doubled until it is not, or
    until `cap`; a row is refined by itself, so that its result does not depend on its company.
    """
    wanted = model.resolve(batch)
    both, aims = torch.cat([batch.x, start]), [*wanted, *wanted]
    with torch.no_grad():
        scores = torch.cat([model.scores(part, aims[at : at + len(part)]) for at, part in _parts(model, both)])
    expected = (scores[: len(batch)] - scores[len(batch) :]).tolist()
    gradients = _average(model, batch, start, wanted, rule, steps)
    taken = [steps] * len(batch)
    observed = _sums(gradients, batch.x - start)
    while tolerance is not None:
        open_rows = [
            row
            for row, (want, have) in enumerate(zip(expected, observed, strict=True))
            if abs(have - want) > tolerance * abs(want) and taken[row] * 2 <= cap
        ]
        if not open_rows:
            break
        steps *= 2
        some = Batch(batch.x[open_rows], [wanted[r] for r in open_rows], report=batch.report)
        gradients[open_rows] = _average(model, some, start[open_rows], some.targets, rule, steps)
        observed = _sums(gradients, batch.x - start)
        taken = [steps if row in open_rows else have for row, have in enumerate(taken)]
    return Integral(gradients, expected, observed, taken)


def _average(model: Model, batch: Batch, start: Tensor, wanted: Sequence[Target], rule: str, steps: int) -> Tensor:
    nodes, weights = (t.to(batch.x) for t in nodes_and_weights(rule, steps))
    flat = (-1, *[1] * (batch.x.dim() - 1))
    total, line = torch.zeros_like(batch.x), batch.x - start
    for rows, points in sweep(model, batch, steps, "steps"):
        x = line[rows]
        x *= nodes[points].view(flat)
        x += start[rows]
        _, gradients = model.gradient(x, [wanted[row] for row in rows])
        total.index_add_(0, rows.to(total.device), gradients * weights[points].view(flat))
    return total


def _parts(model: Model, x: Tensor) -> list[tuple[int, Tensor]]:
    return [(at * model.chunk, part) for at, part in enumerate(torch.split(x, model.chunk))]


def _sums(gradients: Tensor, line: Tensor) -> list[float]:
    sums: list[float] = (gradients.double() * line.double()).flatten(1).sum(1).tolist()
    return sums
