"""What the command line asks of a running Whence, over HTTP."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx

API = "/api/v1"
ACCEPT = {".png": "image/png", ".npy": "application/x-npy", ".safetensors": "application/vnd.safetensors"}
KINDS = {
    ".npy": "application/x-npy",
    ".safetensors": "application/vnd.safetensors",
    **{f".{name}": f"image/{name}" for name in ("png", "gif", "webp", "bmp", "tiff", "jpeg")},
    ".jpg": "image/jpeg",
    ".tif": "image/tiff",
}


class Refused(Exception):
    """The service could not be reached, or answered with a problem; the message is for people."""


def connect(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=httpx.Timeout(10, read=60), trust_env=False)


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    """The JSON under a path of the API. Raises Refused."""
    return _asked(client, client.build_request("GET", path, params=query)).json()


def explain(client: httpx.Client, file: Path, query: dict[str, str], accept: str, patience: float) -> bytes:
    """Explain the image or tensor in a file, waiting until it is done. Raises Refused."""
    headers = {"Content-Type": KINDS.get(file.suffix.lower(), "application/octet-stream"), "Accept": accept}
    asked = client.build_request(
        "POST", f"{API}/explanations", params=query, headers=headers, content=file.read_bytes()
    )
    answer, latest = _asked(client, asked), time.monotonic() + patience
    while (state := _state(answer)) in ("queued", "running"):
        if time.monotonic() > latest:
            raise Refused(f"not finished after {patience:g} s; it goes on, and will be at {_place(answer)}")
        again = client.build_request("GET", _place(answer), params={"wait": "20"}, headers={"Accept": accept})
        answer = _asked(client, again)
    if state not in (None, "succeeded"):
        raise Refused(_told(answer.json().get("error") or {}) or f"the work was {state}")
    return answer.content


def _state(answer: httpx.Response) -> str | None:
    """The status that a JSON answer names; None of a picture or an array."""
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return None
    state: str | None = answer.json().get("status")
    return state


def _place(answer: httpx.Response) -> str:
    return str(answer.headers.get("Location", answer.url.copy_remove_param("wait")))


def _asked(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    try:
        answer = client.send(request)
    except httpx.TransportError as error:
        raise Refused(f"no Whence answers at {client.base_url} ({error}); start one with `whence up`") from None
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
    return f"{problem['detail']} ({problem['code']})" if {"detail", "code"} <= problem.keys() else None
