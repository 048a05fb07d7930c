"""Spectral clustering: items that hang together in a graph of neighbours, as many groups as its spectrum shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_matrix, identity
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances_chunked

from workers.methods.nested.ranks import ROUNDING

Floats = NDArray[np.float64]
ALIKE = 1e-9  # of the largest: eigenvalues, and entries of their vectors, that differ by less are equal
DENSE = 1500  # items: up to so many, all eigenvalues are computed at once


class Clusters(NamedTuple):
    """The cluster of each item, largest first; the smallest eigenvalues of the graph; a place for each item (n, 2)."""

    labels: NDArray[np.int64]
    eigenvalues: Floats
    embedding: Floats


def cluster(features: Floats, neighbours: int, count: int | None, most: int, seed: int) -> Clusters:
    """Clusters of items (n, features); without `count`, as many as there are eigenvalues before the widest gap.

    The graph joins each item to its nearest neighbours; its normalised Laplacian has an eigenvalue of 0 for each part
    that nothing joins to the rest, and small ones for parts that little does (von Luxburg 2007).
    """
    total = len(features)
    if total < 3:
        return Clusters(np.zeros(total, np.int64), np.zeros(total), np.zeros((total, 2)))
    near = joined(features, min(neighbours, total - 1))
    values, vectors = spectrum(csgraph.laplacian((near + near.T) / 2, normed=True), min(most + 1, total - 1), seed)
    groups = min(count or eigengap(values[: most + 1]), total)
    length = np.linalg.norm(vectors[:, :groups], axis=1, keepdims=True)
    rows = vectors[:, :groups] / np.where(length > 0, length, 1)
    labels = KMeans(groups, n_init=10, random_state=seed % 2**32).fit(rows).labels_
    order = np.argsort(-np.bincount(labels, minlength=groups), kind="stable")
    plane = np.zeros((total, 2))
    plane[:, : vectors[:, 1:3].shape[1]] = vectors[:, 1:3]
    return Clusters(np.argsort(order)[labels].astype(np.int64), values, plane)


def joined(features: Floats, count: int) -> Any:
    """The sparse graph (n, n) of each item's `count` nearest; of those that are equally far the first ones.

    What rounding cannot tell apart is equally far: else each size of pass would join items that are alike anew.
    """
    margin = ROUNDING * float(np.linalg.norm(features, axis=1).max())

    def nearest(far: Floats, start: int) -> NDArray[np.intp]:
        far[np.arange(len(far)), start + np.arange(len(far))] = np.inf
        edge = np.partition(far, count - 1, axis=1)[:, count - 1 : count]
        rank = (far >= edge - margin).astype(np.int8) + (far > edge + margin)
        return np.argsort(rank, axis=1, kind="stable")[:, :count]

    found = np.concatenate(list(pairwise_distances_chunked(features, reduce_func=nearest)))
    rows = np.repeat(np.arange(len(features)), count)
    return csr_matrix((np.ones(found.size), (rows, found.ravel())), shape=(len(features), len(features)))


def spectrum(laplacian: Any, count: int, seed: int) -> tuple[Floats, Floats]:
    """The smallest eigenvalues, ascending, and their vectors (n, count).

    Each vector has its largest entry positive, the first of equal ones.
    """
    size = laplacian.shape[0]
    if size <= DENSE or count >= size - 1:
        values, vectors = np.linalg.eigh(laplacian.toarray())
        values, vectors = values[:count], vectors[:, :count]
    else:
        start = np.random.default_rng(seed).standard_normal(size)
        # of the Laplacian turned over, whose largest are quickly found
        values, vectors = eigsh(2 * identity(size) - laplacian, count, which="LA", v0=start)
        order = np.argsort(-values)
        values, vectors = 2 - values[order], vectors[:, order]
    size_of = np.abs(vectors)
    first = (size_of >= (1 - ALIKE) * size_of.max(0)).argmax(0)
    signs = np.sign(vectors[first, np.arange(vectors.shape[1])])
    return np.maximum(values, 0), vectors * np.where(signs == 0, 1, signs)


def neighbour_map(features: Floats, seed: int) -> Floats:
    """A place for each item (n, 2) that keeps its neighbours beside it (t-SNE)."""
    if len(features) < 4:
        return np.zeros((len(features), 2))
    drawn = TSNE(2, perplexity=min(30.0, (len(features) - 1) / 3), init="random", random_state=seed % 2**32)
    return np.asarray(drawn.fit_transform(features), np.float64)


def eigengap(values: Floats) -> int:
    """How many eigenvalues lie before the widest gap between neighbouring ones, the first of equal ones."""
    gaps = np.diff(values)
    return int(np.argmax(gaps >= gaps.max() - ALIKE * np.abs(values).max())) + 1
