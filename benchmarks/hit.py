"""A cache hit against a bare FastAPI + redis.asyncio GET of the same bytes, on the same Redis.

Seconds as a client waits for them, and the processor's of the process that answers: those a busy machine spoils less.
`--beside FOLDER` measures another checkout in turn with this one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import floor
from benchmarks.machine import announce, spent
from benchmarks.places import CASES, MEDIA, ROOT
from benchmarks.serving import FLOOR, PYTHON, Processes, answer
from benchmarks.side_by_side import Aim, report
from benchmarks.stages import Checkout, checkout, option
from benchmarks.wire import Wire, request
from service.cli.local.redis_binary import free_port

TURNS, IN_A_ROW = 40, 25
BARE = "bare FastAPI + Redis"
GET = "GET by id"
NPY = "application/x-npy"
POST = "POST of the same request"


class Asked(NamedTuple):
    """A connection, what is sent on it again and again, and the process that answers."""

    wire: Wire
    message: bytes
    process: int


def main() -> None:
    announce("a cache hit: one client on a kept connection, .npy")
    other = option("--beside")
    folders = {"": ROOT, **({", beside": Path(other).resolve()} if other else {})}
    for name, (model, picture) in CASES.items():
        with ExitStack() as stack:
            running = [stack.enter_context(checkout(title, at, model, MEDIA[picture.suffix]))
                       for title, at in folders.items()]  # fmt: skip
            asked = {name: one for each in running for name, one in hits(each, model.name, picture).items()}
            body = asked[GET].wire.ask(asked[GET].message).body
            running[0].stores[1].set("floor", body)
            processes = stack.enter_context(Processes(Path(running[0].folder, "floor.log")))
            asked = {BARE: bare(processes, running[0]), **asked}
            for each in asked.values():
                assert len(each.wire.ask(each.message).body) == len(body)
            compare(f"{name}, {len(body) / 1000:.1f} kB", asked)


def hits(one: Checkout, model: str, picture: Path) -> dict[str, Asked]:
    """A hit by id and one by the same request, of a result that is stored now."""
    path = f"/api/v1/explanations?model={model}&method=gradient"
    post = request("POST", path, picture.read_bytes(), content_type=MEDIA[picture.suffix], prefer="wait=30", accept=NPY)
    wire, (api,) = Wire(one.side.port), one.processes["api"]
    get = request("GET", wire.ask(post).headers["content-location"], accept=NPY)
    return {GET + one.name: Asked(wire, get, api.pid), POST + one.name: Asked(wire, post, api.pid)}


def bare(processes: Processes, beside: Checkout) -> Asked:
    port = free_port()
    pid = processes.start([*PYTHON, "uvicorn", *FLOOR, "--port", str(port)], {floor.REDIS: beside.results})
    processes.await_that(lambda: answer(port, "/openapi.json") is not None)
    return Asked(Wire(port), request("GET", "/floor"), pid)


def compare(title: str, asked: Mapping[str, Asked]) -> None:
    """In turn, another one first in each turn; what is asked in a row finds its caches warm."""
    waited: dict[str, list[float]] = {name: [] for name in asked}
    processor: dict[str, list[float]] = {name: [] for name in asked}
    names = list(asked)
    for turn in range(-2, TURNS):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            one, took = asked[name], []
            before = spent(one.process)
            for _ in range(IN_A_ROW):
                began = time.perf_counter()
                one.wire.ask(one.message)
                took.append(time.perf_counter() - began)
            if turn >= 0:
                waited[name] += took
                processor[name].append((spent(one.process) - before) / IN_A_ROW)
    aims = [Aim(GET, BARE, ratio=1.1), Aim(POST, BARE, ratio=1.25)]
    report(f"{title}: as a client waits", waited, BARE, aims)
    report(f"{title}: of the processor", processor, BARE, aims)


if __name__ == "__main__":
    main()
