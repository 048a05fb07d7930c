"""The labels of a dataset as classes of a model, and the items that a target is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import Accumulator, items
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import Dataset, Items
from workers.explanation.card import ModelCard
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import ClassTarget, Target


class About(NamedTuple):
    """Some items of a dataset by their numbers in it, as the model's input (k, *shape)."""

    numbers: NDArray[np.int64]
    x: Tensor


def classes_of(dataset: Dataset, card: ModelCard) -> NDArray[np.int64]:
    """For each class of the dataset the model's class: that of the same name, else that of the same number.

    Raises InvalidParameter where the dataset has classes that the model cannot have.
    """
    names = dataset.classes
    if is_binary(card):
        return _binary(names, card)
    if names and all(card.labels.count(name) == 1 for name in names):
        return np.array([card.labels.index(name) for name in names], np.int64)
    count = card.heads
    if len(names) > count:
        raise InvalidParameter(
            f"the dataset has {len(names)} classes and {card.name} has {count}, and their names do not match",
            pointer="/method/dataset",
        )
    return np.arange(count, dtype=np.int64)


def is_binary(card: ModelCard) -> bool:
    """Whether the output is one number that says whether the input is of a class: datasets have a second."""
    return card.is_number and card.output in ("binary", "multilabel", "probabilities")


def _binary(names: Sequence[str], card: ModelCard) -> NDArray[np.int64]:
    """Of a lone class, that class is 0 and what it is not is -1; by its name, else the second of the dataset's two."""
    if len(names) > 2:
        raise InvalidParameter(
            f"the dataset has {len(names)} classes, and {card.name} says of one class whether an input is of it",
            pointer="/method/dataset",
        )
    if card.labels and list(names).count(card.labels[0]) == 1:
        return np.array([0 if name == card.labels[0] else -1 for name in names], np.int64)
    return np.array([-1, 0], np.int64)


def labels_of(found: Items, classes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The model's class of each item; None where the dataset has no labels."""
    if found.labels is None:
        return None
    if len(found.labels) and found.labels.max() >= len(classes):
        raise InvalidParameter(
            f"item {found.start + int(found.labels.argmax())} of the dataset has the label {int(found.labels.max())}, "
            f"and the model has {len(classes)} classes",
            pointer="/method/dataset",
        )
    return classes[found.labels]


def about(
    model: Function,
    batch: Batch,
    name: str,
    target: Target,
    keeping: Accumulator | None = None,
    phase: str = "items",
) -> Iterator[About]:
    """The items that a target is about, in order: of a class those that bear its label, where there are labels."""
    classes = classes_of(batch.resources.dataset(name), model.card) if isinstance(target, ClassTarget) else None
    for found in items(model, batch, name, keeping, phase):
        numbers = np.arange(found.start, found.start + len(found.x), dtype=np.int64)
        labels = labels_of(found, classes) if classes is not None else None
        if labels is None or not isinstance(target, ClassTarget):
            yield About(numbers, found.x)
            continue
        chosen = labels == target.index
        if chosen.any():
            yield About(numbers[chosen], found.x[torch.from_numpy(chosen).to(found.x.device)])


def none_of(name: str, target: Target) -> InvalidParameter:
    """What to raise where a target is about no item."""
    index = target.index if isinstance(target, ClassTarget) else None
    return InvalidParameter(f"no item of the dataset {name!r} bears the label of class {index}", pointer="/target")
