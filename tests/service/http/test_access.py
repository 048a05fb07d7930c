"""API keys: what is open, what needs a key, what needs an admin's; how keys are kept, made and revoked."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from service.app import create_app
from service.cli.local import launch as launching
from service.cli.local.up import Plan
from service.cli.main import app as cli
from service.http import api_keys
from service.http.access import ADMIN, OPEN, scope_of
from service.http.api_keys import KeyFileError, Keys
from service.settings import Settings
from tests.service.fakes import FakeQueue

URL = "/api/v1/explanations"
TENSOR = {"shape": [4], "data": [1, 2, 3, 4]}
ASKED = {"model": "table", "method": "gradient", "input": {"tensor": TENSOR}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def plain(file: Path) -> str:
    return api_keys.add(file, "plain", frozenset({"explain"}))[1]


@pytest.fixture
def admin(file: Path) -> str:
    return api_keys.add(file, "admin", frozenset({"explain", "admin"}))[1]


@pytest.fixture
def settings(file: Path, plain: str, admin: str, tmp_path: Path) -> Settings:
    return Settings(keys=file, datasets=tmp_path / "data", log_level="INFO")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_without_a_key_only_what_tells_nothing_is_open(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/ping", "/v2", "/v2/health/live"):
        assert (await client.get(path)).status_code == 200, path
    paths = (await client.get("/openapi.json")).json()["paths"]
    calls = [(verb, path) for path, verbs in paths.items() for verb in verbs if not OPEN.fullmatch(path)]
    for verb, path in calls:
        answer = await client.request(verb, path)
        assert answer.status_code == 401, (verb, path)
        assert answer.headers["www-authenticate"] == 'Bearer realm="whence"'
    assert len(calls) > 30


@pytest.mark.parametrize(
    "headers",
    [
        bearer("x"),
        bearer(f"whence_{'0' * 12}_{'0' * 64}"),
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer \xff".encode("latin-1")},
    ],
)
async def test_what_is_no_key_is_refused(client: httpx.AsyncClient, queue: FakeQueue, headers: dict[str, str]) -> None:
    answer = await client.post(URL, json=ASKED, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_required")
    assert answer.headers["content-type"] == "application/problem+json"
    assert queue.orders == []


async def test_a_key_of_the_right_id_with_another_secret_is_refused(client: httpx.AsyncClient, plain: str) -> None:
    other = plain[:-1] + ("0" if plain[-1] != "0" else "1")
    answer = await client.post(URL, json=ASKED, headers=bearer(other))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    twice = [("authorization", f"Bearer {plain}"), ("authorization", f"Bearer {plain}")]
    assert (await client.post(URL, json=ASKED, headers=twice)).status_code == 401


async def test_orders_are_those_of_the_key(client: httpx.AsyncClient, queue: FakeQueue, plain: str) -> None:
    assert (await client.post(URL, json=ASKED, headers=bearer(plain))).status_code == 200
    assert [order.caller for order in queue.orders] == [plain.split("_")[1]]


async def test_what_changes_the_service_needs_an_admin(client: httpx.AsyncClient, plain: str, admin: str) -> None:
    calls = [
        ("POST", "/api/v1/datasets"),
        ("DELETE", "/api/v1/datasets/x"),
        ("GET", URL),
        ("POST", "/v2/repository/models/digits/load"),
        ("POST", "/v2/repository/models/digits/unload"),
    ]
    for verb, path in calls:
        answer = await client.request(verb, path, headers=bearer(plain))
        assert answer.status_code == 403, path
        assert 'error="insufficient_scope", scope="admin"' in answer.headers["www-authenticate"]
        assert (await client.request(verb, path, headers=bearer(admin))).status_code not in (401, 403), path
    for path in ("/api/v1/datasets", "/api/v1/methods", "/v2", "/metrics"):
        assert (await client.get(path, headers=bearer(plain))).status_code == 200, path


@pytest.mark.parametrize("path", ["/api/v1/datasets/a\nb", "/api/v1/datasets/a/b", "/v2/repository/models/a\nb/load"])
def test_no_spelling_of_a_path_gets_around_its_scope(path: str) -> None:
    assert scope_of("POST", path) == "admin"
    assert not OPEN.fullmatch(path)
    assert not ADMIN.fullmatch(f"GET {path}")


async def test_a_refusal_is_said_in_the_protocol_s_words(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/models/digits/infer", json={})
    assert (answer.status_code, list(answer.json())) == (401, ["error"])


def test_a_key_is_kept_as_its_hash_for_its_owner_s_eyes(file: Path, plain: str) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert plain not in file.read_text()
    assert plain.split("_")[2] not in file.read_text()
    found = Keys(file).find(plain)
    assert found is not None
    assert (found.name, set(found.scopes)) == ("plain", {"explain"})


def test_who_is_revoked_is_out_at_once_and_a_broken_file_lets_nobody_new_in(
    file: Path, plain: str, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LOOK_S", 0)
    keys = Keys(file)
    assert api_keys.revoke(file, plain.split("_")[1])
    assert keys.find(plain) is None
    assert keys.find(admin)
    whole = file.read_text()
    file.write_text("{")
    assert keys.find(admin)
    assert keys.find(plain) is None
    file.write_text(whole.replace(admin.split("_")[1], "f" * 12))
    assert keys.find(admin) is None


@pytest.mark.parametrize("text", [None, "{", "[]", '{"keys": [{"id": "x"}]}'])
def test_a_service_whose_keys_cannot_be_read_does_not_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "keys.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        create_app(Settings(keys=file, log_level="CRITICAL"), FakeQueue()).build_middleware_stack()


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    file, run = str(tmp_path / "keys.json"), CliRunner()
    made = run.invoke(cli, ["keys", "add", "ann [x]", "--admin", "--file", file])
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    key = Keys(Path(file)).find(token)
    assert key is not None
    assert key.may("admin")
    listed = run.invoke(cli, ["keys", "list"], env={"WHENCE_KEYS": file})
    assert "ann [x]" in listed.stdout
    assert token not in listed.output
    secret = run.invoke(cli, ["keys", "webhook-secret", key.id, "-f", file], env={"WHENCE_WEBHOOK_SECRET": "m" * 24})
    assert secret.stdout.startswith("whsec_")
    assert run.invoke(cli, ["keys", "webhook-secret", "0" * 12, "-f", file]).exit_code == 2
    assert run.invoke(cli, ["keys", "revoke", key.id, "-f", file]).exit_code == 0
    assert run.invoke(cli, ["keys", "revoke", key.id, "-f", file]).exit_code == 1
    assert json.loads(Path(file).read_text()) == {"keys": []}


@pytest.mark.parametrize("as_json", [True, False])
async def test_no_key_is_ever_logged(
    queue: FakeQueue, settings: Settings, plain: str, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    logged = io.StringIO()
    monkeypatch.setattr(sys, "stderr", logged)
    app = create_app(settings.model_copy(update={"log_json": as_json, "log_level": "DEBUG"}), queue)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
        for token in (plain, "whence_of-nobody", plain + "x"):
            await client.post(URL, json=ASKED, headers=bearer(token))
        queue.__dict__["models"] = None  # every request now fails inside
        assert (await client.post(URL, json=ASKED, headers=bearer(plain))).status_code == 500
    assert "Traceback" in logged.getvalue()
    assert plain.split("_")[1] in logged.getvalue()  # whose request it was is told
    for secret in (plain, plain.split("_")[2], "whence_of-nobody"):
        assert secret not in logged.getvalue()


@pytest.mark.parametrize(
    ("host", "keys", "loud"),
    [
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("10.0.0.7", "", True),
        ("box.example", "", True),
        ("127.0.0.1", "", False),
        ("::1", "", False),
        ("localhost", "", False),
        ("0.0.0.0", "keys.json", False),
    ],
)
def test_whence_up_warns_where_everyone_could_ask(
    monkeypatch: pytest.MonkeyPatch, host: str, keys: str, loud: bool
) -> None:
    monkeypatch.setenv("WHENCE_KEYS", keys)
    monkeypatch.setattr(launching, "check", lambda _: None)
    monkeypatch.setattr(launching, "run", lambda *_: None)
    told = io.StringIO()
    monkeypatch.setattr(launching, "err", Console(file=told))
    launching.launch(Plan(Path("models"), host=host), lambda _: None)
    assert ("without API keys" in told.getvalue()) == loud
