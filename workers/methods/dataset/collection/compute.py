"""What the explanations of many items come to: a row of numbers for each, and mean maps by class."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import ItemExplanation
from workers.explanation.errors import InvalidParameter
from workers.explanation.inputs import ONE
from workers.explanation.target import Target
from workers.methods.dataset.collection.means import Means
from workers.methods.dataset.collection.words import Words
from workers.methods.method import Method

MOST_FAILURES = 1000  # that are told one by one
KEEP_S = 1.0
PHASE = "items"
NONE = -1


@dataclass
class Gathered:
    """What is known of `count` items so far; `done` of them have been looked at. Another worker can go on from it."""

    count: int
    classes: Sequence[str] = ()
    done: int = 0
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    means: Means = field(default_factory=Means)
    words: Words = field(default_factory=Words)
    maps: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.count
        indices = {name: np.full(n, NONE, np.int64) for name in ("labels", "predicted", "targets")}
        scores = {name: np.zeros(n) for name in ("scores", "explained")}
        self.columns = {
            "collection": np.zeros(n, np.int8),
            "ids": np.zeros((n, 32), np.uint8),
            "probabilities": np.full(n, float(NONE)),
            **indices,
            **scores,
        } | (self.columns or self._of_checks(0))

    def _of_checks(self, many: int) -> dict[str, NDArray[Any]]:
        shape = (self.count, many)
        return {"expected": np.zeros(shape), "observed": np.zeros(shape), "gaps": np.full(shape, float(NONE))}

    def add(self, found: Sequence[ItemExplanation]) -> None:
        """The next items, in order."""
        for one in found:
            self._add(self.done, one)
            self.done += 1

    def _add(self, row: int, one: ItemExplanation) -> None:
        self.columns["ids"][row] = np.frombuffer(bytes.fromhex(one.id), np.uint8)
        if one.label is not None:
            self.columns["labels"][row] = one.label
        if one.error is not None:
            if len(self.failures) < MOST_FAILURES:
                self.failures.append({"index": one.index, "code": one.error.code, "detail": one.error.detail})
            return
        self.columns["collection"][row] = 1
        target = self._scores(row, one.told)
        self._check(row, one.told.get("checks", ()))
        group = one.label if one.label is not None else target
        self.maps = self.maps or list(one.maps)
        texts = one.told.get("texts", {})
        group = NONE if group is None else group
        self.words.add(group, texts)
        # Of a text the places are other words in each item.
        maps = {name: one.maps[name] for name in one.maps if (name.partition(".")[2] or ONE) not in texts}
        if one.maps:
            self.means.add(group, maps)

    def _scores(self, row: int, told: Mapping[str, Any]) -> int | None:
        """The target's index, where it is a class."""
        for first in told.get("prediction", ())[:1]:
            if isinstance(first.get("index"), int):
                self.columns["predicted"][row] = first["index"]
                self._name(first)
            self.columns["scores"][row] = first["score"]
            if first.get("probability") is not None:
                self.columns["probabilities"][row] = first["probability"]
        if told.get("explained"):
            self.columns["explained"][row] = told["explained"]["score"]
        target = told.get("target") or {}
        if target.get("kind") != "class":
            return None
        self.columns["targets"][row] = target["index"]
        self._name(target)
        return int(target["index"])

    def _name(self, of: Mapping[str, Any]) -> None:
        if of.get("label") is not None:
            self.names.setdefault(str(of["index"]), of["label"])

    def _check(self, row: int, checks: Sequence[Mapping[str, Any]]) -> None:
        for one in checks:
            if one["name"] not in self.checks:
                self.checks.append(one["name"])
                more = self._of_checks(1)
                for name in more:
                    self.columns[name] = np.concatenate([self.columns[name], more[name]], axis=1)
            at = self.checks.index(one["name"])
            self.columns["expected"][row, at] = one["expected"]
            self.columns["observed"][row, at] = one["observed"]
            self.columns["gaps"][row, at] = one["gap"]

    def told(self) -> dict[str, NDArray[Any]]:
        """The arrays of the result: float32, as every result's."""
        return {
            name: array.astype(np.float32) if array.dtype == np.float64 else array
            for name, array in self.columns.items()
        } | self.means.arrays()

    def info(self) -> dict[str, Any]:
        """What is told in words: of the means, of the checks, of what failed."""
        by_label = bool((self.columns["labels"] != NONE).any())
        return {
            "items": self.count,
            "explained": int(self.columns["collection"].sum()),
            "checks": self.checks,
            "by": "label" if by_label else "target",
            "classes": [
                {"index": group, "label": self._label(group, by_label), "items": count}
                for group, count in sorted(self.means.counts.items())
            ],
            "dataset_classes": list(self.classes),
            "names": self.names,
            "failed": self.failures,
            "maps": self.maps,
            **self.words.info(),
        }

    def _label(self, group: int, by_label: bool) -> str | None:
        if by_label and 0 <= group < len(self.classes):
            return self.classes[group]
        return None if by_label else self.names.get(str(group))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that another worker needs."""
        words = {"names": self.names, "checks": self.checks, "failures": self.failures, "done": self.done}
        words |= {"maps": self.maps, "words": self.words.kept()}
        told = orjson.dumps(words, option=orjson.OPT_NON_STR_KEYS)
        return {**self.columns, **self.means.kept(), "words": np.frombuffer(told, np.uint8)}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        words = orjson.loads(np.asarray(kept["words"]).tobytes())
        self.names, self.checks = words["names"], words["checks"]
        self.failures, self.done, self.maps = words["failures"], words["done"], words["maps"]
        self.columns = {name: np.array(kept[name]) for name in self.columns}
        self.words.restore(words["words"])
        self.means.restore(kept)


def gather(
    model: Function, batch: Batch, of: Method, target: Target | None, name: str, start: int, stop: int | None
) -> Gathered:
    """Explain the items from `start` to `stop`; raises what all of the first batch are refused with."""
    resources = batch.resources
    dataset = resources.dataset(name)
    last = dataset.count if stop is None else stop
    if not start < last <= dataset.count:
        raise InvalidParameter(
            f"the dataset has {dataset.count} items, and {start} to {last} are asked for", pointer="/input/items"
        )
    found = Gathered(last - start, dataset.classes)
    if (saved := resources.saved(PHASE)) is not None:
        found.restore(saved)
    since = time.monotonic()
    for some in resources.explanations(model, of, target, name, start + found.done, last):
        if found.done == 0 and (refused := _alike(some)) is not None:
            raise refused
        found.add(some)
        if time.monotonic() - since > KEEP_S:
            resources.save(PHASE, found.arrays())
            since = time.monotonic()
        batch.report(found.done, found.count, "inputs")
    return found


def _alike(found: Sequence[ItemExplanation]) -> Any:
    """The error that all of them have, where it is one and the same: then it is not the items' fault."""
    errors = [one.error for one in found]
    told = {None if error is None else (error.code, error.detail) for error in errors}
    return errors[0] if len(told) == 1 and len(found) > 1 else None
