"""What a call may raise. Each is a WhenceError: a sentence for people, and the stable `code` of the problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any

import httpx


class WhenceError(Exception):
    """Whence could not be reached, refused what was asked, or failed at it.

    `code` is that of the problem document (RFC 9457) where there was one, `status` that of the answer. `errors` name
    what in the request is wrong, `alternatives` what works on this model instead.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        alternatives: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.errors = tuple(errors)
        self.alternatives = tuple(alternatives)


class Unreachable(WhenceError):
    """Nothing answers there."""


class Refused(WhenceError):
    """What was asked for cannot be had: it is wrong, unknown, or not allowed."""


class Busy(WhenceError):
    """There is no room for it now; it may be asked again in so many `seconds`."""

    def __init__(self, message: str, seconds: float, **told: Any) -> None:
        super().__init__(message, **told)
        self.seconds = seconds


class Failed(WhenceError):
    """The work was begun and came to nothing: it failed, or was withdrawn."""


class NotFinished(WhenceError):
    """It took longer than the patience that was given; it goes on, and `id` finds it."""

    def __init__(self, message: str, explanation_id: str) -> None:
        super().__init__(message, code="not_finished")
        self.id = explanation_id


def check(answer: httpx.Response) -> httpx.Response:
    """The answer, where it is none of an error; raises Busy, Refused, and Failed for what is the server's fault."""
    if not answer.is_error:
        return answer
    told = _problem(answer)
    message = sentence(told) or f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"
    said = {**_of(told), "status": answer.status_code}
    after = answer.headers.get("Retry-After", "")
    if answer.status_code in (429, 503) and after.isdecimal():
        raise Busy(message, float(after), **said)
    raise (Failed if answer.status_code >= 500 else Refused)(message, **said)


def failure(document: Mapping[str, Any]) -> Failed:
    """Why there is no result, from a status document that is final."""
    told = document.get("error") or {}
    return Failed(sentence(told) or f"the work was {document['status']}", **_of(told))


def sentence(problem: Mapping[str, Any]) -> str | None:
    """A problem document in words, with what it is about and its code; None of what is no problem document."""
    if not {"detail", "code"} <= problem.keys():
        return None
    where = next((one["pointer"] for one in problem.get("errors", ()) if _tells(one["pointer"], problem["code"])), None)
    said = f"{problem['detail']} ({problem['code']})"
    return f"{where}: {said}" if where else said


def _tells(pointer: str, code: str) -> bool:
    """Whether it says more than the sentence does: that a method is wrong is told by its name."""
    return pointer.count("/") > 1 or (code == "invalid_parameter" and len(pointer) > 1)


def _of(problem: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "code": problem.get("code"),
        "errors": problem.get("errors") or (),
        "alternatives": problem.get("alternatives") or (),
    }


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        told = answer.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}
