"""Explanations of many inputs in one job: what they say together, and each of them by its number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from whence.datasets import loaded_stack
from whence.errors import Refused
from whence.explanation import Explanation
from whence.values import Picture

PAGE = 500
FORMS = {
    ".zip": "archive.zip",
    ".safetensors": "collection.safetensors",
    ".csv": "items.csv",
    ".png": "collection.png",
}


class Asked(Protocol):
    """The client that it came from."""

    def get(self, path: str, **query: Any) -> Any: ...
    def fetch(self, path: str, accept: str, **query: Any) -> bytes: ...
    def download(self, path: str, to: Path) -> None: ...
    def explanation(self, explanation_id: str) -> Explanation: ...


class Collection(Explanation):
    """The finished job: as long as there were inputs, and each item is an explanation of its own.

    `names` are the files that the items came from, where they came from a folder.
    """

    def __init__(self, document: Mapping[str, Any], client: Asked, names: Sequence[str] = ()) -> None:
        super().__init__(document, client.fetch)
        self._client = client
        self.names = tuple(names)

    def __len__(self) -> int:
        return int(self.info["items"])

    def __getitem__(self, at: int) -> Explanation:
        """The explanation of the item at this place; raises Refused with its reason where there is none."""
        if not -len(self) <= at < len(self):
            raise IndexError(f"there are {len(self)} items")
        (item,) = self.page(at % len(self), 1)
        if item["status"] != "succeeded":
            told = item["error"] or {"detail": "it could not be explained", "code": "unknown"}
            raise Refused(f"{told['detail']} ({told['code']})", code=told["code"])
        return self._client.explanation(item["id"])

    def page(self, start: int = 0, limit: int = PAGE, *, worst: bool = False) -> list[dict[str, Any]]:
        """What is told of some items: index, id, prediction, checks; in their order, or the worst checks first."""
        query = {"start": start, "limit": limit, "sort": "worst" if worst else "index"}
        found: list[dict[str, Any]] = self._client.get(f"{self._place()}/items", **query)["items"]
        return found

    def items(self, *, worst: bool = False) -> Iterator[dict[str, Any]]:
        """All of them, a page at a time."""
        for start in range(0, len(self), PAGE):
            yield from self.page(start, worst=worst)

    @property
    def values(self) -> Any:
        """The maps of all items along a first axis, zeros where an item has none; of several inputs by name.

        All of them at once. Of texts, which differ in length, there is none: raises Refused.
        """
        data = self._fetch(f"{self._place()}/collection.safetensors", "application/vnd.safetensors")
        return loaded_stack(data)

    @property
    def means(self) -> dict[str, Any]:
        """The mean map of each class, by its name or number; of several inputs a map for each, by its name."""
        found = {
            name.partition(".")[2]: self.array(name)
            for name in self.document["arrays"]
            if name.partition(".")[0] == "means"
        }
        return {
            str(one["label"] if one["label"] is not None else one["index"]): (
                found[""][at] if "" in found else {name: means[at] for name, means in found.items()}
            )
            for at, one in enumerate(self.info["classes"])
        }

    def sheet(self, page: int = 1, *, worst: bool = False) -> Picture:
        """A contact sheet: the inputs beside their maps."""
        query = {"page": page, "sort": "worst" if worst else "index"}
        return Picture(self._fetch(f"{self._place()}/contact_sheet.png", "image/png", **query))

    def picture(self, name: str | None = None, **look: Any) -> Picture:
        """The mean map of each class, and how the checks are spread."""
        return super().picture(name, **look)

    def save(self, path: str | Path) -> None:
        """All of it: .zip (an array each, a table, sheets), .safetensors (stacked), .csv (a table), .png (a summary).

        It is written as it comes, never whole in memory.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in FORMS:
            raise ValueError(f"the name of the file says its form: {', '.join(FORMS)}; not {Path(path).name!r}")
        self._client.download(f"{self._place()}/{FORMS[suffix]}", Path(path))

    def __repr__(self) -> str:
        return (
            f"<Collection {self.id[:12]}: {self.info['explained']} of {len(self)} items, {self.method['of']['name']}>"
        )
