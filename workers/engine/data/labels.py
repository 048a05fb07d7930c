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
from workers.explanation.names.dataset_classes import is_binary, two_ways, unknown
from workers.explanation.target import ClassTarget, Target

SHOWN = 3  # classes that an error names


class About(NamedTuple):
    """Some items of a dataset by their numbers in it, as the model's input (k, *shape)."""

    numbers: NDArray[np.int64]
    x: Tensor


def classes_of(dataset: Dataset, card: ModelCard) -> NDArray[np.int64]:
    """For each class of the dataset the model's class: that of the same name or number, else in their order.

    Of a lone class, that class is 0 and what it is not is -1; by its name, else the second of the dataset's two. Raises
    InvalidParameter where the dataset has classes that the model cannot have, or that nobody can tell.
    """
    names = dataset.classes
    if dataset.model_classes:
        return np.array(dataset.model_classes, np.int64)
    if is_binary(card):
        if len(names) > 2:
            raise _wrong(
                f"the dataset has {len(names)} classes, and {card.name} says of one class whether an input is of it"
            )
        return np.array([-1, 0], np.int64)
    _check_order(names, card)
    return np.arange(card.heads, dtype=np.int64)


def _check_order(names: Sequence[str], card: ModelCard) -> None:
    """Raises InvalidParameter where a dataset's classes cannot be the model's in their order."""
    count = card.heads
    if len(names) > count:
        raise _wrong(f"the dataset has {len(names)} classes and {card.name} has {count}, and their names do not match")
    if (name := two_ways(names, card)) is not None:
        raise _wrong(
            f"nobody can tell whether the dataset's {name!r} is that class of {card.name} or, as folders sort, class "
            f"{names.index(name)}; give the model labels, or write all numbers with as many digits (00, 01, ...)"
        )
    if strange := unknown(names, card):
        raise _wrong(
            f"of the dataset's classes {_some(strange)} of the labels of {card.name}; name its classes by the model's "
            f"labels, or all by the numbers of the model's classes (0 to {count - 1})"
        )


def _wrong(detail: str) -> InvalidParameter:
    return InvalidParameter(detail, pointer="/method/dataset")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:SHOWN]))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{shown}{more} {'is not one' if len(names) == 1 else 'are not one each'}"


def labels_of(found: Items, classes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The model's class of each item; None where the dataset has no labels."""
    if found.labels is None:
        return None
    if len(found.labels) and found.labels.max() >= len(classes):
        raise _wrong(
            f"item {found.start + int(found.labels.argmax())} of the dataset has the label {int(found.labels.max())}, "
            f"and the model has {len(classes)} classes"
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
