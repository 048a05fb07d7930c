"""What each kind of server is asked, and what its answer means."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import InputSpec
from workers.explanation.errors import PredictorFailed
from workers.models.remote.connection import Answer, Connection
from workers.models.remote.rows import (
    Floats,
    as_type,
    columns,
    in_base64,
    numbers,
    pngs,
    predictions,
    records,
    to_csv,
    to_json,
)
from workers.models.remote.section import RemoteSection, Sent

JSON = {"Content-Type": "application/json", "Accept": "application/json"}
MOST_ROWS, MOST_NUMBERS = 4096, 2**20  # of a request, where the card says nothing
HEADER_LENGTH = "Inference-Header-Content-Length"
TYPES = {
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "BOOL": "?",
}  # fmt: skip


class Request(NamedTuple):
    """A POST."""

    address: str
    body: bytes
    headers: Mapping[str, str]


class Outputs(NamedTuple):
    """What an answer holds: values (n, ...), and the version of the model that made them, where it says so."""

    values: NDArray[Any]  # floats, or whole numbers where the server says that they are
    version: str | None = None


@dataclass
class Protocol(ABC):
    """One model behind one address; `sent` is the form that rows go in."""

    address: str
    section: RemoteSection
    spec: InputSpec
    labels: Sequence[str]
    sent: Sent
    seen: dict[str, Any] = field(default_factory=dict)  # what the server says of the model, for receipts

    @property
    def rows(self) -> int:
        """How many rows a request may hold."""
        return self.section.rows or max(1, min(MOST_ROWS, MOST_NUMBERS // math.prod(self.spec.shape)))

    def describe(self, _: Connection) -> str | None:
        """Ask the server what it serves; the version, where it tells one. Raises as connections do."""
        return None

    @abstractmethod
    def request(self, rows: Floats) -> Request:
        """The request for some rows (n, *shape)."""

    @abstractmethod
    def outputs(self, answer: Answer, rows: int) -> Outputs:
        """What so many rows were answered with; raises PredictorFailed."""


class OpenInference(Protocol):
    """Open Inference Protocol v2, of MLServer, Triton, KServe, TorchServe, OpenVINO; tensors in JSON or binary."""

    def describe(self, connection: Connection) -> str | None:
        told = connection.get(self.address).json()
        if not isinstance(told, Mapping):
            raise PredictorFailed("the predictor describes its model with no JSON object")
        self.seen.update({key: told[key] for key in ("name", "platform", "versions") if told.get(key)})
        self._inputs, self._outputs = (_objects(told.get(key)) for key in ("inputs", "outputs"))
        named = re.search(r"/versions/([^/]+)$", self.address)
        versions = told["versions"] if isinstance(told.get("versions"), list) else []
        return named.group(1) if named else str(versions[-1]) if versions else None

    _inputs: Sequence[Mapping[str, Any]] = ()
    _outputs: Sequence[Mapping[str, Any]] = ()

    def request(self, rows: Floats) -> Request:
        inputs, raw = [], b""
        for title, datatype, shape, values in self._tensors(rows):
            tensor: dict[str, Any] = {"name": title, "shape": shape, "datatype": datatype}
            if self.section.binary and isinstance(values, np.ndarray):
                data = values.astype(TYPES[datatype]).tobytes()
                tensor["parameters"], raw = {"binary_data_size": len(data)}, raw + data
            else:
                tensor["data"] = values.ravel() if isinstance(values, np.ndarray) else values
                tensor |= {"parameters": {"content_type": "str"}} if datatype == "BYTES" else {}
            inputs.append(tensor)
        asked: dict[str, Any] = {"inputs": inputs}
        if self.sent == "columns":
            asked["parameters"] = {"content_type": "pd"}
        name = self.section.output or next((str(one["name"]) for one in self._outputs), None)
        if name is not None:
            asked["outputs"] = [{"name": name, "parameters": {"binary_data": self.section.binary}}]
        elif self.section.binary:
            asked["parameters"] = {"binary_data_output": True}
        head = to_json(asked)
        if not raw:
            return Request(f"{self.address}/infer", head, JSON)
        told = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
        return Request(f"{self.address}/infer", head + raw, told)

    def _tensors(self, rows: Floats) -> list[tuple[str, str, list[int], Any]]:
        if self.sent == "columns":
            return [
                self._column(name, values)
                for name, values in zip(self.spec.names, columns(rows, self.spec), strict=True)
            ]
        first = self._inputs[0] if self._inputs else {}
        name = self.section.input or str(first.get("name", "predict"))
        given, told = "datatype" in self.section.model_fields_set, str(first.get("datatype", ""))
        datatype = told if told in TYPES and not given else self.section.datatype
        values = rows if datatype in ("FP32", "FP64") else as_type(rows, TYPES[datatype], self.spec)
        return [(name, datatype, list(rows.shape), values)]

    def _column(self, name: str, values: list[Any]) -> tuple[str, str, list[int], Any]:
        words = isinstance(values[0], str)
        datatype = "BYTES" if words else "INT64" if isinstance(values[0], int) else "FP64"
        return name, datatype, [len(values), 1], values if words else np.asarray(values, TYPES[datatype])

    def outputs(self, answer: Answer, _: int) -> Outputs:
        length = answer.headers.get(HEADER_LENGTH.lower())
        cut = int(length) if length and length.isdigit() else len(answer.body)
        told = Answer(answer.body[:cut], answer.headers).json()
        if not isinstance(told, Mapping) or not isinstance(told.get("outputs"), list) or not told["outputs"]:
            raise PredictorFailed("the predictor's answer has no outputs")
        version, raw = told.get("model_version"), answer.body[cut:]
        outputs = _objects(told["outputs"])
        for output in outputs:
            parameters = output.get("parameters")
            size = parameters.get("binary_data_size") if isinstance(parameters, Mapping) else None
            if size is not None and not (isinstance(size, int) and 0 <= size <= len(raw)):
                raise PredictorFailed(f"the predictor's answer has {len(raw)} bytes where it says {str(size)[:40]}")
            data, raw = (raw[:size], raw[size:]) if size is not None else (None, raw)
            if self.section.output in (None, output.get("name")):
                return Outputs(_tensor(output, data), str(version) if version else None)
        there = ", ".join(str(output.get("name")) for output in outputs)
        raise PredictorFailed(f"the predictor's answer has the outputs {there[:200]}, and no {self.section.output!r}")


def _objects(values: Any) -> list[Mapping[str, Any]]:
    """Those of a list that are objects; of anything else none."""
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def _tensor(output: Mapping[str, Any], data: bytes | None) -> NDArray[Any]:
    name, shape = str(output.get("datatype")), output.get("shape")
    kind = TYPES.get(name)
    if data is None:
        flat = numbers(output.get("data"), (), None).ravel()
        flat = flat.astype(np.float64) if kind is None or np.dtype(kind).kind == "f" else flat
    elif name == "BF16" and len(data) % 2 == 0:  # the upper half of a float32
        flat = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    elif kind is None or len(data) % np.dtype(kind).itemsize:
        raise PredictorFailed(f"the predictor answered with binary data of the type {name}")
    else:
        flat = np.frombuffer(data, kind)
    try:
        return flat.reshape([int(size) for size in shape or ()])
    except (TypeError, ValueError):
        raise PredictorFailed(f"the predictor answered with {flat.size} numbers that it says are {shape}") from None


class KServe(Protocol):
    """KServe's and TensorFlow Serving's v1: instances in, predictions out."""

    def request(self, rows: Floats) -> Request:
        if self.sent == "columns":
            instances: Any = [dict(zip(self.spec.names, row, strict=True)) for row in records(rows, self.spec)]
        elif self.sent == "image":
            key = self.section.input or "image_bytes"
            instances = [{key: {"b64": in_base64(png)}} for png in pngs(rows, self.spec)]
        else:
            instances = rows if self.section.input is None else [{self.section.input: row} for row in rows]
        return Request(f"{self.address}:predict", to_json({"instances": instances}), JSON)

    def outputs(self, answer: Answer, _: int) -> Outputs:
        told = answer.json()
        return Outputs(predictions(told if isinstance(told, Mapping) else {}, self.labels, self.section.output))


class TorchServe(Protocol):
    """TorchServe's /predictions: a request holds one row, unless the card says how many its handler takes as a list."""

    @property
    def rows(self) -> int:
        return self.section.rows or 1

    def request(self, rows: Floats) -> Request:
        if self.sent == "image":
            return Request(self.address, pngs(rows, self.spec)[0], {"Content-Type": "image/png"})
        return Request(self.address, to_json(rows if self.rows > 1 else rows[0]), JSON)

    def outputs(self, answer: Answer, _: int) -> Outputs:
        told = answer.json()
        if isinstance(told, Mapping) and "predictions" in told:
            told = told["predictions"]
        return Outputs(numbers(told if self.rows > 1 else [told], self.labels, self.section.output))


