"""Segments: an input of any rank, cut into connected regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import outside, shares
from workers.engine.model.prediction import input_range
from workers.engine.perturbation.altered_scores import twins
from workers.engine.perturbation.maps import over_channels
from workers.explanation.errors import ANY_FUNCTION, Instead, InvalidParameter, MethodNotApplicable
from workers.explanation.inputs import explained, words_of
from workers.explanation.perturbation import Cut

if TYPE_CHECKING:
    from workers.explanation.card import InputSpec, Part

MOST = 2000  # segments: a regression over more would outlast the passes
_PLANE = 2
Range: TypeAlias = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Segments:
    """`labels` (n, *places) number each row's segments from 0; `counts` says how many each row has.

    `weights` (n, numbers) say what of its segment's value each number of several inputs has: over the channels of its
    place, and over the tokens of its word, all of it.
    """

    labels: Tensor
    counts: list[int]
    cut: Cut
    spec: InputSpec
    weights: Tensor | None = None

    def spread(self, values: Sequence[NDArray[np.float64]], dtype: torch.dtype) -> Tensor:
        """At each place the value of its segment, one channel: broadcasts to the inputs."""
        maps = [
            torch.from_numpy(row).to(self.labels.device, dtype)[labels]
            for row, labels in zip(values, self.labels, strict=True)
        ]
        found = torch.stack(maps)
        return over_channels(found, self.spec) if self.weights is None else found * self.weights.to(found)


def chosen(model: Function, cut: Cut | None) -> Cut:
    """The cut asked for, else slic for images and a grid for the rest.

    Raises MethodNotApplicable for superpixels of what is no image plane, and for a flat input of too many features.
    """
    spec = model.card.input
    if spec.parts:
        return _chosen_of_parts(model, cut)
    if cut in ("word", "token"):
        _refuse_words(model, cut)
    if cut in ("slic", "quickshift") and (len(spec.spatial_shape) != _PLANE or spec.channel_axis is None):
        raise MethodNotApplicable(
            f"segments={cut} draws superpixels on channels by height by width; this model's input has the shape "
            f"{list(spec.shape)}",
            pointer="/method/segments",
            instead=[Instead(parameters={"segments": "grid"})],
        )
    if spec.channel_axis is None and spec.shape[0] > MOST:
        raise MethodNotApplicable(
            f"each of the {spec.shape[0]} features would be a segment of its own, and {MOST} is the most that can be "
            "told apart",
            pointer="/method",
            instead=ANY_FUNCTION,
        )
    return cut or ("slic" if spec.kind == "image" else "grid")


def segments(model: Function, batch: Batch, cut: Cut | None, count: int) -> Segments:
    """Each row cut into about `count` segments; what was cut for one row serves its twins and other targets.

    Raises InvalidParameter for an image in which quickshift finds a single segment.
    """
    cut, spec = chosen(model, cut), model.card.input

    def made() -> Segments:
        weights = None
        if spec.parts:
            labels = [_of_parts(model, x, cut, count) for x in batch.x]
            weights = _weights(model, batch.x, torch.from_numpy(np.stack(labels)), cut)
        elif cut == "grid":
            labels = [grid(spec.spatial_shape, count if len(spec.shape) > 1 else spec.shape[0])] * len(batch)
        else:
            first_rows, bounds = sorted(set(twins(batch))), model.range()
            by_row = {row: _superpixels(spec, bounds, batch.x[row], cut, count) for row in first_rows}
            labels = [by_row[first] for first in twins(batch)]
        return Segments(
            torch.from_numpy(np.stack(labels)).to(batch.x.device),
            [int(row.max()) + 1 for row in labels],
            cut,
            spec,
            weights,
        )

    return batch.cache.get(Segments, (cut, count), made)


def _chosen_of_parts(model: Function, cut: Cut | None) -> Cut:
    """As `chosen`, of several inputs: superpixels for those that are images, else a grid."""
    spec = model.card.input
    images = [part for part in explained(spec) if len(part.spatial_shape) == _PLANE and part.channels is not None]
    if cut in ("slic", "quickshift") and not images:
        raise MethodNotApplicable(
            f"segments={cut} draws superpixels on channels by height by width; none of the inputs "
            f"{', '.join(model.card.named)} has these",
            pointer="/method/segments",
            instead=[Instead(parameters={"segments": "grid"})],
        )
    for part in explained(spec):
        if part.channels is None and part.shape[0] > MOST:
            raise MethodNotApplicable(
                f"each of the {part.shape[0]} features of the input {part.name} would be a segment of its own, and "
                f"{MOST} is the most that can be told apart",
                pointer="/method",
                instead=ANY_FUNCTION,
            )
    if cut in ("word", "token") and not any(part.embedding for part in explained(spec)):
        _refuse_words(model, cut)
    if cut is None and any(model.card.named[part.name].kind == "image" for part in images):
        return "slic"
    return cut or ("word" if any(part.embedding for part in explained(spec)) else "grid")


def _refuse_words(model: Function, cut: Cut) -> NoReturn:
    raise MethodNotApplicable(
        f"segments={cut} cuts a text, and {model.card.name} takes none",
        pointer="/method/segments",
        instead=[Instead(parameters={"segments": "grid"})],
    )


def _of_parts(model: Function, x: Tensor, cut: Cut, count: int) -> NDArray[np.int64]:
    """Segments of each input in turn, those of an image beside the columns of a row, numbered on.

    What is held is in the first, whose filling leaves it as it is.
    """
    spec, first = model.card.input, 0
    found = np.zeros(spec.shape, np.int64)
    kept = outside(x[None], spec, model.card.named)
    for part in explained(spec):
        if part.embedding:
            labels = _of_tokens(spec, part, x, kept, cut, count)
            found[part.start : part.stop] = np.repeat(np.where(labels < 0, 0, first + labels), part.shape[-1])
            first += int(labels.max(initial=-1)) + 1
            continue
        own, piece = model.card.named[part.name], x[part.start : part.stop].view(part.shape)
        if cut != "grid" and own.kind == "image":
            pixels: Cut = "quickshift" if cut == "quickshift" else "slic"  # a word says nothing of pictures
            labels = _superpixels(own, input_range(own, x.device, x.dtype), piece, pixels, count)
        else:
            labels = grid(part.spatial_shape, count if part.channels is not None else part.shape[0])
        spread = labels if part.channels is None else np.expand_dims(labels, part.channels)
        found[part.start : part.stop] = first + np.broadcast_to(spread, part.shape).ravel()
        first += int(labels.max()) + 1
    return found


def _of_tokens(spec: InputSpec, part: Part, x: Tensor, kept: Tensor | None, cut: Cut, count: int) -> NDArray[np.int64]:
    """The number of each token's word, or its own, or of ids that of its block; -1 of one that is none of the text."""
    words = next((one for one in spec.parts if one.name == words_of(part.name)), None)
    if words is not None and cut != "token":
        return np.asarray(x[words.start : words.stop].cpu().numpy(), np.int64)
    if cut == "grid":
        return grid(part.spatial_shape, count).ravel()
    out = (
        np.zeros(prod(part.shape[:-1]), bool)
        if kept is None
        else kept[0, part.start : part.stop : part.shape[-1]].cpu().numpy()
    )
    return np.asarray(np.where(out, -1, np.cumsum(~out) - 1), np.int64)


