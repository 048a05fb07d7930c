"""What passes between the routes and the queue: Order in, Ticket back, Status at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from workers.contract import ExplainError, Job, keys

Outcome: TypeAlias = Literal["hit", "created", "joined", "refused"]
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
    again although a result is stored. `caller` is the id of an API key, "" for everyone without one. `passes` is how
    many it takes of the model, 0 where that is not known; `cost` is in seconds of a worker, None lets the queue
    estimate it from the passes.
    """

    job: Job
    model: str
    input: Input | None = None
    deadline: float | None = None
    request_id: str | None = None
    recompute: bool = False
    caller: str = ""
    priority: keys.Priority = keys.INTERACTIVE
    passes: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What became of an order.

    `hit`: the result is there (`meta` holds its JSON, `arrays` the .npy bytes of those that were asked for along with
    it, None where they have to be read); `created`: it was queued; `joined`: an equal order is in
    flight; `refused`: it failed less than a minute ago for a reason that stays (its status holds the problem).
    """

    id: str
    outcome: Outcome
    meta: dict[str, Any] | None = None
    arrays: tuple[bytes | None, ...] | None = None


class Progress(BaseModel):
    """How far the work is: `done` of `total` of `unit` ("steps", "passes")."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    unit: str


class Problem(BaseModel):
    """Why a job failed: a stable `code`, a sentence for people, what in the request it is about, what works instead."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    pointer: str | None = None
    alternatives: tuple[dict[str, Any], ...] = ()


class Status(BaseModel):
    """The state of one explanation, derived from what exists. Times are unix seconds.

    `position` is how many entries (the jobs of one request are one) will be taken before it where turns alternate
    evenly: as many of every other line as precede it in its own, and before batch all that is interactive.
    `starts_in` is an estimate, in seconds, from what such work took of late.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    status: State
    model: str | None = None
    progress: Progress | None = None
    position: int | None = None
    starts_in: float | None = None
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


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list, newest first; `cursor` is where the next page begins, None after the last."""

    statuses: Sequence[Status]
    cursor: str | None = None
