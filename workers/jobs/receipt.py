"""What is stored with the numbers of an explanation: the JSON that clients read, and the receipt that proves it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.inputs import ONE
from workers.explanation.result import Row
from workers.explanation.target import Target
from workers.explanation.tensors import encode_npy
from workers.explanation.text import with_values
from workers.jobs.fingerprints import seal, sketches
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work


@dataclass(frozen=True, slots=True)
class Explained:
    """One row of a batch with all that its JSON tells; `computed_ms` is the whole batch's.

    `seen` has the inputs by name, and none for a method without an input. `explained` is the target as a number,
    {score, probability}.
    """

    work: Work
    card: ModelCard
    device: str
    row: Row
    seen: Mapping[str, NDArray[Any]]
    target: Target | None
    prediction: Sequence[Mapping[str, Any]]
    explained: Mapping[str, float | None] | None
    computed_ms: float
    machine: Mapping[str, Any]
    texts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        rows: int = self.machine["batch_size"]
        return rows


def finished(explained: Explained) -> Finished:
    """The stored form: `a:input` is what the model saw (uint8 HWC for an image), beside the method's own arrays.

    Of several inputs, each has one of its own, `a:input.NAME`.
    """
    work, row = explained.work, explained.row
    job = work.job
    arrays = {name: np.asarray(array) for name, array in row.arrays.items()}
    several = explained.card.inputs.keys() - {ONE}
    seen = {f"input.{name}" if several else "input": array for name, array in explained.seen.items()}
    files = {name: encode_npy(array) for name, array in {**arrays, **seen}.items()}
    headline = _headline(row.kind, arrays)
    meta: dict[str, Any] = {
        "id": work.id,
        "kind": row.kind,
        "model": {"name": explained.card.name, "digest": job.model},
        "input": job.input,
        "method": job.method.to_json(),
        "target": described(explained.target, explained.card, explained.texts),
        "prediction": list(explained.prediction),
        "explained": explained.explained and dict(explained.explained),
        **headline,
        **_looks(explained),
        **({"texts": _texts(explained, arrays)} if explained.texts else {}),
        "arrays": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        "checks": [check.to_json() for check in row.checks],
        "info": dict(row.info),
        "timing": {
            "queued_ms": round((work.started_at - work.created_at) * 1000, 3),
            "computed_ms": round(explained.computed_ms, 3),
            "batch_size": explained.batch_size,
        },
        "created_at": work.created_at,
        "receipt": _receipt(explained, arrays, files),
    }
    return Finished(meta, files)


def _receipt(explained: Explained, arrays: Mapping[str, NDArray[Any]], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What determines the numbers to the last bit, their digests, and sketches, for a machine that rounds otherwise."""
    work = explained.work
    told = {
        "id": work.id,
        "job": work.job.canonical(),
        "versions": versions(),
        "device": explained.device,
        "machine": dict(explained.machine),
        "computed_at": work.started_at,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "sketches": sketches(arrays, work.id),
    }
    return {**told, "seal": seal(told)}


def _headline(kind: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What the main array holds; of several inputs, that of each by its name."""
    if kind in arrays:
        return {kind: summary(arrays[kind])}
    own = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{kind}.")}
    return {f"{kind}s": {name: summary(array) for name, array in own.items()}} if own else {}


def _looks(explained: Explained) -> dict[str, Any]:
    """What a picture has to know of the model's inputs: how they become images again, or what their axes are."""
    spec, kind = explained.card.input, explained.row.kind
    if kind == "synthesis" and spec.image:
        return {"image": spec.image.model_dump(mode="json")}
    if kind == "attribution" and explained.card.inputs.keys() - {ONE}:
        return {"layouts": {name: _layout(one) for name, one in explained.card.inputs.items()}}
    if kind in ("attribution", "collection") and not explained.card.inputs and (spec.axes or spec.names):
        return {"layout": _layout(spec)}
    return {}


def _texts(explained: Explained, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The texts by name, each token with its number where there is one."""
    found: dict[str, dict[str, Any]] = {}
    for name, told in explained.texts.items():
        values = arrays.get(f"{explained.row.kind}.{name}", arrays.get(explained.row.kind) if name == ONE else None)
        if explained.row.kind == "attribution" and values is not None and values.ndim == 1:
            found[name] = with_values(told, values.tolist())
        else:
            found[name] = dict(told)
    return found


def _layout(spec: InputSpec) -> dict[str, Any]:
    categories = {name: list(words) for name, words in spec.categories.items()}
    return {"axes": list(spec.axes), "names": list(spec.names), **({"categories": categories} if categories else {})}


def summary(array: NDArray[Any]) -> dict[str, Any]:
    """Shape, dtype, smallest, largest, sum (in float64) of an array."""
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": float(array.min()),
        "max": float(array.max()),
        "sum": float(array.sum(dtype=np.float64)),
    }


def described(
    target: Target | None, card: ModelCard, texts: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, Any] | None:
    """A target as JSON, with its label where it is a class, or a number of one, and the token that that is at."""
    if target is None:
        return None
    told = target.model_dump(mode="json", exclude_none=True)
    told.pop("axis", None)  # the card's, and no part of what was asked
    number = told["index"][0] if told["kind"] == "element" else told.get("index")
    label = card.label(number) if isinstance(number, int) else None
    if label is None:
        return told
    token = _token(told["index"], card, texts) if told["kind"] == "element" else None
    return {**told, "label": label, **({} if token is None else {"token": token})}


def _token(index: Sequence[int], card: ModelCard, texts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The token that an output's number is at, of a model of one text that has so many numbers for each token."""
    if len(texts) != 1 or len(index) != 2:
        return None
    ((name, told),) = texts.items()
    length = next((part.shape[0] for part in card.input.parts if part.name == name), None)
    tokens = told["tokens"]
    return tokens[index[1]]["text"] if card.outputs[1] == length and index[1] < len(tokens) else None


@cache
def versions() -> dict[str, str]:
    """What computed the numbers; read from disk once, for it takes a millisecond."""
    return {"whence": version("whence"), "torch": version("torch"), "python": platform.python_version()}