class MLflow(Protocol):
    """/invocations of `mlflow models serve`, and of SageMaker's containers: pandas-split, tensors or CSV."""

    def request(self, rows: Floats) -> Request:
        if self.sent in ("csv", "csv-rows"):
            text = to_csv(rows, self.spec, named=self.sent == "csv")
            return Request(self.address, text, {"Content-Type": "text/csv"})
        if self.sent == "columns":
            table = {"columns": list(self.spec.names), "data": records(rows, self.spec)}
            return Request(self.address, to_json({"dataframe_split": table}), JSON)
        key = self.section.input
        return Request(self.address, to_json({"inputs": {key: rows} if key else rows}), JSON)

    def outputs(self, answer: Answer, rows: int) -> Outputs:
        if answer.headers.get("content-type", "").startswith("text/csv"):
            return Outputs(_of_csv(answer.body, rows))
        told = answer.json()
        found = predictions if isinstance(told, Mapping) else numbers
        return Outputs(found(told, self.labels, self.section.output))


def _of_csv(body: bytes, rows: int) -> NDArray[np.float64]:
    """A line for each row; or all in one, as SageMaker's XGBoost has it: `.1,.2` of numbers, `[.1, .9],[.2, .8]`."""
    text = body.decode("utf-8", "replace")
    lists = re.findall(r"\[([^][]*)\]", text)
    lines = [line.split(",") for line in lists or text.split("\n") if line.strip()]
    if len(lines) == 1 and rows > 1:
        lines = [[word] for word in lines[0]]
    if len({len(line) for line in lines}) > 1:
        raise PredictorFailed("the predictor answered with lines of different lengths")
    try:
        found = np.asarray([[float(word) for word in line] for line in lines])
    except ValueError:
        raise PredictorFailed("the predictor answered with CSV that holds text where a number should be") from None
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


KINDS: Mapping[str, type[Protocol]] = {
    "open-inference": OpenInference,
    "kserve": KServe,
    "torchserve": TorchServe,
    "mlflow": MLflow,
}
