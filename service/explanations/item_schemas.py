"""The documents of checks, and of the items of a collection."""

from typing import Literal

from pydantic import BaseModel, Field


class Check(BaseModel):
    """One promise of the method's theory, and by how much this result misses it."""

    name: str
    expected: float
    observed: float
    gap: float = Field(description="|observed - expected| / |expected|; absolute where expected is 0.")


class ClassName(BaseModel):
    index: int | None
    label: str | None


class ItemPrediction(ClassName):
    """The highest class of an item."""

    score: float
    probability: float | None


class ItemError(BaseModel):
    code: str
    detail: str


class CollectionItem(BaseModel):
    """One input of many: an explanation under the id that it has alone, or why there is none."""

    index: int = Field(description="Its number in the dataset.")
    id: str
    status: Literal["succeeded", "failed"]
    label: ClassName | None = Field(description="What the dataset says it is.")
    prediction: ItemPrediction | None
    target: ClassName | None
    explained: float | None = Field(description="The target's score.")
    checks: list[Check]
    error: ItemError | None = Field(description="Told of the first thousand that failed.")
    links: dict[str, str]


class CollectionItems(BaseModel):
    """A page of a collection's items; `links.next` is the page after it, where there is one."""

    count: int
    items: list[CollectionItem]
    links: dict[str, str]
