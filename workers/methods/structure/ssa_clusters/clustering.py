"""Which dependency graphs are alike: bags of nodes, clustered by Ward's criterion with cosine distance (S1 4.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import pdist

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """Merges as scipy's linkage tells them, and the leaves in the order that keeps them from crossing."""

    merges: Floats
    order: NDArray[np.int64]


def tree(rows: NDArray[Any]) -> Tree:
    """Ward's tree of vectors at unit length, whose squared distances are twice their cosine distances.

    So Ward's criterion, which holds for Euclidean distances alone, is used where it is right.
    """
    if len(rows) < 2:
        return Tree(np.zeros((0, 4)), np.arange(len(rows)))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    distances = pdist(rows / np.where(lengths > 0, lengths, 1))
    merges = linkage(distances, method="ward", optimal_ordering=len(rows) <= 200)
    return Tree(merges, leaves_list(merges).astype(np.int64))


def clusters(found: Tree, count: int) -> NDArray[np.int64]:
    """The cluster of each leaf where the tree is cut into at most `count`, numbered in the order of the leaves."""
    if not len(found.merges):
        return np.zeros(len(found.order), np.int64)
    raw = fcluster(found.merges, count, criterion="maxclust")
    first = list(dict.fromkeys(raw[found.order].tolist()))
    return np.array([first.index(one) for one in raw.tolist()], np.int64)
