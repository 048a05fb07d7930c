"""Fits k-means and one-class SVMs to the values of a layer over a dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from workers.engine.data.streaming import items
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.methods.nested.layer_values import asked_about


def values(model: Model, batch: Batch, dataset: str, layer: str, most: int) -> NDArray[np.float64]:
    """What the layer has of each item, end to end: (items, d)."""
    at, found, seen = model.layer(layer).index, [], 0
    for part in items(model, batch, dataset):
        x = part.x[: most - seen]
        with torch.no_grad():
            value = model.folded.run(x, {at})[1][at] if at else x
        found.append(asked_about(model, at, model.folded.by_row(at, value)).cpu().numpy())
        seen += len(x)
        if seen == most:
            break
    return np.concatenate(found)


def k_means(x: NDArray[np.float64], clusters: int, seed: int) -> Mapping[str, NDArray[np.float64]]:
    """`centres` (clusters, d) and `counts` (clusters,); raises InvalidParameter where fewer items differ."""
    from sklearn.cluster import KMeans

    if len(np.unique(x, axis=0)) < clusters:
        raise InvalidParameter(
            f"{clusters} clusters want as many items that differ, and the dataset has {len(np.unique(x, axis=0))}",
            pointer="/method/clusters",
        )
    found = KMeans(clusters, n_init=4, random_state=seed % 2**32).fit(x)
    return {"centres": found.cluster_centers_, "counts": np.bincount(found.labels_, minlength=clusters).astype(float)}


def one_class_svm(x: NDArray[np.float64], outliers: float, width: float | None) -> Mapping[str, NDArray[np.float64]]:
    """`support` (m, d), `weights` (m,) that sum to 1, and the kernel's `width` (1,)."""
    from sklearn.svm import OneClassSVM

    spread = float(x.var())
    own = width if width is not None else 1 / (x.shape[1] * spread) if spread else 1.0
    found = OneClassSVM(kernel="rbf", nu=outliers, gamma=own).fit(x)
    weights = found.dual_coef_[0] / found.dual_coef_.sum()
    return {"support": found.support_vectors_, "weights": weights, "width": np.array([own])}
