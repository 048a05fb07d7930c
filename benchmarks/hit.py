"""A cache hit against a bare FastAPI + redis.asyncio GET of the same bytes, on the same Redis."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.machine import announce
from benchmarks.places import CASES, MEDIA
from benchmarks.serving import Service, serving
from benchmarks.side_by_side import Aim, alternate, report
from benchmarks.wire import Wire, request

ROUNDS, IN_A_ROW = 45, 20
FLOOR = "bare FastAPI + Redis"
GET = "GET by id"
NPY = "application/x-npy"
POST = "POST of the same request"


def main() -> None:
    announce("a cache hit: one client on a kept connection, .npy")
    with serving([model for model, _ in CASES.values()]) as service:
        for name, (model, picture) in CASES.items():
            compare(service, name, model.name, picture)


def compare(service: Service, title: str, model: str, picture: Path) -> None:
    """One line each for the floor, GET and POST; all three must answer with the same bytes."""
    path = f"/api/v1/explanations?model={model}&method=gradient"
    post = request("POST", path, picture.read_bytes(), content_type=MEDIA[picture.suffix], prefer="wait=30", accept=NPY)
    ours, bare = Wire(service.port), Wire(service.floor)
    first = ours.ask(post)
    service.cache.set("floor", first.body)
    get = request("GET", first.headers["content-location"], accept=NPY)
    floor = request("GET", "/floor")
    asked = {FLOOR: (bare, floor), GET: (ours, get), POST: (ours, post)}
    for wire, message in asked.values():
        assert wire.ask(message).body == first.body
    calls = {name: partial(wire.ask, message) for name, (wire, message) in asked.items()}
    taken = alternate(calls, ROUNDS, 50, IN_A_ROW)
    aims = [Aim(GET, FLOOR, ratio=1.1), Aim(POST, FLOOR, ratio=1.25)]
    report(f"{title}, {len(first.body) / 1000:.1f} kB", taken, FLOOR, aims)


if __name__ == "__main__":
    main()
