"""An explanation as a value: what its document tells, and its numbers and pictures, fetched when asked for."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whence.errors import Refused
from whence.files import write
from whence.flows import EXPLANATIONS, NPY
from whence.notebook import shown
from whence.values import Check, Picture, Prediction

ACCEPT = {
    ".png": "image/png",
    ".npy": NPY,
    ".safetensors": "application/vnd.safetensors",
    ".json": "application/json",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
}
Values: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]
Fetch: TypeAlias = Callable[..., bytes]  # (path, accept, **query)
FetchLater: TypeAlias = Callable[..., Awaitable[bytes]]


class Told:
    """What the document of an explanation tells; `document` is all of it, as the API gives it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def kind(self) -> str:
        """attribution, synthesis, graph, clustering, scores, state or collection."""
        return str(self.document["kind"])

    @property
    def model(self) -> str:
        return str(self.document["model"]["name"])

    @property
    def method(self) -> dict[str, Any]:
        """Its name and all its parameters, defaults filled in."""
        return dict(self.document["method"])

    @property
    def target(self) -> dict[str, Any] | None:
        return self.document.get("target")

    @property
    def prediction(self) -> list[Prediction]:
        """The five highest classes."""
        return [
            Prediction(one.get("index"), one.get("label"), one["score"], one.get("probability"))
            for one in self.document["prediction"]
        ]

    @property
    def checks(self) -> list[Check]:
        return [
            Check(one["name"], one["expected"], one["observed"], one["gap"]) for one in self.document.get("checks", ())
        ]

    @property
    def info(self) -> dict[str, Any]:
        return dict(self.document.get("info", {}))

    @property
    def array_names(self) -> tuple[str, ...]:
        return tuple(self.document.get("arrays", {}))

    def __repr__(self) -> str:
        target = self.target or {}
        of = target.get("label") or target.get("index")
        named = f" of {of}" if of is not None else ""
        return f"<{type(self).__name__} {self.id[:12]}: {self.method['name']}{named} on {self.model}>"

    def _place(self) -> str:
        return f"{EXPLANATIONS}/{self.id}"

    def _main(self) -> list[str]:
        """The arrays that `values` are: the one named like the kind, or one for each input. Raises Refused."""
        names = [name for name in self.array_names if name == self.kind or name.startswith(f"{self.kind}.")]
        if not names:
            there = ", ".join(self.array_names) or "none"
            raise Refused(f"a result of the kind {self.kind} has no values of its own; its arrays are: {there}")
        return names

    def _array_place(self, name: str) -> str:
        return f"{self._place()}/{name}.npy"

    def _picture_place(self, name: str | None) -> str:
        chosen = name or ("heatmap" if self.kind == "attribution" else self.kind)
        return f"{self._place()}/{chosen}.png"


class Explanation(Told):
    """A finished explanation; arrays are fetched once, when they are first looked at."""

    def __init__(self, document: Mapping[str, Any], fetch: Fetch) -> None:
        super().__init__(document)
        self._fetch = fetch
        self._arrays: dict[str, NDArray[Any]] = {}

    @property
    def values(self) -> Values:
        """The attribution, shaped like the input or of one channel; of several inputs one array by each's name."""
        return _values(self.kind, {name: self.array(name) for name in self._main()})

    def array(self, name: str) -> NDArray[Any]:
        """An array of the result, by its name (see `array_names`), or `input`: what the model saw."""
        if name not in self._arrays:
            self._arrays[name] = loaded(self._fetch(self._array_place(name), NPY))
        return self._arrays[name]

    def picture(self, name: str | None = None, **look: Any) -> Picture:
        """A PNG: heatmap (the default), overlay, mask, scaled, gray or projection; `look`: colormap, clip, ..."""
        return Picture(self._fetch(self._picture_place(name), "image/png", **look))

    def save(self, path: str | Path) -> None:
        """Write it in the form that the file's name asks for: .npy, .safetensors, .png, .json, .html, .svg or .csv."""
        write(path, self._fetch(self._place(), accept_of(path)))

    def receipt(self) -> bytes:
        """What determines the numbers and proves them, as `whence verify` reads it."""
        return self._fetch(f"{self._place()}/receipt", "application/json")

    def _repr_html_(self) -> str:
        try:
            picture = self.picture() if self.kind == "attribution" or "png" in self.document.get("links", {}) else None
        except Exception:  # a notebook shows at least the numbers
            picture = None
        return shown(self.document, picture)


class AsyncExplanation(Told):
    """A finished explanation of the async client: `values` are here already, all else is awaited."""

    def __init__(self, document: Mapping[str, Any], fetch: FetchLater, arrays: dict[str, NDArray[Any]]) -> None:
        super().__init__(document)
        self._fetch = fetch
        self._arrays = arrays
        self._picture: Picture | None = None

    @property
    def values(self) -> Values:
        """As Explanation.values."""
        return _values(self.kind, {name: self._arrays[name] for name in self._main()})

    async def array(self, name: str) -> NDArray[Any]:
        """As Explanation.array."""
        if name not in self._arrays:
            self._arrays[name] = loaded(await self._fetch(self._array_place(name), NPY))
        return self._arrays[name]

    async def picture(self, name: str | None = None, **look: Any) -> Picture:
        """As Explanation.picture; a notebook shows the last one with it."""
        self._picture = Picture(await self._fetch(self._picture_place(name), "image/png", **look))
        return self._picture

    async def save(self, path: str | Path) -> None:
        """As Explanation.save."""
        write(path, await self._fetch(self._place(), accept_of(path)))

    async def receipt(self) -> bytes:
        """As Explanation.receipt."""
        return await self._fetch(f"{self._place()}/receipt", "application/json")

    def _repr_html_(self) -> str:
        return shown(self.document, self._picture)


def loaded(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def accept_of(path: str | Path) -> str:
    """The media type that a file's name asks for; raises ValueError."""
    suffix = Path(path).suffix.lower()
    if suffix not in ACCEPT:
        raise ValueError(f"the name of the file says its form: {', '.join(ACCEPT)}; not {Path(path).name!r}")
    return ACCEPT[suffix]


def _values(kind: str, arrays: dict[str, NDArray[Any]]) -> Values:
    if kind in arrays:
        return arrays[kind]
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items()}
