"""Groups of heat maps, with what is told of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from workers.methods.dataset.spray.heatmaps import Heatmaps
from workers.methods.dataset.spray.spectral_clustering import cluster, neighbour_map
from workers.methods.nested.ranks import ranks

NAMED = 12  # items of each cluster that the info names


class Groups(NamedTuple):
    """The arrays of a clustering and what is told of it."""

    arrays: dict[str, NDArray[Any]]
    info: dict[str, Any]


def grouped(found: Heatmaps, neighbours: int, count: int | None, most: int, embedding: str, seed: int) -> Groups:
    """The clusters of heat maps by their shapes, each brought to length 1."""
    maps = found.maps
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    shapes = flat / np.where(length > 0, length, 1)
    clusters = cluster(shapes, neighbours, count, most, seed)
    places = clusters.embedding if embedding == "spectral" else neighbour_map(shapes, seed)
    total = int(clusters.labels.max()) + 1
    members = [np.flatnonzero(clusters.labels == label) for label in range(total)]
    centres = np.stack([shapes[at].mean(0) for at in members])
    told = [_told(label, at, shapes, centres, found.numbers) for label, at in enumerate(members)]
    arrays = {
        "clustering": clusters.labels,
        "items": found.numbers,
        "embedding": places,
        "mean": np.stack([maps[at].mean(0) for at in members]),
        "eigenvalues": clusters.eigenvalues,
    }
    return Groups(arrays, {"items": len(maps), "clusters": told})


def _told(label: int, at: NDArray[np.int64], shapes: Any, centres: Any, numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Size, how far the nearest other centre is beside the cluster's own width, and the items nearest to the centre."""
    far = np.linalg.norm(shapes[at] - centres[label], axis=1)
    others = np.linalg.norm(np.delete(centres, label, 0) - centres[label], axis=1)
    width = float(far.mean())
    nearest = ranks(torch.tensor([*far.tolist(), 1.0]))[:-1].argsort(stable=True)  # 1 is the length of a shape
    return {
        "cluster": label,
        "size": len(at),
        "width": width,
        "distance": float(others.min()) if len(others) else None,
        "items": numbers[at[nearest[:NAMED].numpy()]].tolist(),
    }
