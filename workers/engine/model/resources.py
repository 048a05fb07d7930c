"""What a method may ask for besides its batch: datasets, and results of methods held in its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from workers.explanation.errors import ExplainError, InvalidParameter, UnknownInput, UnknownModel
from workers.explanation.target import Target


@dataclass(frozen=True)
class Items:
    """Some consecutive items of a dataset as the model's input (n, *shape), with what else is known of each.

    `labels` (n,) index the dataset's classes; `masks` (n, concepts, H, W) are bool; `boxes` (n, 4) are left, top, right
    and bottom as fractions of width and height; `series` (n, steps, series) are known of each step.
    """

    start: int
    x: Tensor
    labels: NDArray[np.int64] | None = None
    masks: Tensor | None = None
    boxes: NDArray[np.float32] | None = None
    series: NDArray[Any] | None = None


@dataclass(frozen=True)
class ItemExplanation:
    """An item of a dataset, explained: `maps` are the arrays of its result's kind by name, `told` the JSON of it.

    Where it could not be explained there is an `error` instead. `label` indexes the dataset's classes.
    """

    index: int
    id: str
    label: int | None = None
    maps: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    error: ExplainError | None = None


class Dataset(Protocol):
    """Many inputs of one model, in a fixed order."""

    @property
    def digest(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def model_classes(self) -> tuple[int, ...]:
        """For each of its classes the model's, where the job says so; empty where their order does."""
        ...

    @property
    def categories(self) -> tuple[int, ...]:
        """Of each concept that masks show, the category that it is of; empty where the dataset does not say."""
        ...

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        """The items from `start` on, in order, `size` at a time; streamed, never all in memory."""
        ...


class Resources(Protocol):
    """Where datasets and held methods' results come from; the worker gives its own, a test a few in memory."""

    def dataset(self, name: str) -> Dataset:
        """The dataset of that digest or name; raises InvalidParameter where there is none."""
        ...

    def state(self, model: Any, method: Any) -> Mapping[str, Any]:
        """The arrays (numpy) of a held method that takes no input, from the store or computed now and kept."""
        ...

    def model(self, name: str) -> Any:
        """The served model of that digest or name, loaded; raises UnknownModel."""
        ...

    def given(self, digest: str) -> Tensor:
        """An input of that digest as the model takes it (*shape), which was sent in a parameter.

        Raises UnknownInput where it is not stored.
        """
        ...

    def explanations(
        self, model: Any, method: Any, target: Target | None, name: str, start: int, stop: int
    ) -> Iterator[list[ItemExplanation]]:
        """The items of a dataset from `start` to `stop`, some at a time, each explained and kept as if alone."""
        ...

    def saved(self, phase: str) -> Mapping[str, NDArray[Any]] | None:
        """What an earlier try of this very job kept of a phase before its worker died; None where nothing is."""
        ...

    def save(self, phase: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what another worker would need to go on with this phase."""
        ...


class NoResources:
    """Of a batch that was given none."""

    def dataset(self, name: str) -> Dataset:
        raise InvalidParameter(
            f"no dataset {name!r} is known; POST /api/v1/datasets makes one", pointer="/method/dataset"
        )

    def state(self, model: Any, method: Any) -> Mapping[str, Any]:
        raise InvalidParameter(f"{method.name} on {model.card.name} has nothing to be computed from", pointer="/method")

    def model(self, name: str) -> Any:
        raise UnknownModel(f"no model {name!r} is known here", pointer="/method")

    def given(self, _: str) -> Tensor:
        raise UnknownInput("no inputs are stored here", pointer="/method")

    def explanations(self, *_: Any) -> Iterator[list[ItemExplanation]]:
        raise InvalidParameter("there is no dataset to explain the items of", pointer="/method/dataset")

    def saved(self, _: str) -> None:
        return None

    def save(self, _: str, __: Mapping[str, NDArray[Any]]) -> None:
        return None
