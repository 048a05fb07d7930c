"""Evaluations at work: of the rows of a batch, or of all items of a dataset as they stream by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import items, nonempty
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import Items
from workers.explanation.result import Check, Scores, to_numpy
from workers.explanation.target import RankTarget
from workers.methods.fields.judged import label
from workers.methods.method import Method

Found: TypeAlias = Mapping[str, Tensor]
Measure: TypeAlias = Callable[[Batch, Items | None], Found]
"""Of the rows of a batch `scores` (n, methods), and more arrays by name; the items are None of an input sent alone."""

PHASE = "evaluation"


class Evaluation(Protocol):
    """What an evaluation says of itself: the methods judged, and the dataset, if any."""

    @property
    def of(self) -> tuple[Method, ...]: ...
    @property
    def dataset(self) -> str | None: ...


@dataclass
class Tally:
    """Scores and classes item by item, and the sums of all else; what another worker can go on from."""

    scores: list[NDArray[Any]] = field(default_factory=list)
    labels: list[NDArray[Any]] = field(default_factory=list)
    sums: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, found: Found, labels: NDArray[Any] | None) -> None:
        self.scores.append(to_numpy(found["scores"]).astype(np.float64))
        self.labels.append(np.empty(0, np.int64) if labels is None else np.asarray(labels))
        for name, values in found.items():
            total = to_numpy(values).astype(np.float64).sum(0)
            self.sums[name] = self.sums[name] + total if name in self.sums else total

    def arrays(self) -> dict[str, NDArray[Any]]:
        whole = {"scores": np.concatenate(self.scores), "labels": np.concatenate(self.labels)}
        return whole | {f"sum of {name}": total for name, total in self.sums.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.scores, self.labels = [arrays["scores"]], [arrays["labels"]]
        sums = {name.removeprefix("sum of "): total for name, total in arrays.items() if name.startswith("sum of ")}
        self.sums = {name: np.array(total) for name, total in sums.items()}


def judge(
    model: Function,
    batch: Batch,
    method: Evaluation,
    measure: Measure,
    about: Mapping[str, Any],
    fixed: Mapping[str, Tensor] | None = None,
    checks: Sequence[Sequence[Check]] = (),
) -> Scores:
    """The scores of the methods judged, for each row of the batch, or over the method's dataset.

    Over a dataset every array is the mean of its items', `by_item` (methods, items) holds their scores, and
    `standard_error` that of the mean; classes are told apart where items have labels. `about` joins the info, `fixed`
    the arrays. Raises InvalidParameter for an empty dataset.
    """
    constants = fixed or {}
    if method.dataset is not None:
        arrays, info = _over(model, batch, method, measure)
        arrays |= {name: values[None] for name, values in constants.items()}
        return Scores(arrays, info=[{**about, **info}])
    found = dict(measure(batch, None))
    spread = {name: values.expand(len(batch), *values.shape) for name, values in constants.items()}
    rows = [{**about, "inputs": 1, "methods": _said(method.of, row)} for row in found["scores"].tolist()]
    return Scores({**found, **spread}, checks, rows)


def _over(model: Function, batch: Batch, method: Evaluation, measure: Measure) -> tuple[dict[str, Any], dict[str, Any]]:
    assert method.dataset is not None
    tally, dataset = Tally(), nonempty(batch, method.dataset)
    for part in items(model, batch, method.dataset, tally, PHASE):
        tally.add(measure(_rows(batch, part, dataset.count), part), part.labels)
    scores = np.concatenate(tally.scores)
    error = scores.std(0, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.zeros(scores.shape[1])
    arrays: dict[str, Any] = {name: torch.from_numpy(total / len(scores))[None] for name, total in tally.sums.items()}
    arrays |= {"by_item": torch.from_numpy(scores.T)[None], "standard_error": torch.from_numpy(error)[None]}
    info: dict[str, Any] = {"inputs": len(scores), "methods": _said(method.of, scores.mean(0).tolist(), error.tolist())}
    labels = np.concatenate(tally.labels)
    if len(labels):
        info["classes"] = _by_class(scores, labels, dataset.classes)
    return arrays, info


def _rows(batch: Batch, part: Items, count: int) -> Batch:
    """The items as a batch, each with a seed of its own; its steps are reported as none of the dataset's items."""

    def report(_: int, __: int, ___: str) -> None:
        batch.report(part.start, count, "inputs")

    seed = batch.seeds[0] if batch.seeds else 0
    seeds = [(seed + part.start + i) % 2**63 for i in range(len(part.x))]
    wanted = batch.targets[0] if batch.targets else RankTarget(rank=0)
    return Batch(part.x, [wanted] * len(part.x), seeds, report, resources=batch.resources)


def _said(of: Sequence[Method], scores: Sequence[float], errors: Sequence[float] = ()) -> list[dict[str, Any]]:
    said = [
        {"label": label(one), "method": one.to_json(), "score": score} for one, score in zip(of, scores, strict=True)
    ]
    return [{**one, "standard_error": error} for one, error in zip(said, errors, strict=True)] if errors else said


def _by_class(scores: NDArray[Any], labels: NDArray[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """The mean scores of the items of each class, the methods in their order."""
    return [
        {
            "label": names[index] if index < len(names) else str(index),
            "inputs": int((labels == index).sum()),
            "scores": scores[labels == index].mean(0).tolist(),
        }
        for index in np.unique(labels).tolist()
    ]
