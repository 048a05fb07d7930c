"""What can be wrong with a request over HTTP, on top of what can go wrong with an explanation."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from workers.contract import ExplainError, InputError

MOST_ERRORS = 20
LONGEST_POINTER = 300  # names in it are the client's


class RequestError(ExplainError):
    """A fault of the HTTP request, not of what it asks to explain."""


class MalformedBody(RequestError):
    code = "malformed_body"


class NotFound(RequestError):
    code = "not_found"


class NotFinished(RequestError):
    code = "not_finished"


class AlreadyFinished(RequestError):
    code = "already_finished"


class StillRunning(RequestError):
    """A call of a protocol that knows no 202 waited long enough: `location` is where the explanation will be."""

    code = "still_running"

    def __init__(self, detail: str, location: str) -> None:
        super().__init__(detail)
        self.location = location


class KeyRequired(RequestError):
    """There is no API key with the request, or one that is not known; `challenge` is what WWW-Authenticate adds."""

    code = "key_required"

    def __init__(self, detail: str, challenge: str = "") -> None:
        super().__init__(detail)
        self.challenge = challenge


class ScopeMissing(KeyRequired):
    code = "scope_missing"

    def __init__(self, detail: str, scope: str) -> None:
        super().__init__(detail, f', error="insufficient_scope", scope="{scope}"')


class HeadTooLarge(RequestError):
    code = "head_too_large"


class HostUnknown(RequestError):
    code = "host_unknown"


class Expired(RequestError):
    code = "result_expired"


class NotAcceptable(RequestError):
    code = "not_acceptable"


class BodyTooSlow(RequestError):
    code = "request_timeout"


class DatasetPlaced(RequestError):
    code = "dataset_placed"


class NoWorker(RequestError):
    code = "no_worker"


class ModelLoading(RequestError):
    """The model is there, and no worker serves it yet, or any more: ask again."""

    code = "model_loading"


class ModelFailed(RequestError):
    """The model's folder is wrong: the detail says why, and only the operator can mend it."""

    code = "model_failed"


class UploadsOff(RequestError):
    """Models are not taken over HTTP here; the detail says what would change that."""

    code = "uploads_off"


class ModelPlaced(RequestError):
    code = "model_placed"


class ModelRefused(InputError):
    """What was sent is no model that can be served, or a model cannot be; the detail says why."""

    code: ClassVar[str] = "model_refused"


class QueueFull(RequestError):
    """There is no room for new work now: `retry_after` is in seconds."""

    code = "queue_full"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class QuotaExceeded(QueueFull):
    """This caller has as much waiting work as one may have."""

    code = "quota_exceeded"


class TooCostly(InputError):
    """One explanation would take more than any may."""

    code: ClassVar[str] = "too_costly"


class Invalid(InputError):
    """Several faults of one request: `errors` of {pointer, detail}."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        self.errors = [{**one, "pointer": one["pointer"][:LONGEST_POINTER]} for one in errors[:MOST_ERRORS]]
        super().__init__(errors[0]["detail"], pointer=self.errors[0]["pointer"])


def moved(error: InputError, pointer: str | None, prefix: str = "") -> InputError:
    """The same error about another place of the request, with words before it; None as pointer keeps its own."""
    if isinstance(error, Invalid):
        told = [
            {"pointer": one["pointer"] if pointer is None else pointer, "detail": prefix + one["detail"]}
            for one in error.errors
        ]
        return Invalid(told)
    at = error.pointer if pointer is None else pointer
    return type(error)(prefix + error.detail, pointer=at, instead=error.instead, alternatives=error.alternatives)


class Failed(RequestError):
    """A job's stored failure: `stored` is its own code."""

    def __init__(
        self, stored: str, detail: str, pointer: str | None, alternatives: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(detail, pointer=pointer, alternatives=alternatives)
        self.stored = stored


class AllSeen(Exception):
    """The client of an event stream has seen its last event."""
