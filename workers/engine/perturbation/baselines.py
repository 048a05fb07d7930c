"""Baselines: the input that stands for "nothing here"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import by_part, hold, outside, piece
from workers.engine.perturbation.random_numbers import drawn
from workers.explanation.card import InputSpec
from workers.explanation.errors import Instead, InvalidParameter
from workers.explanation.inputs import explained, is_beside
from workers.explanation.perturbation import Baseline, BaselineKind, DatasetMean, OwnInput

CHUNK = 64  # items of a dataset at once
BLUR = 0.1  # the blur's standard deviation, as a share of the longest side


class Mean(NamedTuple):
    """The mean of a dataset's items."""

    values: Tensor


def baseline(
    model: Function, batch: Batch, kind: Baseline, value: float = 0.0, asked: Literal["baseline", "fill"] = "baseline"
) -> Tensor:
    """The baseline of every row, shaped like the inputs.

    Raises InvalidParameter, which points at the field that `asked`, where it needs the range of an input of none, or
    does not fit the inputs.
    """
    spec = model.card.input
    made: dict[BaselineKind, Callable[[], Tensor]] = {
        "zero": lambda: torch.zeros_like(batch.x),
        "constant": lambda: torch.full_like(batch.x, value),
        "minimum": lambda: _range(model, asked)[0].expand_as(batch.x).clone(),
        "white": lambda: _range(model, asked)[1].expand_as(batch.x).clone(),
        "mean": lambda: _each(batch.x, spec, _mean),
        "blur": lambda: _each(batch.x, spec, _blurred),
        "uniform": lambda: _uniform(model, batch, *_range(model, asked)),
        "pad": lambda: _token(model, batch, "pad", asked),
        "mask": lambda: _token(model, batch, "mask", asked),
        "background": lambda: _typical(background(model, asked), model.card.input).expand_as(batch.x).clone(),
    }
    values = made[kind]() if isinstance(kind, str) else own(batch, kind, spec, asked).clone()
    found, kept = hold(values, batch.x, spec), outside(batch.x, spec, model.card.named)
    found = found if kept is None else torch.where(kept, batch.x, found)
    if not model.card.input.categories or kind == "background" or isinstance(kind, OwnInput | tuple):
        return found
    # A number between two categories, or none of them, is no value of such a column.
    typical = _typical(background(model, asked), model.card.input) if model.background is not None else batch.x
    return torch.where(_categories(model.card.input).to(found.device), typical.expand_as(found), found)


def own(
    batch: Batch, given: OwnInput | DatasetMean | tuple[float, ...], spec: InputSpec, asked: str = "baseline"
) -> Tensor:
    """An input of one's own, the mean of a dataset, or a number for each channel, for every row (n, *shape).

    Raises InvalidParameter, which points at the field that `asked`, for another shape than the inputs'.
    """
    if isinstance(given, tuple):
        return _channels(batch, given, spec, asked)
    if isinstance(given, DatasetMean):
        return _mean_of_items(batch, given.dataset).expand_as(batch.x)
    return like_the_input(batch.resources.given(given.digest), batch.x, asked).expand_as(batch.x)


def like_the_input(given: Tensor, x: Tensor, asked: str) -> Tensor:
    """An input of one's own (1, *shape) beside the inputs x (n, *shape).

    Raises InvalidParameter, which points at the field that `asked`, for another shape than theirs.
    """
    if given.shape != x.shape[1:]:
        raise InvalidParameter(
            f"this {asked} has the shape {list(given.shape)} as the model takes it, and the input has "
            f"{list(x.shape[1:])}: send one of the input's size",
            pointer=f"/method/{asked}",
        )
    return given.to(x)[None]


def _channels(batch: Batch, values: tuple[float, ...], spec: InputSpec, asked: str) -> Tensor:
    """Each channel's number at all its places; of a flat input, each feature's."""
    axis = spec.channel_axis or 0
    size = batch.x.shape[axis + 1]
    if len(values) != size or spec.parts:
        raise InvalidParameter(
            f"this {asked} has {len(values)} numbers, and the input has {size} channels: give one for each"
            if not spec.parts
            else f"this {asked} has a number for each channel, which is of one input, and the model takes several",
            pointer=f"/method/{asked}",
        )
    shape = [size if at == axis else 1 for at in range(batch.x.dim() - 1)]
    return batch.x.new_tensor(values).view(1, *shape).expand_as(batch.x)


def _mean_of_items(batch: Batch, name: str) -> Tensor:
    """The mean of a dataset's items (*shape), summed in float64; made once for a batch."""

    def made() -> Mean:
        dataset = batch.resources.dataset(name)
        if not dataset.count:
            raise InvalidParameter(f"the dataset {name!r} holds no items, and so has no mean", pointer="/method")
        total = torch.zeros(batch.x.shape[1:], dtype=torch.float64)
        for part in dataset.batches(CHUNK):
            total += part.x.double().sum(0).cpu()
            batch.report(part.start + len(part.x), dataset.count, "inputs of the mean")
        return Mean((total / dataset.count).to(batch.x))

    return batch.cache.get(Mean, name, made).values


