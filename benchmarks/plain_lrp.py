"""LRP of one image in NumPy, as one writes it from the formula: no batches, no graph, no autograd.

Two ways through a convolution: place by place, as the LRP Toolbox goes, and as one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array: TypeAlias = NDArray[np.float32]
Way: TypeAlias = Literal["by place", "by matrix"]
EPSILON = 1e-6


def stable(z: Array) -> Array:
    """Kept from zero, with its sign."""
    found: Array = z + np.where(z >= 0, EPSILON, -EPSILON).astype(np.float32)
    return found


def patches(x: Array) -> Array:
    """The 3 by 3 patches of padded channels (c, h + 2, w + 2), as (h, w, c * 9)."""
    view = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    found: Array = view.transpose(1, 2, 0, 3, 4).reshape(x.shape[1] - 2, x.shape[2] - 2, -1)
    return found


def convolved(x: Array, layer: nn.Conv2d) -> Array:
    """A convolution of 3 by 3 with a padding of one, of x (c, h, w)."""
    weight = layer.weight.detach().numpy().reshape(layer.out_channels, -1)
    found: Array = (patches(np.pad(x, ((0, 0), (1, 1), (1, 1)))) @ weight.T + _bias(layer)).transpose(2, 0, 1)
    return found


def through_convolution(x: Array, layer: nn.Conv2d, relevance: Array, way: Way) -> Array:
    """R_i = sum_k x_i w_ik / z_k R_k (c, h, w), z_k with its bias."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    weight, bias = layer.weight.detach().numpy(), _bias(layer)
    found = np.zeros_like(padded)
    _, height, width = relevance.shape
    if way == "by matrix":
        flat = weight.reshape(len(weight), -1)
        shares = relevance.transpose(1, 2, 0) / stable(patches(padded) @ flat.T + bias)
        back = (shares @ flat).reshape(height, width, len(x), 3, 3)
        for i in range(3):
            for j in range(3):
                found[:, i : i + height, j : j + width] += back[..., i, j].transpose(2, 0, 1)
        return np.ascontiguousarray((found * padded)[:, 1:-1, 1:-1])
    for i in range(height):
        for j in range(width):
            z = weight * padded[None, :, i : i + 3, j : j + 3]
            whole = stable(z.sum((1, 2, 3)) + bias)
            found[:, i : i + 3, j : j + 3] += (z * (relevance[:, i, j] / whole)[:, None, None, None]).sum(0)
    return np.ascontiguousarray(found[:, 1:-1, 1:-1])


def pooled(x: Array) -> Array:
    """The maxima of squares of two by two."""
    found: Array = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
    return found


def through_pooling(x: Array, relevance: Array) -> Array:
    """All to the maximum of each square, to the first of equal ones."""
    c, h, w = relevance.shape
    squares = x.reshape(c, h, 2, w, 2).transpose(0, 1, 3, 2, 4).reshape(c, h, w, 4)
    found = np.zeros_like(squares)
    np.put_along_axis(found, squares.argmax(3)[..., None], relevance[..., None], 3)
    whole: Array = found.reshape(c, h, w, 2, 2).transpose(0, 1, 3, 2, 4).reshape(x.shape)
    return whole


def explained(layers: Sequence[nn.Module], x: Array, way: Way) -> Array:
    """LRP-epsilon of the highest output of a chain of layers, for one image (c, h, w)."""
    values = [x]
    for layer in layers:
        values.append(_forward(layer, values[-1]))
    relevance = np.where(values[-1] == values[-1].max(), values[-1], 0).astype(np.float32)
    for layer, read in zip(reversed(layers), reversed(values[:-1]), strict=True):
        if isinstance(layer, nn.Conv2d):
            relevance = through_convolution(read, layer, relevance, way)
        elif isinstance(layer, nn.MaxPool2d):
            relevance = through_pooling(read, relevance)
        elif isinstance(layer, nn.Linear):
            weight = layer.weight.detach().numpy()
            relevance = read * (weight.T @ (relevance / stable(weight @ read + _bias(layer))))
        elif isinstance(layer, nn.Flatten):
            relevance = relevance.reshape(read.shape)
    return relevance


def _forward(layer: nn.Module, x: Array) -> Array:
    if isinstance(layer, nn.Conv2d):
        return convolved(x, layer)
    if isinstance(layer, nn.MaxPool2d):
        return pooled(x)
    if isinstance(layer, nn.Linear):
        found: Array = layer.weight.detach().numpy() @ x + _bias(layer)
        return found
    return x.reshape(-1) if isinstance(layer, nn.Flatten) else np.maximum(x, 0)


def _bias(layer: nn.Conv2d | nn.Linear) -> Array:
    assert layer.bias is not None
    found: Array = layer.bias.detach().numpy()
    return found
