"""Clients made from the OpenAPI document work: each module imports, calls are answered, bytes come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from tests.patience import PATIENCE_S
from tests.service.fakes import FakeQueue
from tests.service.live import serving
from tests.tree import ROOT

GENERATOR = os.environ.get("OPENAPI_PYTHON_CLIENT") or shutil.which("openapi-python-client")
TYPESCRIPT = os.environ.get("OPENAPI_TYPESCRIPT") or shutil.which("openapi-typescript")

CALLS = """
import importlib, io, pkgutil, sys
import whence_client
for module in pkgutil.walk_packages(whence_client.__path__, "whence_client."):
    importlib.import_module(module.name)
from whence_client import Client
from whence_client.api.explanations import explanations_create as create, explanations_read as read
from whence_client.api.explanations import explanations_npy as npy, explanations_picture as picture
from whence_client.api.methods import methods_methods as all_methods
from whence_client.api.models import models_model as one_model
from whence_client.models import Explanation, ExplanationRequest
from whence_client.types import File

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
png = open(sys.argv[2], "rb").read()
by_file = create.sync(client=client, body=File(io.BytesIO(png)), model="digits", method="integrated_gradients",
                      parameters='{"steps": 7}', target="1")
assert isinstance(by_file, Explanation), by_file
assert by_file.method["steps"] == 7
import base64
request = ExplanationRequest.from_dict({
    "model": "digits", "method": {"name": "integrated_gradients", "steps": 7}, "target": 1,
    "input": {"image": base64.b64encode(png).decode()},
})
by_json = create.sync(client=client, body=request)
assert isinstance(by_json, Explanation), by_json
assert by_json.id == by_file.id
detailed = read.sync_detailed(by_json.id, client=client)
assert detailed.headers["ETag"] and detailed.parsed.id == by_json.id
numbers = npy.sync(by_json.id, "attribution", client=client).payload.read()
assert numbers.startswith(b"\\x93NUMPY"), numbers[:9]
assert picture.sync(by_json.id, "heatmap", client=client).payload.read().startswith(b"\\x89PNG")
assert len(all_methods.sync(client=client).methods) > 40
assert one_model.sync("digits", client=client).name == "digits"
print("generated client:", by_json.id, len(numbers), "bytes of .npy")
"""

PROGRAM = """
import type { components, paths } from "./whence";
type Created = paths["/api/v1/explanations"]["post"]["responses"]["200"]["content"]["application/json"];
const request: components["schemas"]["ExplanationRequest"] = {
  model: "digits", method: { name: "integrated_gradients", steps: 7 } as components["schemas"]["Method"],
  target: 1, input: { image: "aGk=" },
};
export function label(made: Created): string | null | undefined {
  return "prediction" in made ? made.prediction[0]?.label : request.model;
}
"""


@pytest.fixture
def url() -> Iterator[str]:
    with serving(create_app(Settings(log_level="CRITICAL"), FakeQueue())) as url:
        yield url


def ran(*command: Any, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(GENERATOR is None, reason="no openapi-python-client is installed")
def test_openapi_python_client_makes_a_client_that_works(url: str, tmp_path: Path, png: bytes) -> None:
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{url}/openapi.json", timeout=PATIENCE_S).content)
    settings = ROOT / "openapi" / "openapi-python-client.yaml"
    said = ran(
        GENERATOR, "generate", "--path", "openapi.json", "--config", settings, "--output-path", "made", cwd=tmp_path
    )
    assert "WARNING parsing" not in said, said
    (tmp_path / "calls.py").write_text(CALLS)
    (tmp_path / "digit.png").write_bytes(png)
    python = Path(GENERATOR or "").parent / "python"
    calls = [python if python.is_file() else sys.executable, tmp_path / "calls.py", url, tmp_path / "digit.png"]
    (tmp_path / "calls.py").write_text(f"import sys; sys.path.insert(0, {str(tmp_path / 'made')!r})\n{CALLS}")
    print(ran(*calls, cwd=tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(TYPESCRIPT is None, reason="no openapi-typescript is installed")
def test_openapi_typescript_makes_types_that_compile(url: str, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{url}/openapi.json", timeout=PATIENCE_S).content)
    ran(TYPESCRIPT, "openapi.json", "--default-non-nullable", "false", "-o", "whence.ts", cwd=tmp_path)
    (tmp_path / "program.ts").write_text(PROGRAM)
    compiler = Path(TYPESCRIPT or "").parent / "tsc"
    if not compiler.exists():
        pytest.skip("no tsc is installed")
    ran(compiler, "--noEmit", "--strict", "--target", "es2022", "program.ts", cwd=tmp_path)


def objects(value: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield at, value
        for name, one in value.items():
            if name not in ("examples", "example"):
                yield from objects(one, f"{at}/{name}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from objects(one, f"{at}/{number}")


def test_what_generators_stumble_over_is_not_there() -> None:
    document = create_app(Settings(log_level="CRITICAL"), FakeQueue()).openapi()
    for at, schema in objects(document):
        if schema.get("type") == "array":
            assert "items" in schema, at
        assert not isinstance(schema.get("default"), dict), at
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            assert all(one["name"] != "params" for one in operation.get("parameters", ())), f"{verb} {path}"


async def test_headers_that_come_are_declared(client: httpx.AsyncClient, png: bytes) -> None:
    document = create_app(Settings(log_level="CRITICAL"), FakeQueue()).openapi()
    apart = {"content-type", "content-length", "cache-control", "vary", "content-security-policy", "referrer-policy"}
    made = await client.post(
        "/api/v1/explanations?model=digits&method=gradient", content=png, headers={"Content-Type": "image/png"}
    )
    place = f"/api/v1/explanations/{made.json()['id']}"
    seen = [("/api/v1/explanations", "post", made), ("/api/v1/explanations/{id}", "get", await client.get(place))]
    for path, verb, answer in seen:
        declared = {name.lower() for name in document["paths"][path][verb]["responses"]["200"]["headers"]}
        came = {name for name in answer.headers if not name.startswith(("x-content", "x-frame", "cross-origin"))}
        assert came - apart <= declared | {"cache-status"}


async def test_parameters_may_be_called_params(client: httpx.AsyncClient, png: bytes) -> None:
    for name in ("parameters", "params"):
        query = {"model": "digits", "method": "integrated_gradients", name: '{"steps": 9}'}
        answer = await client.post(
            "/api/v1/explanations", params=query, content=png, headers={"Content-Type": "image/png"}
        )
        assert answer.json()["method"]["steps"] == 9
    both = await client.post(
        "/api/v1/explanations", params={**query, "parameters": "{}"}, content=png, headers={"Content-Type": "image/png"}
    )
    assert both.status_code == 422
    assert "came twice" in both.json()["detail"]


async def test_docs_lets_one_try_a_request_without_another_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert f"/docs/{name}" in page.text
        assert (await client.get(f"/docs/{name}")).status_code == 200
    assert "syntaxHighlight: false" in (await client.get("/docs/start.js")).text  # which takes seconds of a long answer
    assert (await client.get("/docs/nothing.js")).status_code == 404
    assert "/api/v1/explanations" in (await client.get("/docs/plain")).text
