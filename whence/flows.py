"""What is said to a Whence and when, without saying how it travels: the blocking and the async client drive the same.

A flow is a generator. It yields an Ask or a Pause, is sent the answer to it, and returns what it came for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any, TypeAlias, TypeVar

import httpx

from whence.datasets import is_table
from whence.errors import Busy, NotFinished
from whence.inputs import Given, files_of, plain
from whence.inputs import parameters as own
from whence.problems import check, failure
from whence.tables import Columns, columns_of

API = "/api/v1"
EXPLANATIONS = f"{API}/explanations"
JSON = "application/json"
NPY = "application/x-npy"
LOOK_S = 1  # how long an answer may wait for news: so often somebody who waits is told how far it is
UNFINISHED = ("queued", "running")

T = TypeVar("T")
Tell: TypeAlias = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; `body` is what httpx takes of one (`content`, `json`, `data`, `files`)."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Flow: TypeAlias = Generator[Ask | Pause, httpx.Response, T]


def silent(_: Mapping[str, Any]) -> None:
    """Told, it says nothing."""


def get(path: str, **params: Any) -> Flow[Any]:
    """The JSON under a path of the API."""
    answer = yield Ask("GET", path, params)
    return check(answer).json()


def columns(model: str, inputs: Any) -> Flow[Columns | None]:
    """The model's, where inputs are a table that is sent for it."""
    return columns_of((yield from get(f"{API}/models/{model}"))) if is_table(inputs) else None


def fetch(path: str, accept: str, **params: Any) -> Flow[bytes]:
    """What is under a path, in the form named."""
    answer = yield Ask("GET", path, {name: one for name, one in params.items() if one is not None}, {"Accept": accept})
    return check(answer).content


def request_of(
    model: str, method: str | Mapping[str, Any] | None, target: Any, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a request, without its input. Raises TypeError for parameters without a method."""
    asked: dict[str, Any] = {"model": model, "target": plain(target)}
    if parameters and method is None:
        raise TypeError("parameters are those of a method; name it: method=...")
    if method is not None:
        named = {"name": method} if isinstance(method, str) else plain(method)
        asked["method"] = {**named, **own(parameters)} if parameters else plain(method)
    return asked


def explain(asked: Mapping[str, Any], given: Given, headers: Mapping[str, str] | None = None) -> Ask:
    """The request to explain an input. Raises TypeError, ValueError, OSError for what cannot be sent."""
    fields, files = files_of(given)
    said = {"Accept": JSON, "Prefer": "respond-async", **(headers or {})}
    request = {**asked, **fields}
    if not files:
        return Ask("POST", EXPLANATIONS, headers=said, body={"json": request})
    return Ask("POST", EXPLANATIONS, headers=said, body={"data": {"request": json.dumps(request)}, "files": files})


def submit(ask: Ask, latest: float) -> Flow[httpx.Response]:
    """The first answer to a request; one that has no room yet is repeated when the service says."""
    while True:
        answer = yield ask
        try:
            return check(answer)
        except Busy as busy:
            if time.monotonic() + busy.seconds > latest:
                raise
            yield Pause(busy.seconds)
            if (rewind := getattr(ask.body.get("content"), "seek", None)) is not None:
                rewind(0)


def finish(answer: httpx.Response, accept: str, latest: float, tell: Tell = silent) -> Flow[httpx.Response]:
    """The answer that has the result, once it is there; `tell` is given each status document on the way.

    Raises Failed, and NotFinished beyond `latest`, on the monotonic clock.
    """
    place = place_of(answer)
    while (told := status_of(answer)) is not None and told["status"] in UNFINISHED:
        tell(told)
        if (left := latest - time.monotonic()) <= 0:
            raise NotFinished(f"not finished in time; it goes on under the id {id_of(place)}", id_of(place))
        look = Ask("GET", place, {"wait": f"{min(LOOK_S, left):g}"}, {"Accept": accept})
        answer = yield from submit(look, latest)
    if told is not None and told["status"] != "succeeded":
        raise failure(told)
    return answer


def many(dataset: str, items: tuple[int, int] | None) -> dict[str, Any]:
    """The input of a request that is a dataset, or some of its items."""
    return {"dataset": dataset} if items is None else {"dataset": dataset, "items": list(items)}


def send(file: IO[bytes], media: str) -> Ask:
    """The request to keep a dataset."""
    return Ask("POST", f"{API}/datasets", headers={"Content-Type": media}, body={"content": file})


def counting(advance: Callable[[int, int], None]) -> Tell:
    """Tells how many are done, and of how many, from the status documents that it is told."""

    def tell(told: Mapping[str, Any]) -> None:
        if (far := told.get("progress")) is not None:
            advance(far["done"], far["total"])

    return tell


def withdraw(place: str) -> Ask:
    """Say that nobody here waits for it any more."""
    return Ask("DELETE", place)


def again(ask: Ask) -> Ask:
    """The request to compute it again, whatever is stored."""
    return replace(ask, headers={**ask.headers, "Cache-Control": "no-cache"})


def status_of(answer: httpx.Response) -> dict[str, Any] | None:
    """The document of a JSON answer that names a status; None of a picture or an array."""
    if not answer.headers.get("Content-Type", "").startswith(JSON):
        return None
    told = answer.json()
    return told if isinstance(told, dict) and isinstance(told.get("status"), str) else None


def place_of(answer: httpx.Response) -> str:
    """Where the explanation is, or will be, at the service itself: what is before it may have put a prefix there."""
    named = answer.headers.get("Location") or answer.headers.get("Content-Location")
    return f"{EXPLANATIONS}/{id_of(str(named or answer.url.path))}"


def id_of(place: str) -> str:
    return place.rpartition("/")[2]
