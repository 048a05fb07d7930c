"""`whence status`: what it says, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import main, status
from service.http.metrics import Metrics
from service.queue import gauges
from service.queue.cluster_state import Depth
from service.queue.gauges import Memory, Readings
from service.queue.served import OnWorker, Served, Summary
from whence import Client
from workers.contract import ModelState

FAILED = {"broken": "no [card]"}
READY = httpx.Response(200, json={"status": "ready", "workers": 2, "models": ["digits", "table"], "failed": FAILED})
STATES = [
    ("broken", "failed", "no [card]"),
    ("digits", "ready", None),
    ("large", "loading", None),
    ("old", "unloaded", "it"),
]
LISTED = httpx.Response(
    200, json={"models": [{"name": name, "state": state, "reason": reason} for name, state, reason in STATES]}
)
NO_WORKER = httpx.Response(503, json={"code": "no_worker", "detail": "no [worker] is alive"})
MEASURED = Readings(
    {"interactive": Depth(3, 1.5), "batch": Depth(0, 0)},
    {"interactive": 42.4},
    2,
    {"jobs": Memory(3 * 2**20, 2048 * 2**20, 0), "cache": Memory(2**20, 0, 7)},
)
PLACE = OnWorker("w", "cpu", ModelState(name="digits", state="ready"), False, 3 * 2**19)
SERVED = Served(models={"digits": Summary("digits", "ready", None, None, [PLACE])})
runner = CliRunner()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[httpx.Response, httpx.Response], None]:
    """Let a service answer so to /readyz and /metrics."""

    def serve(ready: httpx.Response, counted: httpx.Response) -> None:
        answers = {"/readyz": ready, "/metrics": counted, "/api/v1/models": LISTED}
        transport = httpx.MockTransport(lambda request: answers[request.url.path])

        def connect(url: str) -> Client:
            client = Client(url)
            client.http = httpx.Client(base_url=url, transport=transport)
            return client

        monkeypatch.setattr(status, "connect", connect)

    return serve


def counted(measured: Readings | None = MEASURED) -> httpx.Response:
    metrics = Metrics()
    metrics.explanations.labels("hit").inc(5)
    metrics.problems.labels("queue_full").inc()
    return httpx.Response(200, content=metrics.text() + gauges.text(measured, [{"device": "cpu"}] * 2, SERVED))


def test_a_ready_service_is_told_as_a_table(serve: Callable[..., None]) -> None:
    serve(READY, counted())
    shown = runner.invoke(main.app, ["status"])
    assert shown.exit_code == 0, shown.output
    lines = dict(line.rstrip().split(maxsplit=1) for line in shown.stdout.splitlines() if not line.startswith("redis"))
    assert lines["ready"] == "yes"
    assert lines["models"] == "digits (1.5 MiB), table"
    assert "broken cannot be served: no [card]" in shown.stdout
    assert "large is loading" in shown.stdout
    assert "old is unloaded: it" in shown.stdout
    assert shown.stdout.count("broken") == 1
    assert lines["workers"] == "2 on cpu"
    assert lines["interactive"] == "3 jobs wait, 1.5 s of work, the oldest for 42 s"
    assert lines["batch"] == "0 jobs wait, 0.0 s of work"
    assert lines["explanations"] == "5 hit"
    assert lines["problems"] == "1 queue_full"
    assert "3.0 of 2048 MiB" in shown.stdout
    assert "1.0 MiB, 7 keys evicted" in shown.stdout


def test_json_tells_the_same(serve: Callable[..., None]) -> None:
    serve(READY, counted())
    found = json.loads(runner.invoke(main.app, ["status", "--json"]).stdout)
    assert (found["ready"], found["running"], found["workers"]) == (True, 2, {"cpu": 2})
    assert found["queue"]["interactive"] == {"jobs": 3, "seconds": 1.5, "oldest_seconds": 42.4}
    assert (found["failed"], found["model_memory"]) == ({"broken": "no [card]"}, {"digits": 3 * 2**19})
    assert found["states"]["large"] == {"state": "loading", "reason": None}
    assert found["stores"]["cache"] == {"bytes": 2**20, "limit": 0, "evicted": 7}


def test_what_answers_and_is_not_ready_is_1(serve: Callable[..., None]) -> None:
    serve(NO_WORKER, counted(None))
    shown = runner.invoke(main.app, ["status"])
    assert shown.exit_code == 1
    assert "no: no [worker] is alive" in shown.stdout
    assert json.loads(runner.invoke(main.app, ["status", "--json"]).stdout)["reason"] == "no [worker] is alive"


def test_metrics_behind_a_key_are_left_out(serve: Callable[..., None]) -> None:
    serve(READY, httpx.Response(401, json={"code": "key_required", "detail": "a key"}))
    shown = runner.invoke(main.app, ["status", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["queue"] == {}


@pytest.mark.parametrize("other", [b"<html>", b"[]", b'{"status": 1}'])
def test_another_service_is_3(serve: Callable[..., None], other: bytes) -> None:
    serve(httpx.Response(200, content=other), httpx.Response(200, content=b"}{ no metrics"))
    shown = runner.invoke(main.app, ["status"])
    assert shown.exit_code == 3
    assert "is not Whence" in shown.stderr


def test_nothing_there_is_3() -> None:
    shown = runner.invoke(main.app, ["status", "--url", "http://127.0.0.1:1"])
    assert shown.exit_code == 3
    assert "nothing answers at http://127.0.0.1:1" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_address_that_is_none_is_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHENCE_URL", "http://[::")
    shown = runner.invoke(main.app, ["status"])
    assert shown.exit_code == 3
    assert "it is one as http://127.0.0.1:8000" in shown.stderr
