"""What is told of a collection: its items, in pages and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.explanations.documents import Meta, path_of
from workers.contract import catalogue

Order: TypeAlias = Literal["index", "worst", "mistaken"]


@dataclass(frozen=True)
class Collection:
    """A finished collection: its JSON and all its arrays by name."""

    meta: Meta
    arrays: Mapping[str, NDArray[Any]]

    @property
    def count(self) -> int:
        return len(self.arrays["collection"])

    @property
    def start(self) -> int:
        return int(self.meta["method"]["start"])

    @property
    def maps(self) -> list[str]:
        """The names of the arrays that each item has: one, or one for each of several inputs."""
        return self.meta["info"].get("maps") or [catalogue()[self.meta["method"]["of"]["name"]].kind]

    @property
    def of_several(self) -> bool:
        """Whether a map has the name of one of several inputs: a lone one has, too, where the others have none."""
        return any("." in name for name in self.maps)

    @property
    def of_texts(self) -> bool:
        """Whether an input of theirs is a text."""
        return "words" in self.meta["info"]

    def ids(self, rows: Sequence[int]) -> list[str]:
        return [self.arrays["ids"][row].tobytes().hex() for row in rows]

    def explained(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.arrays["collection"])]

    def ordered(self, by: Order) -> list[int]:
        """Rows by their number; the largest gap first and what has none last; or the mistaken predictions first."""
        if by == "mistaken":
            return sorted(range(self.count), key=lambda row: not self._mistaken(row))
        if by == "index" or not self.arrays["gaps"].size:
            return list(range(self.count))
        worst = self.arrays["gaps"].max(axis=1)
        return [int(row) for row in np.argsort(-worst, kind="stable")]

    def items(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        failed = {one["index"]: one for one in self.meta["info"]["failed"]}
        return [self._item(row, failed.get(self.start + row)) for row in rows]

    def _item(self, row: int, failure: Mapping[str, Any] | None) -> dict[str, Any]:
        (key,) = self.ids([row])
        explained = bool(self.arrays["collection"][row])
        error = {"code": failure["code"], "detail": failure["detail"]} if failure else None
        return {
            "index": self.start + row,
            "id": key,
            "status": "succeeded" if explained else "failed",
            "label": self._class(self.arrays["labels"][row], self.meta["info"]["dataset_classes"]),
            "prediction": self._prediction(row) if explained else None,
            "target": self._class(self.arrays["targets"][row]),
            "explained": float(self.arrays["explained"][row]) if explained else None,
            "checks": self._checks(row),
            "error": error,
            "links": {"self": path_of(key)} if explained else {},
        }

    def _prediction(self, row: int) -> dict[str, Any]:
        probability = float(self.arrays["probabilities"][row])
        named = self._class(self.arrays["predicted"][row]) or {"index": None, "label": None}
        told = None if probability < 0 else probability
        return {**named, "score": float(self.arrays["scores"][row]), "probability": told}

    def _class(self, index: Any, names: Sequence[str] = ()) -> dict[str, Any] | None:
        number = int(index)
        if number < 0:
            return None
        label = names[number] if number < len(names) else self.meta["info"]["names"].get(str(number))
        return {"index": number, "label": label}

    def _checks(self, row: int) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "expected": float(self.arrays["expected"][row, at]),
                "observed": float(self.arrays["observed"][row, at]),
                "gap": float(self.arrays["gaps"][row, at]),
            }
            for at, name in enumerate(self.meta["info"]["checks"])
            if self.arrays["gaps"][row, at] >= 0
        ]

    def _mistaken(self, row: int) -> bool:
        """Whether it was predicted, and not to be what the dataset says."""
        label = self._class(self.arrays["labels"][row], self.meta["info"]["dataset_classes"])
        return bool(self.arrays["collection"][row]) and self._differ(label, self._class(self.arrays["predicted"][row]))

    def _differ(self, label: Mapping[str, Any] | None, predicted: Mapping[str, Any] | None) -> bool:
        """Whether a label is not the name of what was predicted, nor its number where the model has no such name."""
        if label is None:
            return False
        name, names = _named(label), self.meta["info"]["names"].values()
        return name != _named(predicted) and (name in names or not predicted or name != str(predicted["index"]))

    def title(self, row: int) -> tuple[str, bool]:
        """The line above an item on a sheet, and whether what was predicted is not its label."""
        one = self._item(row, None)
        label, predicted = one["label"], one["prediction"] or {}
        said = _named(predicted)
        wrong = self._differ(label, predicted)
        sure = predicted.get("probability")
        of = f"{_named(label)} -> {said}" if wrong else said
        return f"#{one['index']}: {of}" + ("" if sure is None else f" ({sure:.2f})"), wrong


def _named(one: Mapping[str, Any] | None) -> str:
    if not one:
        return ""
    return str(one["label"] if one.get("label") is not None else one["index"] if one.get("index") is not None else "")


def collection_of(meta: Meta, arrays: Sequence[bytes]) -> Collection:
    """From all of its arrays, as they are stored, in the order of their names."""
    named = zip(sorted(meta["arrays"]), arrays, strict=True)
    return Collection(meta, {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in named})


def table(of: Collection) -> Iterator[str]:
    """Lines of CSV, the first their head."""
    checks = of.meta["info"]["checks"]
    head = ["index", "id", "status", "label", "predicted", "score", "probability", "target", "explained"]
    yield _line([*head, *(f"gap of {name}" for name in checks), "error"])
    failed = {one["index"]: one for one in of.meta["info"]["failed"]}
    for row in range(of.count):
        one = of._item(row, failed.get(of.start + row))
        said = one["prediction"] or {}
        gaps = {check["name"]: f"{check['gap']:.6g}" for check in one["checks"]}
        yield _line(
            [
                one["index"], one["id"], one["status"], _named(one["label"]), _named(said),
                _number(said.get("score")), _number(said.get("probability")), _named(one["target"]),
                _number(one["explained"]), *(gaps.get(name, "") for name in checks),
                one["error"]["detail"] if one["error"] else "",
            ]
        )  # fmt: skip


def _line(values: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
