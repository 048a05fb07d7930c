"""Units: which channels of a layer relevance or signal may pass. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Units(BaseModel):
    """Which channels of a layer relevance may pass: an empty list stops it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(max_length=300)
    channels: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=10000)
