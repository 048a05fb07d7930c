"""Where a model comes from: the text of [model] source, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from workers.explanation.errors import InvalidFolder
from workers.models.remote.section import PROTOCOLS, Protocol

Kind: TypeAlias = Literal["archive", "python", "torchvision", "timm", "transformers"] | Protocol
EXAMPLES = {
    "open-inference": "http://localhost:8080/v2/models/NAME",
    "kserve": "http://localhost:8080/v1/models/NAME",
    "torchserve": "http://localhost:8080/predictions/NAME",
    "mlflow": "http://localhost:5000/invocations",
}
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Source:
    """`name` is a module and `factory` a callable of it for python; `name` is the library's own name for the others.

    Of a server `name` is its address. `file` is a file of the folder: the archive, or the module where it is one.
    """

    kind: Kind
    name: str
    factory: str = ""
    file: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it is a server that predicts."""
        return self.kind in PROTOCOLS

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind if self.kind != "archive" else "", self.name, self.factory) if part)


def parse_source(text: str, where: str) -> Source:
    """The source that the text names; raises InvalidFolder, which lists the forms there are."""
    kind, _, rest = text.partition(":")
    if text.endswith(".pt2") and ":" not in text:
        return Source("archive", text, file=text)
    if kind == "python":
        name, _, factory = rest.rpartition(":")
        in_folder = name.endswith(".py")
        if factory.isidentifier() and (in_folder or MODULE.fullmatch(name)):
            return Source("python", name, factory, file=name if in_folder else None)
    elif kind in PROTOCOLS:
        return Source(kind, _address(rest, kind, where))
    elif kind in ("torchvision", "timm", "transformers") and rest.strip():
        return Source(kind, rest)  # type: ignore[arg-type]
    raise InvalidFolder(
        f'{where}: [model] source is wrong; it should be "model.pt2", "python:net.py:factory", '
        '"python:package.module:factory", "torchvision:NAME", "timm:NAME", "transformers:ID", or the address of '
        'a server, as "open-inference:http://HOST/v2/models/NAME" (kserve:, torchserve:, mlflow:)'
    )


def _address(text: str, kind: str, where: str) -> str:
    """The address of a server, checked; raises InvalidFolder, which does not repeat it."""
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        host = None
    odd = any(c.isspace() or not c.isprintable() for c in text.strip())
    if not host or odd or parts.scheme not in ("http", "https"):
        raise InvalidFolder(f"{where}: [model] source should be {kind}: and an address, as {kind}:{EXAMPLES[kind]}")
    if parts.username is not None or parts.password is not None:
        raise InvalidFolder(
            f"{where}: [model] source holds a password; put it into an environment variable, and name that in [remote] "
            "as token, or as one of headers"
        )
    if parts.query or parts.fragment:
        raise InvalidFolder(f"{where}: [model] source should end with the path of the model, without ? and #")
    return text.strip().rstrip("/")
