"""One request, followed from HTTP to the batch: by its id in the logs, by its trace, by what is counted of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from structlog.contextvars import clear_contextvars, merge_contextvars
from structlog.testing import capture_logs

from service.app import create_app
from service.queue.queue import Queue
from service.settings import Settings
from tests.orders import MODEL, order
from tests.repositories import Fixed, whole
from tests.toys import model_of, net
from tests.tree import ROOT
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import InternalError
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.runtime.supervise.heartbeat import Beat
from workers.runtime.worker import Worker
from workers.telemetry import tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
THEIRS = f"00-{TRACE}-b7ad6b7169203331-01"
CARD = ModelCard(name="toy", digest=MODEL, input=InputSpec(shape=(1, 8, 8)), outputs=(3,), default_method="gradient")
TENSOR = {"shape": [1, 8, 8], "data": [0.5] * 64}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start("whence-test", exporter)
    yield exporter
    tracing.stop()


@pytest.fixture
def worker(store: Store, results: Results) -> Worker:
    model = model_of(net(), (1, 8, 8))
    return Worker("w1", store, results, lambda _: model, lambda _: None, time_limit=60)


@pytest.fixture
async def client(queue: Queue, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    Beat(store, Fixed(whole(CARD)), lambda: {"id": "w1", "device": "cpu"}, lambda _: None).once()
    await queue._cluster.read()
    transport = httpx.ASGITransport(create_app(Settings(traces=True, wait=0), queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence") as client:
        yield client


async def ask(client: httpx.AsyncClient, index: int = 0, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"model": "toy", "target": index, "input": {"tensor": TENSOR}}
    answer = await client.post("/api/v1/explanations", json=body, headers=named)
    assert answer.status_code == 202, answer.text
    return answer


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


async def test_the_requests_id_is_in_the_lines_of_both_sides(
    client: httpx.AsyncClient, worker: Worker, spans: InMemorySpanExporter
) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        await ask(client, x_request_id="mine-1", traceparent=THEIRS)
        clear_contextvars()
        worker.answer("interactive")
    (asked,) = [line for line in lines if line["event"] == "request"]
    (finished,) = [line for line in lines if line["event"] == "finished"]
    assert (asked["request_id"], asked["trace_id"], asked["status"]) == ("mine-1", TRACE, 202)
    assert (finished["request_id"], finished["outcome"]) == ("mine-1", "succeeded")


async def test_a_fault_in_the_worker_is_logged_with_the_requests_id(
    client: httpx.AsyncClient, store: Store, results: Results, spans: InMemorySpanExporter
) -> None:
    script = (
        "from dataclasses import replace\nfrom tests.orders import work\n"
        "from workers.runtime import instrumentation\nfrom workers.telemetry import log\n"
        "log.configure('INFO', as_json=True)\n"
        "try: 1 / 0\n"
        "except Exception as error: instrumentation.counted_error(error, [replace(work(), request_id='mine-2')])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["request_ids"] == ["mine-2"]
    assert line["event"] == "a method failed"
    assert "ZeroDivisionError" in line["exception"]


async def test_one_trace_goes_from_the_client_to_the_batch(
    client: httpx.AsyncClient, worker: Worker, spans: InMemorySpanExporter
) -> None:
    await ask(client, traceparent=THEIRS)
    worker.answer("interactive")
    (request,) = named(spans, "POST /api/v1/explanations")
    (batch,) = named(spans, "explain gradient")
    assert request.parent is not None
    assert request.attributes is not None
    assert f"{request.parent.trace_id:032x}" == TRACE
    assert request.attributes["http.response.status_code"] == 202
    assert batch.parent is not None
    assert (batch.parent.trace_id, batch.parent.span_id) == (request.context.trace_id, request.context.span_id)
    assert batch.attributes == {"whence.method": "gradient", "whence.model": "toy", "whence.rows": 1}


async def test_a_batch_of_several_requests_is_linked_to_each(
    client: httpx.AsyncClient, worker: Worker, spans: InMemorySpanExporter
) -> None:
    for index in (0, 1, 2):
        await ask(client, index)
    worker.answer("interactive")
    requests = [span.context.span_id for span in named(spans, "POST /api/v1/explanations")]
    (batch,) = named(spans, "explain gradient")
    assert batch.parent is not None
    assert [batch.parent.span_id, *(link.context.span_id for link in batch.links)] == requests


async def test_nonsense_as_traceparent_begins_a_trace_of_its_own(
    client: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    await ask(client, traceparent="00-nonsense")
    (request,) = named(spans, "POST /api/v1/explanations")
    assert request.parent is None


async def test_probes_are_not_traced(client: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert spans.get_finished_spans() == ()


def test_traces_without_the_extra_say_what_to_install() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from workers.telemetry import tracing\n"
        "with tracing.span('a', tracing.SERVER) as span: assert span is None\n"
        "assert tracing.carried() is None\n"
        "try: tracing.start('x')\n"
        "except tracing.NoTracing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install 'whence[otel]'" in done.stdout


async def gauges(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    text = (await client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


async def test_the_queue_is_measured_when_prometheus_asks(
    client: httpx.AsyncClient, store: Store, spans: InMemorySpanExporter
) -> None:
    for index in (0, 1, 2):
        await ask(client, index)
    store.claim("interactive", "w")
    await ask(client, 1)  # joins
    told = await gauges(client)
    assert told["whence_running_jobs",] == 3
    assert told["whence_queue_jobs", "interactive"] == 0
    assert told["whence_explanations_total", "created"] == 3
    assert told["whence_explanations_total", "joined"] == 1


async def test_the_oldest_is_of_those_that_wait(queue: Queue, store: Store, jobs: Redis) -> None:
    await queue.submit([order(0)])
    store.claim("interactive", "w")
    await queue.submit([order(1)])
    await queue.submit([order(2, priority="batch")])
    now = store.now()
    jobs.zadd("whence:open", {order(0).job.id: now - 1000, order(1).job.id: now - 100, order(2).job.id: now - 500})
    measured = await queue.readings()
    assert measured.oldest == pytest.approx({"interactive": 100, "batch": 500}, abs=2)
    assert (measured.running, measured.depths["batch"].jobs) == (1, 1)
    store.finish(order(0).job.id, "w", InternalError("no"))
    assert (await queue.readings()).running == 0


async def test_an_empty_queue_has_no_oldest(queue: Queue) -> None:
    assert (await queue.readings()).oldest == {}


async def test_what_a_claim_drops_unrun_is_counted_by_its_code(queue: Queue, store: Store, worker: Worker) -> None:
    labels = {"model": "toy", "method": "gradient", "outcome": "deadline_exceeded"}
    before = REGISTRY.get_sample_value("whence_jobs_total", labels) or 0
    late = order(0, deadline=time.time() + 0.01)
    await queue.submit([late])
    await asyncio.sleep(0.02)
    worker.answer("interactive")
    status = await queue.status(late.job.id)
    assert status is not None
    assert status.error is not None
    assert status.error.code == "deadline_exceeded"
    assert REGISTRY.get_sample_value("whence_jobs_total", labels) == before + 1
