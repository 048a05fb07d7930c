"""Where a model comes from: the text of [model] source, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from workers.explanation.errors import InvalidFolder

Kind: TypeAlias = Literal["archive", "python", "torchvision", "timm", "transformers"]
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Source:
    """`name` is a module and `factory` a callable of it for python; `name` is the library's own name for the others.

    `file` is a file of the folder: the archive, or the module where it is one.
    """

    kind: Kind
    name: str
    factory: str = ""
    file: str | None = None

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
    elif kind in ("torchvision", "timm", "transformers") and rest.strip():
        return Source(kind, rest)  # type: ignore[arg-type]
    raise InvalidFolder(
        f'{where}: [model] source is wrong; it should be "model.pt2", "python:net.py:factory", '
        '"python:package.module:factory", "torchvision:NAME", "timm:NAME" or "transformers:ID"'
    )
