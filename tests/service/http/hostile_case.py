"""A hostile request: what it sends, and the statuses that it may be answered with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

URL = "/api/v1/explanations"
DATASETS = "/api/v1/datasets"
BAD = frozenset({400, 422})
TOO_LARGE = frozenset({413, 422})


@dataclass(frozen=True)
class Hostile:
    """One request; `raw` is sent as it is, to the socket."""

    name: str
    verb: str = "POST"
    path: str = URL
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    expected: frozenset[int] = BAD


class Evil:
    """What runs where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def sent(name: str, content: bytes, media: str, expected: frozenset[int] = BAD) -> Hostile:
    return Hostile(name, "POST", f"{URL}?model=digits", content, {"content-type": media}, expected=expected)


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()
