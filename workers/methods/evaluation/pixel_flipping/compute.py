"""Pixel flipping: the score as patch after patch is taken away, in the order that attributions give (S2 section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import by_part
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.baselines import baseline
from workers.engine.perturbation.maps import over_channels
from workers.engine.perturbation.windows import columns_of, windows
from workers.explanation.card import InputSpec, Part
from workers.explanation.inputs import explained
from workers.methods.fields.judged import Fill, patch_side
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions, by_place
from workers.methods.nested.ranks import places

Order: TypeAlias = Literal["morf", "lerf", "random"]


def patches(spec: InputSpec, side: int | None) -> Tensor:
    """For each place the number of its patch: patches do not overlap, and are cut at the edges.

    Of several inputs each has its own, at all channels of its places; what is held is counted to the first, and stays.
    """
    labels, side = torch.zeros(spec.spatial_shape, dtype=torch.long), side or patch_side(spec)
    cut: list[tuple[slice, ...] | Tensor] = [
        columns_of(part, window) for part in explained(spec) for window in windows((1, *part.spatial_shape), side, None)
    ]
    if not spec.parts:
        flat = spec.channel_axis is None
        cut = [*windows(spec.spatial_shape if flat else (1, *spec.spatial_shape), side, None)]
    for number, place in enumerate(cut):
        labels[place] = number
    return labels


def curves(
    model: Function,
    batch: Batch,
    of: Sequence[Method],
    labels: Tensor,
    order: Order,
    steps: int,
    fill: Fill,
    prob: bool,
) -> Tensor:
    """The scores with the first 0, 1, .. `steps` patches of each method's order gone: (n, methods, steps + 1)."""
    ranks = torch.stack(_ranks(model, batch, of, labels, order), 1)
    gone = ranks[:, :, None, :] < torch.arange(steps + 1)[:, None]  # (n, methods, steps + 1, patches)
    rows, masks, positions = _distinct(gone)
    blank, axes = filled(model, batch, fill, labels), model.card.input
    labels, masks, rows = labels.to(batch.x.device), masks.to(batch.x.device), rows.to(batch.x.device)

    def flipped(at: Tensor) -> Tensor:
        return torch.where(over_channels(masks[at][:, labels], axes), blank[rows[at]], batch.x[rows[at]])

    scores = altered_scores(model, batch, Copies(rows, flipped), prob)
    return scores[positions].view(gone.shape[:3])


def filled(model: Function, batch: Batch, fill: Fill, labels: Tensor) -> Tensor:
    """The inputs with everything taken away; patch_mean leaves each patch its mean, channel by channel."""
    if fill != "patch_mean":
        return baseline(model, batch, fill, asked="fill")
    spec = model.card.input
    if spec.parts:

        def part_mean(piece: Tensor, part: Part) -> Tensor:
            own = labels[part.start : part.stop].view(part.shape)
            return _patch_mean(piece, own if part.channels is None else own.select(part.channels, 0), part.channels)

        return by_part(batch.x, spec, part_mean)
    return _patch_mean(batch.x, labels, spec.channel_axis)


def _patch_mean(inputs: Tensor, labels: Tensor, axis: int | None) -> Tensor:
    """The mean of each patch in each channel, in all its places."""
    x = inputs.unsqueeze(1) if axis is None else inputs.movedim(axis + 1, 1)
    index = (labels - labels.min()).flatten().to(x.device)
    sums = x.new_zeros((*x.shape[:2], int(index.max()) + 1)).index_add_(2, index, x.flatten(2))
    means = (sums / index.bincount())[:, :, index].view(x.shape)
    return means.squeeze(1) if axis is None else means.movedim(1, axis + 1)


def by_patch(maps: Tensor, labels: Tensor) -> Tensor:
    """The attributions (n, *places) summed over each patch: (n, patches)."""
    sums = maps.new_zeros((len(maps), int(labels.max()) + 1))
    return sums.index_add_(1, labels.flatten().to(maps.device), maps.flatten(1))


def _ranks(model: Function, batch: Batch, of: Sequence[Method], labels: Tensor, order: Order) -> list[Tensor]:
    """For each method the rank (n, patches) of each patch: 0 is taken away first; ties in the order of the patches."""
    count = int(labels.max()) + 1
    if order == "random":
        drawn = torch.stack([torch.randperm(count, generator=source) for source in batch.generators()])
        return [drawn] * len(of)
    found = []
    for maps in attributions(model, batch, of):
        sums = by_patch(by_place(maps, model.card.input), labels)
        found.append(places(sums, descending=order == "morf").cpu())
    return found


def _distinct(gone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows and masks of the distinct altered inputs, and for each one asked for its place among them.

    Methods that agree on what goes first share passes; all share the whole input and the empty one.
    """
    count = gone.shape[-1]
    row = torch.arange(len(gone)).view(-1, 1, 1).expand(gone.shape[:3]).reshape(-1)
    bits = np.packbits(gone.reshape(-1, count).numpy(), axis=1)
    keys = np.concatenate([row.numpy().astype(">u4")[:, None].view(np.uint8), bits], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    chosen = torch.from_numpy(first)
    return row[chosen], gone.reshape(-1, count)[chosen], torch.from_numpy(inverse.reshape(-1))
