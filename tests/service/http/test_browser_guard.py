"""What protects browsers: origins, hosts and headers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from tests.service.fakes import FakeQueue

URL = "/api/v1/explanations"


@pytest.fixture
async def shared(queue: FakeQueue) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        cors_origins="https://a.example", hosts="whence.example, *.inner.example,::1", log_level="CRITICAL"
    )
    transport = httpx.ASGITransport(create_app(settings, queue))
    async with httpx.AsyncClient(transport=transport, base_url="http://whence.example") as client:
        yield client


async def test_pages_of_named_origins_may_call(shared: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,prefer"}
    allowed = await shared.options(URL, headers={"origin": "https://a.example", **asked})
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-credentials" not in allowed.headers
    refused = await shared.options(URL, headers={"origin": "https://b.example", **asked})
    assert "access-control-allow-origin" not in refused.headers
    missing = await shared.get("/nothing", headers={"origin": "https://a.example"})
    assert missing.headers["access-control-allow-origin"] == "https://a.example"  # so that a page can read the problem
    assert "etag" in missing.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("whence.example", 200),
        ("WHENCE.example:8000", 200),
        ("a.inner.example", 200),
        ("[::1]:8000", 200),
        ("inner.example", 400),
        ("evil.example", 400),
        ("whence.example.evil.example", 400),
        ("", 400),
    ],
)
async def test_a_host_by_another_name_is_refused(shared: httpx.AsyncClient, host: str, status: int) -> None:
    answer = await shared.get("/api/v1/methods", headers={"host": host})
    assert answer.status_code == status
    assert status == 200 or answer.json()["code"] == "host_unknown"
    assert (await shared.get("/healthz", headers={"host": host})).status_code == 200


async def test_every_answer_has_the_headers_that_protect_browsers(shared: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/nothing", "/healthz", "/api/v1/methods"):
        headers = (await shared.get(path, headers={"accept": "text/html, */*"})).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert len(headers.get_list("content-security-policy")) == 1
    page = (await shared.get("/", headers={"accept": "text/html"})).headers
    assert "script-src 'self'" in page["content-security-policy"]