def _weights(model: Function, x: Tensor, labels: Tensor, cut: Cut) -> Tensor:
    """What of its segment's value each number has, (n, numbers); of blocks each place has all of it."""
    spec = model.card.input
    found, kept = shares(spec, x).expand(len(x), -1).clone(), outside(x, spec, model.card.named)
    if kept is not None:
        found = found.masked_fill(kept, 0)
    words = {part.name for part in spec.parts}
    for part in (part for part in explained(spec) if part.embedding):
        if cut == "grid" and words_of(part.name) not in words:
            continue
        at = slice(part.start, part.stop)
        own = labels[:, at].to(x.device)
        sizes = x.new_zeros(len(x), int(own.max()) + 1).scatter_add_(1, own, found[:, at])
        found[:, at] /= torch.where(sizes > 0, sizes, 1).gather(1, own)
    return found


def grid(sizes: Sequence[int], count: int) -> NDArray[np.int64]:
    """Blocks as near to cubes as can be, about `count` of them in all."""
    side = (prod(sizes) / count) ** (1 / len(sizes))
    blocks = [min(size, max(1, round(size / side))) for size in sizes]
    axes = [np.arange(size) * number // size for size, number in zip(sizes, blocks, strict=True)]
    return np.asarray(np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), blocks), np.int64)


def _superpixels(spec: InputSpec, known: Range | None, x: Tensor, cut: Cut, count: int) -> NDArray[np.int64]:
    # Imported here: it takes a second, and grids do without.
    from skimage.segmentation import quickshift, slic

    picture = _picture(spec, known, x)
    if cut == "slic":
        labels = slic(picture, n_segments=count, start_label=0)
    else:
        labels = quickshift(picture, kernel_size=4, max_dist=200, ratio=0.2)  # type: ignore[no-untyped-call]
        if not labels.any():
            raise InvalidParameter(
                "quickshift finds a single segment in this image, which explains nothing; use slic or grid",
                pointer="/method/segments",
            )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def _picture(spec: InputSpec, known: Range | None, x: Tensor) -> NDArray[np.float64]:
    """The input as a person sees it: height, width, red-green-blue, 0..1; other than three channels become gray."""
    axis = spec.channel_axis or 0
    if known is not None:
        low, high = (bound.expand(1, *x.shape)[0] for bound in known)
    else:
        low, high = x.amin(), x.amax()
    planes = ((x - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).movedim(axis, 0).double().cpu()
    if len(planes) != 3:
        planes = planes.mean(0, keepdim=True).expand(3, *planes.shape[1:])
    elif spec.image is not None and spec.image.mode == "BGR":
        planes = planes.flip(0)
    return np.ascontiguousarray(planes.movedim(0, -1).numpy())
