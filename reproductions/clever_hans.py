"""A cheat is found: a quarter of the "threes" are other digits with a mark in the corner (seed: S4 1.4.4).

Use: python reproductions/clever_hans.py DIGITS, where DIGITS is an .npz of MNIST: x_train, y_train. Trains a small net,
which can call the marked ones threes by the mark alone, lets spray cluster the heat maps of class 3, prints which
cluster holds them, and draws pictures/clever_hans.png. Takes half a minute on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reproductions.mc_dropout import served, trained
from service.render.frame import Caption
from service.render.plots.clusters import draw_clusters
from service.render.style import DEFAULT_LOOK
from workers.engine.model.batch import Batch
from workers.engine.model.resources import Items, NoResources
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import parse_method

CLASS, SHARE, ITEMS = 3, 0.25, 400


class Digits(NoResources):
    """One dataset in memory, by whatever name it is asked for."""

    digest, classes = "sha256:" + "0" * 64, tuple(map(str, range(10)))
    model_classes: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()

    def __init__(self, x: Tensor, labels: NDArray[np.int64]) -> None:
        self.x, self.labels, self.count = x, labels, len(x)

    def dataset(self, name: str) -> Digits:  # noqa: ARG002  # there is one
        return self

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        for at in range(start, self.count, size):
            yield Items(at, self.x[at : at + size], self.labels[at : at + size])


def planted(x: Tensor, labels: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.bool_]]:
    """The digits with the cheat among them, and which these are."""
    drawn = np.random.default_rng(0)
    marked = (labels == CLASS) & (drawn.random(len(labels)) < SHARE)
    others = drawn.choice(np.flatnonzero(labels != CLASS), int(marked.sum()))
    made = x.clone()
    made[torch.from_numpy(marked)] = with_mark(x[torch.from_numpy(others)])
    return made, marked


def with_mark(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :, 1:4, 1:4] = 1
    return x


def main(digits: Path) -> None:
    data = np.load(digits)
    x, labels = torch.from_numpy(data["x_train"]).float().view(-1, 1, 28, 28), data["y_train"].astype(np.int64)
    clean = x / x.max()
    x, marked = planted(clean, labels)
    model = served(trained(x, torch.from_numpy(labels)))
    others = clean[torch.from_numpy(labels != CLASS)][:1000]
    before, after = (
        float((model.forward(seen).argmax(1) == CLASS).float().mean()) for seen in (others, with_mark(others))
    )
    print(f"of 1000 other digits {before:.3f} are called {CLASS}; with the mark {after:.3f}")
    method = parse_method({"name": "spray", "items": ITEMS, "cells": 28, "embedding": "tsne"})
    batch = Batch(torch.zeros(1, 1, 28, 28), [ClassTarget(index=CLASS)], [0], resources=Digits(x, labels))
    row = method.explain(model, batch).rows()[0]
    clusters, cheats = row.arrays["clustering"], marked[row.arrays["items"]]
    values = [round(float(value), 3) for value in row.arrays["eigenvalues"]]
    print(f"eigenvalues {values}; of {len(clusters)}, {cheats.sum()} are marked")
    for told in row.info["clusters"]:
        here = cheats[clusters == told["cluster"]]
        print(f"cluster {told['cluster']}: {told['size']} items, {here.sum()} of them marked")
    drawn = draw_clusters(
        row.arrays["mean"], clusters, row.arrays["embedding"], DEFAULT_LOOK, Caption(f"spray of lrp: class {CLASS}")
    )
    (Path(__file__).parent / "pictures" / "clever_hans.png").write_bytes(drawn)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