def fills(model: Function, batch: Batch, kind: Baseline, value: float = 0.0) -> Tensor:
    """What stands for absence, one for each row, or all rows of the background: (n, k, *shape)."""
    if kind == "background":
        rows = background(model)
        return rows.expand(len(batch), *rows.shape)
    return baseline(model, batch, kind, value, asked="fill").unsqueeze(1)


def background(model: Function, asked: str = "fill") -> Tensor:
    """The rows (k, *shape) that stand for the usual inputs; raises InvalidParameter where the card names none."""
    if model.background is None:
        raise InvalidParameter(
            f"this {asked} needs rows that stand for the usual inputs, and the model's card names none: a table has "
            'background = "FILE.csv" in [input]',
            pointer=f"/method/{asked}",
            instead=[Instead(parameters={asked: kind}) for kind in ("zero", "mean")],
        )
    return model.background


def _categories(spec: InputSpec) -> Tensor:
    """Which columns of a table hold categories, (columns,)."""
    return torch.tensor([name in spec.categories for name in spec.names])


def _typical(rows: Tensor, spec: InputSpec) -> Tensor:
    """The mean of each column (1, columns), of a category the value that is there most often."""
    return torch.where(_categories(spec).to(rows.device), rows.mode(0).values, rows.mean(0))[None]


def _range(model: Function, asked: str) -> tuple[Tensor, Tensor]:
    found = model.range()
    if found is None:
        raise InvalidParameter(
            f"this {asked} needs the range of the input{_unbounded(model)}, which the model's card does not give: add "
            "low and high to its section of the card",
            pointer=f"/method/{asked}",
            instead=[Instead(parameters={asked: kind}) for kind in ("zero", "mean", "blur")],
        )
    return found


def _token(model: Function, batch: Batch, kind: Literal["pad", "mask"], asked: str) -> Tensor:
    """What the model's embedding looks up for the token that stands for none, or for a hidden one; else 0."""
    spec, named = model.card.input, model.card.named
    ids = {name: one.padding if kind == "pad" else one.mask for name, one in named.items()}
    texts = {part.name for part in explained(spec) if part.embedding}
    if not texts or any(ids[name] is None for name in texts):
        told = "padding" if kind == "pad" else "mask"
        raise InvalidParameter(
            f"this {asked} needs a token, and the model's card names none: give {told} to its section of the card"
            if texts
            else f"{asked}={kind} is a token's, and the model takes no tokens",
            pointer=f"/method/{asked}",
            instead=[Instead(parameters={asked: "zero"})],
        )
    raw = batch.x.clone()
    for part in spec.parts:
        if part.held and part.name in texts:
            raw[:, part.start : part.stop] = float(ids[part.name] or 0)
    fed = max(part.stop for part in spec.parts if not part.embedding and not is_beside(part.name))
    looked_up = model.embedded(raw[:, :fed])
    return by_part(batch.x, spec, lambda own, part: piece(looked_up, part) if part.embedding else torch.zeros_like(own))


def _unbounded(model: Function) -> str:
    """Which of several inputs has no range."""
    found = [part.name for part in explained(model.card.input) if not model.bounded(part.name)]
    return f" {', '.join(dict.fromkeys(found))}" if found else ""


def _each(x: Tensor, spec: InputSpec, make: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Tensor:
    """What is made of the input along its axes of places; of several, of each along its own."""
    if spec.parts:
        return by_part(x, spec, lambda piece, part: make(piece, _axes(part.shape, part.channels)))
    return make(x, _axes(spec.shape, spec.channel_axis))


def _axes(shape: tuple[int, ...], channels: int | None) -> tuple[int, ...]:
    """The axes of a batch's inputs that hold places."""
    return tuple(axis + 1 for axis in range(len(shape)) if axis != channels)


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Each channel's own mean over its places; of a flat input, the mean of its features."""
    return x.mean(axes, keepdim=True).expand_as(x).clone()


def _blurred(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The input under a Gaussian along each axis of places, edges repeated."""
    for axis in axes:
        x = blur_axis(x, axis, max(1.0, BLUR * x.shape[axis]))
    return x


def blur_axis(x: Tensor, axis: int, sigma: float) -> Tensor:
    """The input under a Gaussian along one axis, cut at three standard deviations, edges repeated."""
    length = x.shape[axis]
    positions = torch.arange(length, dtype=x.dtype, device=x.device)
    radius = int(3 * sigma)
    taps = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-taps.square() / (2 * sigma**2))
    sources = (positions[:, None] + taps).clamp(0, length - 1).long()
    mixing = torch.zeros(length, length, dtype=x.dtype, device=x.device)
    mixing.scatter_add_(1, sources, (weights / weights.sum()).expand(length, -1))
    return (x.movedim(axis, -1) @ mixing.T).movedim(-1, axis)


def _uniform(model: Function, batch: Batch, low: Tensor, high: Tensor) -> Tensor:
    return low + (high - low) * drawn(model, batch)
