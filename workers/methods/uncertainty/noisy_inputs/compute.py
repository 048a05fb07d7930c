"""Attributions of noisy copies of the inputs, gathered by predicted class (S3 l.416)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.embeddings import check_slope
from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.engine.perturbation.chunks import sweep
from workers.engine.perturbation.extents import extent
from workers.engine.perturbation.random_numbers import drawing
from workers.explanation.card import ModelCard
from workers.explanation.errors import MethodNotApplicable, methods
from workers.explanation.perturbation import NoiseOf
from workers.explanation.target import ClassTarget
from workers.methods.method import Method


def check(model: Function) -> None:
    """Raise MethodNotApplicable for a model that predicts none of several classes, or whose input is ids alone."""
    if isinstance(model, Model):
        check_slope(model.graph)
    if model.card.output == "value" or model.card.heads < 2:
        raise MethodNotApplicable(
            f"copies are told apart by their predicted class, and the output of {model.card.name} is "
            f"{model.card.output} of the shape {list(model.card.outputs)}",
            pointer="/method",
            instead=methods("smooth_grad"),
        )


class Seen:
    """Of each row, how many copies were taken for each class, and the sum of their maps."""

    def __init__(self, rows: int, heads: int) -> None:
        self.counts = torch.zeros(rows, heads, dtype=torch.long)
        self.sums: dict[tuple[int, int], Tensor] = {}

    def add(self, row: int, predicted: int, values: Tensor) -> None:
        self.counts[row, predicted] += 1
        known = self.sums.get((row, predicted))
        self.sums[row, predicted] = values.clone() if known is None else known + values

    def frequent(self, most: int) -> Tensor:
        """The most frequent classes of each row, (rows, classes)."""
        return self.counts.argsort(dim=1, descending=True, stable=True)[:, :most]

    def arrays(self, most: int) -> dict[str, Tensor]:
        like = next(iter(self.sums.values()))
        total = torch.zeros(len(self.counts), *like.shape, dtype=like.dtype, device=like.device)
        for (row, _), values in self.sums.items():
            total[row] += values
        by_class = [
            torch.stack(
                [
                    self.sums[row, c] / int(self.counts[row, c]) if (row, c) in self.sums else torch.zeros_like(like)
                    for c in chosen
                ]
            )
            for row, chosen in enumerate(self.frequent(most).tolist())
        ]
        return {"attribution": total / int(self.counts[0].sum()), "by_class": torch.stack(by_class)}

    def info(self, most: int, card: ModelCard) -> list[dict[str, Any]]:
        return [
            {
                "classes": chosen,
                "labels": [card.label(c) for c in chosen],
                "counts": counts[chosen].tolist(),
                "samples": int(counts.sum()),
            }
            for chosen, counts in zip(self.frequent(most).tolist(), self.counts, strict=True)
        ]


def observe(model: Function, batch: Batch, of: Method, samples: int, noise: float, noise_of: NoiseOf) -> Seen:
    """All copies, each explained for its own predicted class. Each row draws from its own seed, its copies in order."""
    scale = noise * extent(model, batch.x, noise_of)
    draw = drawing(model, batch, torch.randn, batch.generators())
    seen = Seen(len(batch), model.card.heads)
    for rows, _ in sweep(model, batch, samples, "samples"):
        x = batch.x[rows] + draw(rows) * scale.expand_as(batch.x)[rows]
        predicted = target_masks.totals(model.forward(x)).argmax(1).tolist()
        seeds = [getattr(of, "seed", 0)] * len(rows)
        inner = Batch(x, [ClassTarget(index=c) for c in predicted], seeds, resources=batch.resources, once=True)
        values = of.explain(model, inner).arrays["attribution"].detach()
        for row, c, one in zip(rows.tolist(), predicted, values, strict=True):
            seen.add(row, c, one)
    return seen
