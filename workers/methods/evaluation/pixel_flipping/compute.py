"""Pixel flipping: the score as patch after patch is taken away, in the order that attributions give (S2 section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import by_part, hold, outside, piece
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.baselines import baseline
from workers.engine.perturbation.maps import over_channels
from workers.engine.perturbation.segments import segments
from workers.engine.perturbation.windows import columns_of, windows
from workers.explanation.card import InputSpec, Part
from workers.explanation.inputs import explained
from workers.explanation.perturbation import Cut
from workers.methods.fields.judged import Fill, patch_side
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions, by_place
from workers.methods.nested.ranks import places

Order: TypeAlias = Literal["morf", "lerf", "random"]


class Flipping(Protocol):
    """The parameters of the method."""

    @property
    def of(self) -> tuple[Method, ...]: ...
    @property
    def order(self) -> Order: ...
    @property
    def patch(self) -> int | None: ...
    @property
    def segments(self) -> Cut | None: ...
    @property
    def count(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def fill(self) -> Fill: ...
    @property
    def score(self) -> str: ...
    def by_segments(self, spec: InputSpec, /) -> bool: ...


class Patches(NamedTuple):
    """What goes at a time: `labels` (n, *places) number each row's patches from 0, of which it has `counts`.

    `side` of square ones; of segments it is 1, for a column or a token is one by itself.
    """

    labels: Tensor
    counts: list[int]
    side: int


def most(spec: InputSpec, method: Flipping) -> int:
    """How many steps the curves have: as many as are asked for, of square patches no more than there are."""
    if method.by_segments(spec):
        return method.steps
    return min(method.steps, len(_cut(spec, method.patch or patch_side(spec))))


def patches(model: Function, batch: Batch, method: Flipping) -> Patches:
    """What goes at a time of each row."""
    spec = model.card.input
    if method.by_segments(spec):
        cut = segments(model, batch, method.segments, method.count)
        return Patches(cut.labels, cut.counts, 1)
    side = method.patch or patch_side(spec)
    labels = squares(spec, side)
    whole = labels.to(batch.x.device).expand(len(batch), *labels.shape)
    return Patches(whole, [int(labels.max()) + 1] * len(batch), side)


def squares(spec: InputSpec, side: int) -> Tensor:
    """For each place the number of its patch: patches do not overlap, and are cut at the edges.

    Of several inputs each has its own, at all channels of its places; what is held is counted to the first, and stays.
    """
    labels = torch.zeros(spec.spatial_shape, dtype=torch.long)
    for number, place in enumerate(_cut(spec, side)):
        labels[place] = number
    return labels


def _cut(spec: InputSpec, side: int) -> Sequence[tuple[slice, ...] | Tensor]:
    """The places of each patch."""
    if not spec.parts:
        flat = spec.channel_axis is None
        return [*windows(spec.spatial_shape if flat else (1, *spec.spatial_shape), side, None)]
    return [
        columns_of(part, window) for part in explained(spec) for window in windows((1, *part.spatial_shape), side, None)
    ]


def curves(model: Function, batch: Batch, method: Flipping, cut: Patches, steps: int) -> Tensor:
    """The scores with the first 0, 1, .. `steps` patches of each method's order gone: (n, methods, steps + 1).

    They stay as they are once none is left.
    """
    ranks = torch.stack(_ranks(model, batch, method, cut), 1)
    gone = ranks[:, :, None, :] < torch.arange(steps + 1)[:, None]  # (n, methods, steps + 1, patches)
    rows, masks, positions = _distinct(gone)
    blank, axes, device = filled(model, batch, method.fill, cut), model.card.input, batch.x.device
    masks, rows = masks.to(device), rows.to(device)

    def flipped(at: Tensor) -> Tensor:
        labels = cut.labels[rows[at]]
        mask = masks[at].gather(1, labels.flatten(1)).view(labels.shape)
        return torch.where(over_channels(mask, axes), blank[rows[at]], batch.x[rows[at]])

    scores = altered_scores(model, batch, Copies(rows, flipped), method.score == "probability")
    return scores[positions].view(gone.shape[:3])


def areas(found: Tensor, cut: Patches) -> Tensor:
    """The mean fall of curves (n, methods, steps + 1), of each row over the steps in which something goes."""
    lost = found[:, :, :1] - found
    last = [min(count, lost.shape[2] - 1) for count in cut.counts]
    return torch.stack([row[:, : stop + 1].mean(1) for row, stop in zip(lost, last, strict=True)])


def filled(model: Function, batch: Batch, fill: Fill, cut: Patches) -> Tensor:
    """The inputs with everything taken away; patch_mean leaves each patch its mean, channel by channel.

    A column or a token by itself, whose mean is itself, is zero then.
    """
    if fill != "patch_mean":
        return baseline(model, batch, fill, asked="fill")
    spec, single = model.card.input, cut.side == 1
    zero = baseline(model, batch, "zero", asked="fill")
    if not spec.parts:
        return zero if spec.channel_axis is None and single else _patch_mean(batch.x, cut.labels, spec.channel_axis)

    def part_mean(own: Tensor, part: Part) -> Tensor:
        if single and (part.embedding or part.channels is None):
            return piece(zero, part)
        labels = cut.labels[:, part.start : part.stop].view(len(own), *part.shape)
        return _patch_mean(own, labels if part.channels is None else labels.select(part.channels + 1, 0), part.channels)

    found, kept = by_part(batch.x, spec, part_mean), outside(batch.x, spec, model.card.named)
    return found if kept is None else torch.where(kept, batch.x, found)


def _patch_mean(inputs: Tensor, labels: Tensor, axis: int | None) -> Tensor:
    """The mean of each patch in each channel, in all its places; labels (n, *places)."""
    x = inputs.unsqueeze(1) if axis is None else inputs.movedim(axis + 1, 1)
    index = (labels - labels.min()).flatten(1).to(x.device)
    sizes = x.new_zeros(len(x), int(index.max()) + 1).scatter_add_(1, index, x.new_ones(index.shape))
    index = index[:, None].expand(-1, x.shape[1], -1)
    sums = x.new_zeros((*x.shape[:2], sizes.shape[1])).scatter_add_(2, index, x.flatten(2))
    means = (sums / sizes.clamp(min=1)[:, None]).gather(2, index).view(x.shape)
    return means.squeeze(1) if axis is None else means.movedim(1, axis + 1)


def by_patch(model: Function, batch: Batch, maps: Tensor, cut: Patches) -> Tensor:
    """The attributions (n, ...) summed over each patch: (n, most patches)."""
    spec = model.card.input
    own, kept = hold(maps.clone(), torch.zeros_like(maps), spec), outside(batch.x, spec, model.card.named)
    own = by_place(own if kept is None else own.masked_fill(kept, 0), spec).flatten(1)
    return own.new_zeros(len(own), max(cut.counts)).scatter_add_(1, cut.labels.flatten(1).to(own.device), own)


def _ranks(model: Function, batch: Batch, method: Flipping, cut: Patches) -> list[Tensor]:
    """For each method the rank (n, patches) of each patch: 0 is taken away first; ties in the order of the patches.

    Those that a row has not got come last of all.
    """
    if method.order == "random":
        drawn = [torch.randperm(count, generator=g) for count, g in zip(cut.counts, batch.generators(), strict=True)]
        return [_padded(drawn)] * len(method.of)
    found = []
    for maps in attributions(model, batch, method.of):
        sums = zip(by_patch(model, batch, maps, cut), cut.counts, strict=True)
        found.append(_padded([places(row[:count], descending=method.order == "morf").cpu() for row, count in sums]))
    return found


def _padded(ranks: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(ranks), batch_first=True, padding_value=2**62)


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
