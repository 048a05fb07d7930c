"""Where an ascent starts: noise, the mean of a dataset's items of a class, or some of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.data.labels import about, none_of
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import Target

FACETED = 2000  # items that are clustered at most
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


class Moments(NamedTuple):
    """The mean of some items and the variance of each feature, both (1, *shape)."""

    mean: Tensor
    variance: Tensor


def moments(model: Function, batch: Batch, dataset: str, target: Target) -> Moments:
    """Those of the items that the target is about; raises InvalidParameter where there are none."""
    total = square = torch.zeros((), dtype=torch.float64, device=model.device)
    origin, count = None, 0
    for found in about(model, batch, dataset, target):
        origin = found.x[:1].double() if origin is None else origin  # squares of what lies far from zero drown
        apart = found.x.double() - origin
        total, square = total + apart.sum(0, keepdim=True), square + apart.square().sum(0, keepdim=True)
        count += len(found.x)
    if origin is None:
        raise none_of(dataset, target)
    mean = total / count
    variance = (square / count - mean.square()).clamp(min=0)
    return Moments((origin + mean).to(model.dtype), variance.to(model.dtype))


def facets(
    model: Function, batch: Batch, dataset: str, target: Target, count: int, seed: int
) -> tuple[Tensor, list[int]]:
    """The means of so many clusters of the items that the target is about, and how many items each has (S4 l.1157).

    The clusters are those of k-means over the first FACETED items; raises InvalidParameter where there are fewer items.
    """
    from sklearn.cluster import KMeans

    parts, seen = [], 0
    for found in about(model, batch, dataset, target):
        parts.append(found.x[: FACETED - seen].cpu())
        seen += len(parts[-1])
        if seen == FACETED:
            break
    if seen < count:
        raise InvalidParameter(
            f"{count} facets are {count} clusters, and the dataset {dataset!r} has {seen} items of this target",
            pointer="/method/count",
        )
    x = torch.cat(parts)
    groups = KMeans(count, n_init=4, random_state=seed % 2**32).fit_predict(x.flatten(1).double().numpy())
    chosen = [torch.from_numpy(groups == k) for k in range(count)]
    means = torch.stack([x[of].double().mean(0) for of in chosen])
    return means.to(model.device, model.dtype), [int(of.sum()) for of in chosen]


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
