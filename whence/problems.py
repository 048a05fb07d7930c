"""From answers to exceptions: problem documents (RFC 9457) in words."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any

import httpx

from whence.errors import Busy, Failed, Refused


def check(answer: httpx.Response) -> httpx.Response:
    """The answer, where it is none of an error; raises Busy, Refused, and Failed for what is the server's fault."""
    if not answer.is_error:
        return answer
    told = _problem(answer)
    asked = answer.url.copy_with(userinfo=b"")
    message = sentence(told) or f"{asked} answered {answer.status_code} {answer.reason_phrase}"
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
