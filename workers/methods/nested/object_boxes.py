"""Whether attributions lie on the object: the pointing game, and their share inside its box (S4 l.415, 22.3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import Items
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.fields.judged import Box
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions, by_place
from workers.methods.nested.ranks import rounding

HIGHEST = 1e6  # of a ratio: where nothing lies outside the box


def check(model: Function) -> None:
    """Raise MethodNotApplicable for an input without height and width."""
    if len(model.card.input.spatial_shape) != 2:
        takes = ", ".join(f"{name} of the shape {list(spec.shape)}" for name, spec in model.card.named.items())
        raise MethodNotApplicable(
            f"a box lies in an image with height and width, and {model.card.name} takes {takes}", pointer="/method"
        )


def inside(model: Function, batch: Batch, items: Items | None, box: Box) -> Tensor:
    """Where the object is, bool (n, height, width): the items' boxes, else their masks together, else the box given.

    Raises InvalidParameter for a dataset with neither, and for a box that no place's centre lies in.
    """
    height, width = model.card.input.spatial_shape
    if items is None:
        found = _boxes(torch.tensor([box] * len(batch)), height, width)
    elif items.boxes is not None:
        found = _boxes(torch.as_tensor(items.boxes), height, width)
    elif items.masks is not None:
        found = items.masks.any(1).cpu()
    else:
        raise InvalidParameter(
            "the dataset has neither boxes nor masks; add an array `boxes` or `masks` to it", pointer="/method/dataset"
        )
    empty = (~found.flatten(1).any(1)).nonzero()
    if len(empty):
        where = "the box" if items is None else f"the box or mask of item {items.start + int(empty[0])}"
        raise InvalidParameter(
            f"{where} holds no place of the input; a box is left, top, right, bottom as fractions, left before right "
            "and top before bottom",
            pointer="/method/box" if items is None else "/method/dataset",
        )
    return found


def pointing(model: Function, batch: Batch, of: Sequence[Method], object_at: Tensor, margin: int) -> dict[str, Tensor]:
    """1 where the strongest place lies on the object or at most `margin` places beside it; of ties, the share."""
    if margin:
        side = 2 * margin + 1
        wide = torch.nn.functional.max_pool2d(object_at[:, None].float(), side, 1, margin)
        object_at = wide[:, 0] > 0
    hits = []
    for maps in attributions(model, batch, of):
        flat = by_place(maps, model.card.input).flatten(1).cpu()
        strongest = flat >= flat.amax(1, keepdim=True) - rounding(flat)
        hits.append((strongest & object_at.flatten(1)).sum(1) / strongest.sum(1))
    return {"scores": torch.stack(hits, 1)}


def ratios(model: Function, batch: Batch, of: Sequence[Method], object_at: Tensor) -> dict[str, Tensor]:
    """Sums of magnitudes inside over those outside; `share` inside of all; `area` the object's share of the places."""
    flat = object_at.flatten(1)
    shares = []
    for maps in attributions(model, batch, of):
        sizes = by_place(maps, model.card.input).flatten(1).abs().double().cpu()
        shares.append((sizes * flat).sum(1) / sizes.sum(1).clamp(min=1e-300))
    share = torch.stack(shares, 1)
    ratio = share / (1 - share).clamp(min=1 / HIGHEST)
    area = flat.double().mean(1)[:, None].expand_as(share)
    return {"scores": ratio, "share": share, "area": area}


def _boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """The places whose centres lie in each box."""
    left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))
    x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
    across, down = (left <= x) & (x < right), (top <= y) & (y < bottom)
    return down[:, :, None] & across[:, None, :]
