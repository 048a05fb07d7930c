"""[remote] of card.toml: how the server that the source names is asked. Torch-free, and opens no connection."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder

Protocol: TypeAlias = Literal["open-inference", "kserve", "torchserve", "mlflow"]
PROTOCOLS: tuple[Protocol, ...] = ("open-inference", "kserve", "torchserve", "mlflow")
Sent: TypeAlias = Literal["tensor", "columns", "csv", "csv-rows", "image"]
TAKES: Mapping[Protocol, tuple[Sent, ...]] = {
    "open-inference": ("tensor", "columns"),
    "kserve": ("tensor", "columns", "image"),
    "torchserve": ("tensor", "image"),
    "mlflow": ("tensor", "columns", "csv", "csv-rows"),
}
Variable: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Datatype: TypeAlias = Literal["FP32", "FP64", "INT32", "INT64"]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RemoteSection(BaseModel):
    """What [remote] says; `token` and the values of `headers` are names of environment variables of the worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(default=None, min_length=1, max_length=200)
    token: Variable | None = None
    headers: dict[str, Variable] = Field(default_factory=dict)
    timeout: float = Field(default=30.0, gt=0, le=600)
    retries: int = Field(default=4, ge=0, le=20)
    requests: int = Field(default=4, ge=1, le=64)
    rows: int | None = Field(default=None, ge=1, le=65536)
    send: Sent | None = None
    input: str | None = Field(default=None, min_length=1, max_length=200)
    output: str | None = Field(default=None, min_length=1, max_length=200)
    datatype: Datatype = "FP32"
    binary: bool = False

    def asked(self) -> dict[str, Any]:
        """What of it decides which numbers come back."""
        return self.model_dump(mode="json", include={"send", "input", "output", "datatype"}, exclude_defaults=True)


RIGHT = {
    "remote": "a section [remote], beside a source that is a server",
    "remote.version": "the version of the model that is served, as a string",
    "remote.token": 'the name of an environment variable that holds a bearer token, as "PREDICTOR_TOKEN"',
    "remote.headers": 'names of environment variables by header, as {"X-Api-Key" = "PREDICTOR_KEY"}',
    "remote.timeout": "seconds that one request may take, above 0 and up to 600",
    "remote.retries": "how often a request is made again, from 0 to 20",
    "remote.requests": "how many requests are made at a time, from 1 to 64",
    "remote.rows": "how many rows a request holds at most, from 1 to 65536",
    "remote.send": "one of tensor, columns, csv, csv-rows, image",
    "remote.input": "the name of the server's input tensor",
    "remote.output": "the name of the server's output",
    "remote.datatype": "one of FP32, FP64, INT32, INT64",
    "remote.binary": "true, where tensors go as binary data, or false",
}


def form(section: RemoteSection, kind: str, spec: InputSpec) -> Sent:
    """The form that rows go in: what the card says, else columns where the server would not know a tensor's."""
    words = any(isinstance(word, str) for values in spec.categories.values() for word in values)
    if section.send is not None:
        return section.send
    return "columns" if words or (kind == "mlflow" and spec.names) else "tensor"


def check_section(section: RemoteSection, kind: str, spec: InputSpec, where: str) -> None:
    """Raise InvalidFolder where rows of that input cannot be sent so."""
    sent = form(section, kind, spec)
    takes = next(forms for protocol, forms in TAKES.items() if protocol == kind)
    if sent not in takes:
        raise InvalidFolder(f"{where}: [remote] send is {sent}; {kind}: takes {' or '.join(takes)}")
    if sent == "columns" and (not spec.names or len(spec.shape) != 1):
        raise InvalidFolder(f"{where}: [remote] sends columns, which need their names: set names in [input]")
    if sent in ("csv", "csv-rows") and len(spec.shape) != 1:
        raise InvalidFolder(f'{where}: [remote] send = "{sent}" is for rows; the shape is {list(spec.shape)}')
    if sent == "image" and spec.image is None:
        raise InvalidFolder(f'{where}: [remote] send = "image" is for kind = "image"')
    if section.binary and kind != "open-inference":
        raise InvalidFolder(f"{where}: [remote] binary is for open-inference:; {kind}: has no binary tensors")
    if sent == "image" and kind == "torchserve" and (section.rows or 1) > 1:
        raise InvalidFolder(f"{where}: [remote] rows is {section.rows}; TorchServe takes one image a request")


def secrets(section: RemoteSection, where: str) -> dict[str, str]:
    """The headers with what the environment says of them; raises InvalidFolder, which names variables, never values."""
    named = dict(section.headers)
    wrong = next((name for name in named if not _TOKEN.fullmatch(name)), None)
    if wrong is not None:
        raise InvalidFolder(f"{where}: [remote] headers names {wrong!r}, which is no name of a header")
    found = {name: _value(variable, where) for name, variable in named.items()}
    if section.token is not None:
        found["Authorization"] = f"Bearer {_value(section.token, where)}"
    return found


def _value(variable: str, where: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InvalidFolder(f"{where}: [remote] names the environment variable {variable}, which the worker has not")
    if not value.isprintable() or not value.isascii():
        raise InvalidFolder(f"{where}: the environment variable {variable} holds characters that no header may")
    return value
