"""What can be asked for: methods, models, the API's own description, health, metrics."""

from __future__ import annotations

import re

import httpx

from service.cli.openapi import text
from service.protocols.errors import ERRORS
from tests.service.fake_repository import DIGITS
from tests.service.fakes import FakeQueue
from tests.tree import ROOT
from workers.contract import catalogue


async def test_every_method_says_what_it_is(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/methods")).json()["methods"]
    assert [one["name"] for one in found] == list(catalogue())
    for one in found:
        assert one == (await client.get(one["links"]["self"])).json()
        assert one["citation"]
        assert one["question"]
        assert one["description"]
        assert one["cost"]
        assert one["inputs"]
        assert one["promises"]["says"]
        assert one["fails"]["shown"]
        assert one["parameters"]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert all("description" in field for name, field in one["parameters"]["properties"].items() if name != "name")


async def test_every_model_says_what_it_takes(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/models")).json()["models"]
    assert [one["name"] for one in found] == ["digits", "table"]
    digits = (await client.get("/api/v1/models/digits")).json()
    assert digits == found[0]
    assert digits["classes"] == ["zero", "one", "two"]
    assert digits["layers"][0]["shape"] == [4, 8, 8]
    assert digits["methods"] == [{"name": "grad_cam", "supported": False, "reason": "node conv_2 has no spatial axes"}]
    assert digits["loaded"] == [{"worker": "w1", "device": "cpu", "digest": DIGITS.digest, "bytes": 1000}]
    assert (digits["memory"], found[1]["memory"], found[1]["loaded"]) == (1000, 0, [])


async def test_a_model_that_cannot_be_served_is_listed_with_the_reason(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes
) -> None:
    """And who asks for it is told the reason, in every protocol."""
    reason = "broken/model.pt2: the graph calls the operator torch.os.system"
    queue.broken = {"broken": reason}
    found = (await client.get("/api/v1/models")).json()["models"]
    assert [(one["name"], one["state"]) for one in found] == [
        ("broken", "failed"),
        ("digits", "ready"),
        ("table", "ready"),
    ]
    assert found[0] == (await client.get("/api/v1/models/broken")).json()
    assert found[0]["reason"] == reason
    headers = {"content-type": "image/png"}
    asked = await client.post("/api/v1/explanations?model=broken&method=gradient", content=png, headers=headers)
    assert (asked.status_code, asked.json()["code"]) == (503, "model_failed")
    assert reason in asked.json()["detail"]
    for path in ("/v1/models/broken", "/v2/models/broken/ready", "/v2/models/broken"):
        assert (await client.get(path)).status_code == 503


async def test_health(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    told = {"status": "ready", "workers": 1, "models": ["digits", "table"], "failed": {}}
    assert (await client.get("/readyz")).json() == told


async def test_requests_are_counted_by_route_not_by_path(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    for key in ("0" * 64, "1" * 64):
        await client.get(f"/api/v1/explanations/{key}")
    await client.get("/made/up")
    await client.request("X-MADE-UP", "/healthz")
    text = (await client.get("/metrics")).text
    assert 'whence_requests_total{method="GET",route="/api/v1/explanations/{id}",status="404"} 2.0' in text
    assert "/made/up" not in text
    assert "MADE-UP" not in text


async def test_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = await client.get(path, headers={"accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert not re.findall(r'(?:src|href)="(?!/)', page.text)


async def test_the_description_in_the_tree_is_fresh(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert text(document) == (ROOT / "openapi/openapi.json").read_bytes(), "stale: run `make openapi`"


async def test_every_answer_is_described(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/(\w+)"', text(document).decode()):
        assert reference in schemas
    assert {f"{name}" for name in schemas["MethodName"]["enum"]} == set(catalogue())
    for path, operations in document["paths"].items():
        spoken = path[1:].partition("/")[0] in ERRORS  # by a protocol, whose errors have a form of its own
        media = "application/json" if spoken else "application/problem+json"
        for operation in operations.values():
            for code, answer in operation["responses"].items():
                assert answer["description"] or code == "200"
                if code >= "400":
                    assert answer["content"][media]["examples"]
