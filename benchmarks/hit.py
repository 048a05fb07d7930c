"""A cache hit against a bare FastAPI + redis.asyncio GET of the same bytes, on the same Redis."""

from __future__ import annotations

from pathlib import Path

from benchmarks.machine import announce
from benchmarks.places import CASES, MEDIA
from benchmarks.serving import Service, serving
from benchmarks.side_by_side import Aim, alternate, report
from benchmarks.wire import Wire, request

ROUNDS = 400
FLOOR = "bare FastAPI + Redis"
GET = "GET by id"
POST = "POST of the same request"


def main() -> None:
    announce("a cache hit: one client on a kept connection, .npy")
    with serving([model for model, _ in CASES.values()]) as service:
        for name, (model, picture) in CASES.items():
            compare(service, name, model.name, picture)


def compare(service: Service, name: str, model: str, picture: Path) -> None:
    """One line each for the floor, GET and POST; all three must answer with the same bytes."""
    query = f"/api/v1/explanations?model={model}&method=gradient"
    npy = {"accept": "application/x-npy"}
    post = request("POST", query, picture.read_bytes(), content_type=MEDIA[picture.suffix], prefer="wait=30", **npy)
    ours, bare = Wire(service.port), Wire(service.floor)
    first = ours.ask(post)
    service.cache.set("floor", first.body)
    get = request("GET", first.headers["content-location"], **npy)
    for answer in (ours.ask(get), ours.ask(post), bare.ask(request("GET", "/floor"))):
        assert (answer.status, answer.body) == (200, first.body)
    calls = {
        FLOOR: lambda: bare.ask(request("GET", "/floor")),
        GET: lambda: ours.ask(get),
        POST: lambda: ours.ask(post),
    }
    taken = alternate(calls, ROUNDS, warmup=50)
    aims = [Aim(one, FLOOR, ratio=1.5) for one in (GET, POST)]
    report(f"{name}, {len(first.body) / 1000:.1f} kB", taken, FLOOR, aims)


if __name__ == "__main__":
    main()
