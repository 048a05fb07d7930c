"""Windows that slide over the places of an input of any rank."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import outside, shares
from workers.engine.model.outputs import check_probability
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.maps import over_channels
from workers.explanation.card import InputSpec, Part
from workers.explanation.errors import InvalidParameter
from workers.explanation.inputs import explained, words_of

Window: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True)
class Word:
    """The tokens of a text that are of the word of this number; which they are differs by row."""

    words: Part
    part: Part
    number: int

    def columns(self, x: Tensor) -> Tensor:
        """Where in the list x of all inputs of a row these lie, with all channels."""
        here = (x[self.words.start : self.words.stop] == self.number).nonzero()[:, 0]
        width = self.part.shape[-1]
        first = self.part.start + here * width
        return (first[:, None] + torch.arange(width, device=x.device)).flatten()


Region: TypeAlias = Window | tuple[Tensor] | Word  # of several inputs: where it lies in the list of them


def windows_of(spec: InputSpec, x: Tensor, patch: int | None, stride: int | None) -> Sequence[Region]:
    """The windows over the places of an input, or over the features of a flat one; of several inputs, of each in turn.

    Of a text in x (n, numbers) each word, of ids each token, where no patch is asked for. Raises InvalidParameter.
    """
    if spec.kind == "table":
        patch = patch or 1  # columns that stand beside each other have nothing in common
    if not spec.parts:
        return windows(spec.shape if spec.channel_axis is None else (1, *spec.spatial_shape), patch, stride)
    found: list[Region] = []
    for part in explained(spec):
        words = next((one for one in spec.parts if one.name == words_of(part.name)), None)
        if part.embedding and words is not None and patch is None:
            last = int(x[:, words.start : words.stop].max())
            found += [Word(words, part, number) for number in range(last + 1)]
        else:
            side = 1 if part.embedding and patch is None else patch
            found += [(columns_of(part, window),) for window in windows((1, *part.spatial_shape), side, stride)]
    return found


def columns_of(part: Part, window: Window) -> Tensor:
    """Where in the list of all inputs a window of one of them lies, with all channels of its places."""
    at = torch.arange(part.start, part.stop).view(part.shape)
    inside = list(window)
    if part.channels is not None:
        inside.insert(part.channels, slice(None))
    return at[tuple(inside)].flatten()


def counts(windows: Sequence[Region], x: Tensor) -> list[int]:
    """How many of the windows each row of x (n, numbers) has."""
    return [sum(not isinstance(one, Word) or len(one.columns(row)) > 0 for one in windows) for row in x]


def windows(shape: Sequence[int], patch: int | None, stride: int | None) -> list[Window]:
    """The windows over the places of an input (channels, *places), or over the features of a flat one.

    Every place is covered: the last window of a row is cut at the edge. Raises InvalidParameter for a stride beyond the
    patch, which would leave places out.
    """
    sizes = shape[1:] if len(shape) > 1 else shape
    side = patch or max(1, max(sizes) // 14)
    step = stride or side
    if step > side:
        raise InvalidParameter(
            f"a stride of {step} with a patch of {side} leaves places uncovered; use at most the patch",
            pointer="/method/stride",
        )
    axes = [
        [slice(start, min(start + side, size)) for start in range(0, max(1, size - side + step), step)]
        for size in sizes
    ]
    return list(product(*axes))


def occlude(
    model: Function, batch: Batch, question: Hashable, windows: Sequence[Region], fill: Tensor, probability: bool
) -> Tensor:
    """score(x) - score(x with a window filled), averaged over the windows that cover a place; one channel.

    `fill` (n, k, *shape) holds k fills of each row; the score of a filled window is the mean over them.
    """
    spec = model.card.input
    channels, sizes, fills = spec.channel_axis, spec.spatial_shape, fill.shape[1]

    def at(row: int, point: int) -> list[slice | Tensor]:
        region = windows[(point - 1) // fills]
        if isinstance(region, Word):
            return [region.columns(batch.x[row])]
        inside: list[slice | Tensor] = list(region)
        if channels is not None:
            inside.insert(channels, slice(None))
        return inside

    def alter(rows: Tensor, points: Tensor) -> Tensor:
        """The input itself at point 0, and after it the input with each window filled."""
        x = batch.x[rows]
        for i, (row, point) in enumerate(zip(rows.tolist(), points.tolist(), strict=True)):
            if point > 0:
                place = at(row, point)
                x[(i, *place)] = fill[(row, (point - 1) % fills, *place)]
        return x

    copies = Copies.of_each(len(batch), 1 + len(windows) * fills, alter)
    scores = altered_scores(model, batch, copies, probability, question).view(len(batch), -1)
    filled = scores[:, 1:].view(len(batch), len(windows), fills).mean(2)
    losses = (scores[:, :1] - filled).view(len(batch), -1, *[1] * len(sizes))
    spread = batch.x.new_zeros((len(batch), *sizes))
    covered = torch.zeros_like(spread)
    for point, window in enumerate(windows):
        if isinstance(window, Word):
            for row, x in enumerate(batch.x):
                own = window.columns(x)
                spread[row, own] += losses[row, point] / max(1, len(own) // window.part.shape[-1])
                covered[row, own] += 1
            continue
        spread[(slice(None), *window)] += losses[:, point]
        covered[(slice(None), *window)] += 1
    if not spec.parts:
        return over_channels(spread / covered, spec)
    found = spread * shares(spec, spread) / covered.clamp(min=1)  # what is held is in no window
    kept = outside(batch.x, spec, model.card.named)
    return found if kept is None else found.masked_fill(kept, 0)


def check_score(model: Function, score: str) -> None:
    """Raise MethodNotApplicable or InvalidTarget where a probability is to be watched, and there is none."""
    if score == "probability":
        check_probability(model.card, model.targets)
