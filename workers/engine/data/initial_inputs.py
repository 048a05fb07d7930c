"""Where an ascent starts: noise, the mean of a dataset's items of a class, or some of them."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.data.labels import about, none_of
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.target import Target

NOISE = 0.1  # standard deviation of a start from noise, as a share of the input's range


def span(model: Function) -> Tensor:
    """The width of the input's range by channel; one where the card gives none."""
    known = model.range()
    return known[1] - known[0] if known else torch.ones((), device=model.device, dtype=model.dtype)


def noise(model: Function, count: int, source: torch.Generator) -> Tensor:
    """Noise around zero of the model's own input, or around what of its range is nearest to zero."""
    drawn = torch.randn(count, *model.card.input.shape, generator=source).to(model.device, model.dtype)
    known, made = model.range(), NOISE * span(model) * drawn
    return made.clamp(*known) if known else made


def mean(model: Function, batch: Batch, dataset: str, target: Target) -> Tensor:
    """The mean of the items that the target is about, (1, *shape); raises InvalidParameter where there are none."""
    total, count = torch.zeros((), dtype=torch.float64, device=model.device), 0
    for found in about(model, batch, dataset, target):
        total = total + found.x.double().sum(0, keepdim=True)
        count += len(found.x)
    if not count:
        raise none_of(dataset, target)
    return (total / count).to(model.dtype)


def samples(
    model: Function, batch: Batch, dataset: str, target: Target, count: int, source: torch.Generator
) -> tuple[Tensor, list[int]]:
    """So many of the items that the target is about, by chance, and their numbers; each as likely as any other.

    Where there are fewer, they come round again.
    """
    chosen: list[tuple[int, Tensor]] = []
    seen = 0
    for found in about(model, batch, dataset, target):
        for number, x in zip(found.numbers.tolist(), found.x, strict=True):
            seen += 1
            if len(chosen) < count:
                chosen.append((number, x.clone()))
            elif (at := int(torch.randint(seen, (), generator=source))) < count:
                chosen[at] = (number, x.clone())
    if not chosen:
        raise none_of(dataset, target)
    picked = [chosen[i % len(chosen)] for i in range(count)]
    return torch.stack([x for _, x in picked]), [number for number, _ in picked]
