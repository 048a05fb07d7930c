"""Calibration: whether a model is right as often as it says, and the temperature that makes it so (S3 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from workers.engine.data.labels import classes_of, labels_of
from workers.engine.data.streaming import items
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import has_chances, sums_to_one
from workers.explanation.errors import InvalidParameter, MethodNotApplicable, methods

COLDEST, HOTTEST = 1e-2, 1e2


@dataclass(frozen=True)
class Reliability:
    """Of bins of equal width: mean confidence, accuracy, items (bins, 3); and what sums them up."""

    bins: NDArray[np.float64]
    ece: float
    nll: float


class Outputs:
    """Logits and labels of a dataset, gathered so that another worker can go on."""

    def __init__(self) -> None:
        self.logits: list[NDArray[np.float32]] = []
        self.labels: list[NDArray[np.int64]] = []

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"logits": np.concatenate(self.logits), "labels": np.concatenate(self.labels)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.logits, self.labels = [arrays["logits"]], [arrays["labels"].astype(np.int64)]


def outputs_of(model: Function, batch: Batch, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits (n, classes) and labels (n,) of a dataset; raises InvalidParameter for one without labels."""
    classes, found = classes_of(batch.resources.dataset(name), model.card), Outputs()
    for part in items(model, batch, name, found, "logits"):
        labels = labels_of(part, classes)
        if labels is not None and model.card.heads == 1:
            labels = labels + 1  # of a lone logit, what it speaks against comes first
        if labels is None:
            raise InvalidParameter(
                f"the dataset {name!r} has no labels, and calibration asks how often the model is right",
                pointer="/method/dataset",
            )
        found.logits.append(_logits(model, model.forward(part.x)).float().cpu().numpy())
        found.labels.append(labels)
    return np.concatenate(found.logits).astype(np.float64), np.concatenate(found.labels)


def _logits(model: Function, outputs: Tensor) -> Tensor:
    """Logits (n, classes) whose softmax is what the outputs say; a lone logit z as (0, z), whose softmax is sigmoid(z).

    Raises MethodNotApplicable for probabilities that do not add up to 1.
    """
    listed, card = outputs.reshape(len(outputs), -1), model.card
    if card.output == "logits":
        return listed
    if card.output == "probabilities" and card.heads > 1 and not sums_to_one(listed):
        raise MethodNotApplicable(
            f"a temperature is of classes that exclude each other, and what {card.name} gives for one input does not "
            "add up to 1",
            pointer="/method",
        )
    if card.heads > 1:
        return listed.clamp(min=torch.finfo(listed.dtype).tiny).log()
    lone = listed if card.output == "binary" else listed.logit(eps=torch.finfo(listed.dtype).eps)
    return torch.cat([torch.zeros_like(lone), lone], 1)


def check(model: Function) -> None:
    """Raise MethodNotApplicable for an output without logits or probabilities of classes that exclude each other."""
    card = model.card
    listed = len(card.outputs) <= 1 or card.is_number
    if card.output not in ("logits", "binary", "probabilities") or not listed or not has_chances(card):
        raise MethodNotApplicable(
            f"a temperature divides the logits of classes that exclude each other, and the output of {card.name} is "
            f"{card.output} of the shape {list(card.outputs)}",
            pointer="/method",
            instead=methods("predict"),
        )


def log_chances(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The logarithm of the softmax of logits / temperature."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(1, keepdims=True)))


def nll(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """The mean negative log-likelihood of the labels, in nats."""
    return float(-log_chances(logits, temperature)[np.arange(len(labels)), labels].mean())


def fitted(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature of least negative log-likelihood, which is convex in its inverse; between 0.01 and 100."""
    found = minimize_scalar(
        lambda inverse: nll(logits, labels, 1 / inverse), bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    return float(1 / found.x)


def reliability(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float, bins: int) -> Reliability:
    """How confidence and accuracy agree; ECE is the mean of their distance over bins, weighted by items."""
    chances = np.exp(log_chances(logits, temperature))
    confidence, right = chances.max(1), chances.argmax(1) == labels
    at = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(at, minlength=bins)
    full = np.maximum(counts, 1)
    said = np.bincount(at, confidence, bins) / full
    was = np.bincount(at, right, bins) / full
    ece = float((np.abs(said - was) * counts).sum() / len(labels))
    return Reliability(np.stack([said, was, counts.astype(float)], 1), ece, nll(logits, labels, temperature))
