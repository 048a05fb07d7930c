"""What the command line asks of a running Whence, over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx

API = "/api/v1"
ACCEPT = {
    ".png": "image/png",
    ".npy": "application/x-npy",
    ".safetensors": "application/vnd.safetensors",
    ".json": "application/json",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
}
KINDS = {
    ".npy": "application/x-npy",
    ".safetensors": "application/vnd.safetensors",
    **{f".{name}": f"image/{name}" for name in ("png", "gif", "webp", "bmp", "tiff", "jpeg")},
    ".jpg": "image/jpeg",
    ".tif": "image/tiff",
    **dict.fromkeys((".pbm", ".pfm", ".pgm", ".pnm", ".ppm"), "image/x-portable-anymap"),
}


LAST = ("succeeded", "failed", "cancelled")

Tell: TypeAlias = Callable[[str, dict[str, Any]], None]


class Refused(Exception):
    """The service could not be reached, or answered with a problem; the message is for people."""

    code = 1  # that a command ends with


class Away(Refused):
    """Nothing answers there."""

    code = 3


class Busy(Refused):
    """There is no room for it now; it may be asked again in so many `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def connect(url: str) -> httpx.Client:
    """Its API key, where it needs one, is in the environment variable WHENCE_KEY."""
    key = os.environ.get("WHENCE_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(10, read=60), trust_env=False)


def silent(_: str, __: dict[str, Any]) -> None:
    """Told, it says nothing."""


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    """The JSON under a path of the API. Raises Refused."""
    return _asked(client, client.build_request("GET", path, params=query)).json()


def found(client: httpx.Client, path: str) -> Any:
    """As `get`; None where there is nothing, or no longer."""
    try:
        answer = client.get(path)
    except httpx.TransportError as error:
        raise Away(f"no Whence answers at {client.base_url} ({error})") from None
    return answer.json() if answer.is_success else None


def explain(
    client: httpx.Client, file: Path, query: dict[str, str], accept: str, patience: float, tell: Tell = silent
) -> bytes:
    """Explain the image or tensor in a file, waiting until it is done; `tell` is told of each event on the way.

    Raises Refused. Where it is interrupted, the work is withdrawn.
    """
    latest = time.monotonic() + patience
    answer = submit(client, file, query, accept, latest)
    try:
        return finished(client, answer, accept, latest, tell)
    except KeyboardInterrupt:
        withdraw(client, place_of(answer))
        raise


def submit(client: httpx.Client, file: Path, query: dict[str, str], accept: str, latest: float) -> httpx.Response:
    """The first answer to a request; one that has no room yet is repeated when the service says. Raises Refused."""
    kind = KINDS.get(file.suffix.lower(), "application/octet-stream")
    headers = {"Content-Type": kind, "Accept": accept, "Prefer": "respond-async"}
    content = file.read_bytes()
    while True:
        try:
            return _asked(
                client,
                client.build_request("POST", f"{API}/explanations", params=query, headers=headers, content=content),
            )
        except Busy as busy:
            if time.monotonic() + busy.seconds > latest:
                raise
            time.sleep(busy.seconds)


def finished(client: httpx.Client, answer: httpx.Response, accept: str, latest: float, tell: Tell = silent) -> bytes:
    """What was asked for, once it is there; raises Refused."""
    place = place_of(answer)
    while (state := _state(answer)) in ("queued", "running"):
        if time.monotonic() > latest:
            raise Refused(f"not finished in time; it goes on, and will be at {place}")
        followed = follow(client, place, latest, tell)
        wait = {} if followed else {"wait": "5"}
        answer = _asked(client, client.build_request("GET", place, params=wait, headers={"Accept": accept}))
    if state not in (None, "succeeded"):
        raise Refused(_told(answer.json().get("error") or {}) or f"the work was {state}")
    return answer.content


def repeat(
    client: httpx.Client, asked: dict[str, Any], data: bytes | None, key: str, patience: float, tell: Tell = silent
) -> dict[str, Any]:
    """The receipt of an explanation that is computed again, whatever is stored; raises Refused."""
    latest, place = time.monotonic() + patience, f"{API}/explanations/{key}"
    headers = {"Cache-Control": "no-cache", "Prefer": "respond-async"}
    form = {"data": {"request": json.dumps(asked)}, "files": {"input": ("input", data)}} if data else {"json": asked}
    answer = _asked(client, client.build_request("POST", f"{API}/explanations", headers=headers, **form))
    made = place_of(answer).rpartition("/")[2]
    if made != key:
        raise Refused(f"this Whence makes the explanation {made} of it: a method has been revised since")
    while not follow(client, place, latest, tell):
        if time.monotonic() > latest:
            raise Refused(f"not finished after {patience:g} s; it goes on, and will be at {place}")
        time.sleep(1)
    receipt: dict[str, Any] = get(client, f"{place}/receipt")
    return receipt


def follow(client: httpx.Client, place: str, latest: float, tell: Tell) -> bool:
    """Tell of the events of an explanation until its last; False where they cannot be had, or not to their end."""
    try:
        with client.stream("GET", f"{place}/events") as answer:
            if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                name = ""
                for line in answer.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        tell(name, json.loads(value))
                    if time.monotonic() > latest:
                        break
                return name in LAST
    except (httpx.TransportError, json.JSONDecodeError):
        pass
    return False


def withdraw(client: httpx.Client, place: str) -> None:
    """Say that nobody here waits for it any more; where nobody hears that, nothing is lost."""
    with contextlib.suppress(httpx.TransportError):
        client.delete(place, timeout=2)


def _state(answer: httpx.Response) -> str | None:
    """The status that a JSON answer names; None of a picture or an array."""
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return None
    state: str | None = answer.json().get("status")
    return state


def place_of(answer: httpx.Response) -> str:
    """Where the explanation is, or will be."""
    named = answer.headers.get("Location") or answer.headers.get("Content-Location")
    return str(named or answer.url.path)


def _asked(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    try:
        answer = client.send(request)
    except httpx.TransportError as error:
        raise Away(f"no Whence answers at {client.base_url} ({error}); start one with `whence up`") from None
    if answer.status_code in (429, 503) and answer.headers.get("Retry-After", "").isdecimal():
        raise Busy(_problem(answer), float(answer.headers["Retry-After"]))
    if answer.is_error:
        raise Refused(_problem(answer))
    return answer


def _problem(answer: httpx.Response) -> str:
    try:
        told = _told(answer.json())
    except (json.JSONDecodeError, AttributeError, UnicodeDecodeError):
        told = None
    return told or f"{answer.url} answered {answer.status_code} {answer.reason_phrase}"


def _told(problem: dict[str, Any]) -> str | None:
    if not {"detail", "code"} <= problem.keys():
        return None
    where = next((error["pointer"] for error in problem.get("errors", ()) if error["pointer"].count("/") > 1), None)
    return f"{where}: {problem['detail']} ({problem['code']})" if where else f"{problem['detail']} ({problem['code']})"
