"""What a worker says of each model of its repository."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

State: TypeAlias = Literal["loading", "ready", "failed", "leaving", "unloaded"]


class ModelState(BaseModel):
    """One version of a model as one worker has it, or a model of which it has none; equal in equal repositories.

    `digest` and `card` (the name that the card is kept under) are those of a version that it computes; `since` is when
    that became ready, in unix seconds. `leaving`: it was replaced or removed, and goes once nobody asks for it. `sent`
    names the upload that it came with, where it came over HTTP.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    digest: str | None = None
    card: str | None = None
    since: float | None = None
    reason: str | None = None
    sent: str | None = None
