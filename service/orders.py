"""What passes between the routes and the queue: Order in, Ticket back, Status at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from workers.contract import ExplainError, Job

State: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
FINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled", "expired"})


class QueueAway(ExplainError):
    """Redis did not answer in time: nothing can be queued or read now."""

    code = "queue_unavailable"


@dataclass(frozen=True, slots=True)
class Input:
    """An input by its digest; `data` are image bytes or .npy bytes, None where the client sent only the digest."""

    digest: str
    kind: Literal["image", "tensor"]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One explanation that a client asks for.

    `model` is the name the client used (the job holds the digest); `deadline` is in unix seconds; `recompute` computes
    again although a result is stored.
    """

    job: Job
    model: str
    input: Input | None = None
    deadline: float | None = None
    request_id: str | None = None
    recompute: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """What became of an order.

    `hit`: the result is there (`meta` holds its JSON); `created`: it was queued; `joined`: an equal order is in
    flight; `refused`: it failed less than a minute ago for a reason that stays (its status holds the problem).
    """

    id: str
    outcome: Literal["hit", "created", "joined", "refused"]
    meta: dict[str, Any] | None = None


class Progress(BaseModel):
    """How far the work is: `done` of `total` of `unit` ("steps", "passes")."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    unit: str


class Problem(BaseModel):
    """Why a job failed: a stable `code`, a sentence for people, and what in the request it is about."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    pointer: str | None = None


class Status(BaseModel):
    """The state of one explanation, derived from what exists. Times are unix seconds; `position` counts from 0."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: State
    model: str | None = None
    progress: Progress | None = None
    position: int | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    deadline: float | None = None
    attempts: int = 0
    error: Problem | None = None
    request_id: str | None = None

    @property
    def final(self) -> bool:
        """No further change will come."""
        return self.status in FINAL
