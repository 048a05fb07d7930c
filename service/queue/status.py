"""A job's status, derived from what exists: result, failure, lease, place in a list. Pure."""

from typing import Any

import orjson

from service.queue.orders import State, Status


def status_of(job_id: str, record: dict[str, Any] | None, has_result: bool, workers: int = 1) -> Status | None:
    """The status of a job from its record and from whether its result is stored; None where there is neither."""
    if not record:
        return Status(id=job_id, status="succeeded") if has_result else None
    state = _state(record, has_result)
    error = orjson.loads(record["error"]) if state == "failed" else None
    before = record.get("seconds_before")
    starts_in = None if before is None else before / max(1, workers)
    return Status.model_validate({**record, "id": job_id, "status": state, "error": error, "starts_in": starts_in})


def _state(record: dict[str, Any], has_result: bool) -> State:
    is_open = "finished_at" not in record
    if has_result and not (is_open and "recompute" in record):
        return "succeeded"
    if is_open:
        return "running" if record["leased"] else "queued"
    if "error" in record:
        return "failed"
    return "cancelled" if "cancelled" in record else "expired"
