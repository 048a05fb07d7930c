"""The status of an explanation, derived from what exists: a result, a failure, a lease, a place in a list. Pure."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict

State: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
FINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled", "expired"})


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
    `starts_in` is an estimate, in seconds, from what such work took of late. `reason` says why it does not start.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    status: State
    model: str | None = None
    progress: Progress | None = None
    position: int | None = None
    reason: str | None = None
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


UNSERVED = "no worker lives that serves this version of the model with this revision of the method"


def status_of(job_id: str, record: dict[str, Any] | None, has_result: bool, workers: int = 1) -> Status | None:
    """The status of a job from its record and from whether its result is stored; None where there is neither."""
    if not record:
        return Status(id=job_id, status="succeeded") if has_result else None
    state = _state(record, has_result)
    error = orjson.loads(record["error"]) if state == "failed" else None
    before, unserved = record.get("seconds_before"), "unserved" in record and state == "queued"
    starts_in = None if before is None or unserved else before / max(1, workers)
    told = {"status": state, "error": error, "starts_in": starts_in, "reason": UNSERVED if unserved else None}
    return Status.model_validate({**record, "id": job_id, **told})


def _state(record: dict[str, Any], has_result: bool) -> State:
    is_open = "finished_at" not in record
    if has_result and not (is_open and "recompute" in record):
        return "succeeded"
    if is_open:
        return "running" if record["leased"] else "queued"
    if "error" in record:
        return "failed"
    return "cancelled" if "cancelled" in record else "expired"
