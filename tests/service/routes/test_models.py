"""States of models in every protocol, versions by digest, and what changes the models of a running service."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.http.access import scope_of
from service.settings import Settings
from tests.service.fake_repository import DIGITS
from tests.service.fakes import FakeQueue
from workers.contract import Objects
from workers.explanation.model_state import ModelState

OLD = DIGITS.model_copy(update={"digest": "sha256:" + "0" * 64})
CARD = b'[model]\nsource = "model.pt2"\n[input]\nkind = "tensor"\nshape = [4]\n'
URL = "/api/v1/models"
MOST = 50_000  # bytes that a model may unpack to


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


def tarred(link: str | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        info = tarfile.TarInfo("mine/card.toml")
        info.size = len(CARD)
        packed.addfile(info, io.BytesIO(CARD))
        if link is not None:
            info = tarfile.TarInfo("mine/model.pt2")
            info.type, info.linkname = tarfile.SYMTYPE, link
            packed.addfile(info)
    return out.getvalue()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(protocol_wait=0, log_level="CRITICAL")


@pytest.fixture
def open_to_uploads(queue: FakeQueue, settings: Settings, tmp_path: Path) -> httpx.AsyncClient:
    """As behind a key of scope admin."""
    queue.repository.objects = Objects(str(tmp_path / "objects"))
    app = create_app(settings, queue)
    keyed = settings.model_copy(update={"keys": tmp_path / "keys.json", "model_unpacked": MOST})
    app.state.dependencies = replace(app.state.dependencies, settings=keyed)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence")


@pytest.mark.parametrize("state", ["loading", "leaving", "unloaded"])
async def test_what_is_not_ready_is_told_so_with_when_to_ask_again(
    client: httpx.AsyncClient, queue: FakeQueue, png: bytes, state: str
) -> None:
    """In the words of each protocol; nobody hears that there is no such model."""
    queue.told = [ModelState.model_validate({"name": "late", "state": state, "reason": "its files are still coming"})]
    image = {"content-type": "image/png"}
    asked = [
        await client.post("/api/v1/explanations?model=late", content=png, headers=image),
        await client.post("/v1/models/late:predict", json={"instances": [[0]]}),
        await client.post("/v1/models/late:explain", json={"instances": [[0]]}),
        await client.get("/v1/models/late"),
        await client.get("/v2/models/late"),
        await client.get("/v2/models/late/ready"),
        await client.get("/v2/models/late~gradient/ready"),
        await client.post("/v2/models/late/infer", json={"inputs": []}),
        await client.post("/predictions/late", content=png),
        await client.put("/explanations/late", content=png),
    ]
    for answer in asked:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert "the model late is" in answer.text
        assert "no such" not in answer.text
    assert asked[0].json()["code"] == "model_loading"
    (told,) = [one for one in (await client.get(URL)).json()["models"] if one["name"] == "late"]
    assert (told["state"], told["versions"]) == (state, [])
    assert told == (await client.get(f"{URL}/late")).json()


async def test_ready_is_when_no_model_is_loading(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    queue.broken = {"broken": "it is wrong"}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["failed"]) == (200, {"broken": "it is wrong"})
    queue.told = [ModelState(name="late", state="loading")]
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "model_loading")
    assert "late" in answer.json()["detail"]
    queue.served = {}
    queue.told = queue.told[:0]
    queue.broken = {}
    assert (await client.get("/readyz")).json()["code"] == "no_worker"


async def test_the_required_models_are_what_it_takes(queue: FakeQueue) -> None:
    queue.told = [ModelState(name="late", state="loading")]
    queue.broken = {"bad": "its card is no card"}
    for required, status in (("digits", 200), ("digits, late", 503), ("digits,unheard-of", 503), ("digits,bad", 503)):
        app = create_app(Settings(required_models=required, log_level="CRITICAL"), queue)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence") as client:
            for path in ("/readyz", "/v2/health/ready", "/ping"):  # who rolls out asks by the protocol that it speaks
                assert (await client.get(path)).status_code == status
            told = (await client.get("/readyz")).json()
    assert told["detail"] == "not served yet: bad (its card is no card)"


async def test_a_version_is_asked_for_by_its_digest(client: httpx.AsyncClient, queue: FakeQueue, png: bytes) -> None:
    queue.served["old"] = OLD  # the card of what is leaving
    queue.told = [ModelState(name="digits", state="leaving", digest=OLD.digest, card="old")]
    image = {"content-type": "image/png"}

    async def asked(name: str) -> httpx.Response:
        return await client.post(f"/api/v1/explanations?model={name}&method=gradient", content=png, headers=image)

    digests = {name: (await asked(name)).json()["model"]["digest"] for name in ("digits", "digits@000000000000")}
    assert digests == {"digits": DIGITS.digest, "digits@000000000000": OLD.digest}
    assert (await asked(f"digits@{OLD.digest}")).headers["cache-status"] == "whence; hit"
    for wrong in ("digits@f00000000000", "digits@", "digits@00"):
        answer = await asked(wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_model")
        assert f"digits@{'0' * 12}" in answer.json()["detail"]
    versions = (await client.get(f"{URL}/digits")).json()["versions"]
    assert [(one["digest"], one["current"], one["state"]) for one in versions] == [
        (OLD.digest, False, "leaving"),
        (DIGITS.digest, True, "ready"),
    ]
    assert (await client.get(f"{URL}/digits@{'0' * 12}")).json()["digest"] == OLD.digest
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
    inferred = await client.post(f"/v2/models/digits@{'0' * 12}~gradient/infer", json={"inputs": [tensor]})
    assert inferred.json()["parameters"] == {"whence.model": OLD.digest}


async def test_a_model_is_unloaded_loaded_and_read_anew(
    client: httpx.AsyncClient, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.model_changes.SEEN_S", 0.0)
    assert (await client.post(f"{URL}/digits/unload")).json()["state"] == "unloaded"
    loaded = await client.post(f"{URL}/digits/load")
    assert (loaded.status_code, loaded.json()["state"]) == (200, "ready")
    assert (await client.post(f"{URL}/digits/reload")).status_code == 200
    assert queue.repository.reloaded == ["digits"]  # type: ignore[attr-defined]
    assert (await client.post(f"{URL}/table/load")).status_code == 202  # nobody has it in memory yet
    for verb in ("load", "unload", "reload"):
        answer = await client.post(f"{URL}/unheard-of/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    queue.broken = {"broken": "it is wrong"}
    answer = await client.post(f"{URL}/broken/load")
    assert (answer.status_code, answer.json()["code"]) == (422, "model_refused")


async def test_models_are_sent_only_where_there_are_keys(client: httpx.AsyncClient) -> None:
    answer = await client.put(f"{URL}/mine", content=zipped(card_toml=CARD))
    assert (answer.status_code, answer.json()["code"]) == (403, "uploads_off")
    assert "WHENCE_KEYS" in answer.json()["detail"]


async def test_a_model_is_sent_and_removed(open_to_uploads: httpx.AsyncClient, queue: FakeQueue) -> None:
    async with open_to_uploads as client:
        for body in (zipped(card_toml=CARD), tarred()):
            answer = await client.put(f"{URL}/mine", content=body)
            assert (answer.status_code, answer.json()["state"]) == (200, "ready"), answer.text
        assert (await client.delete(f"{URL}/mine")).status_code == 204
        assert (await client.delete(f"{URL}/mine")).status_code == 404
        placed = await client.delete(f"{URL}/digits")
        assert (placed.status_code, placed.json()["code"]) == (409, "model_placed")
        refused = await client.put(f"{URL}/broken", content=tarred())
        assert (refused.status_code, refused.json()["detail"]) == (422, "broken: it is bad")
        assert queue.repository.uploads == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no archive", "no readable zip or tar"),
        (b"", "no readable zip or tar"),
        (zipped(other_txt=b"x"), "card.toml: there is no such file"),
        (zipped(card_toml=CARD.replace(b"model.pt2", b"python:net.py:build"), net_py=b"1"), "data alone"),
        (zipped(card_toml=CARD.replace(b"model.pt2", b"torchvision:resnet18")), "data alone"),
        (zipped(card_toml=CARD.replace(b"model.pt2", b"open-inference:http://elsewhere/v2/models/m")), "data alone"),
        (tarred(link="/etc/passwd"), "a link, a device or a sparse file"),
        (zipped(__etc__x=b"1", card_toml=CARD), "no plain path"),
    ],
)
async def test_what_is_no_exported_model_is_refused_before_any_worker_sees_it(
    open_to_uploads: httpx.AsyncClient, queue: FakeQueue, body: bytes, why: str
) -> None:
    async with open_to_uploads as client:
        answer = await client.put(f"{URL}/mine", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "model_refused"), answer.text
        assert why in answer.json()["detail"]
        assert queue.repository.uploads == {}  # type: ignore[attr-defined]
        wrong = await client.put(f"{URL}/..mine", content=zipped(card_toml=CARD))
        assert wrong.status_code == 422


async def test_what_unpacks_to_too_much_is_told_the_limit(open_to_uploads: httpx.AsyncClient, queue: FakeQueue) -> None:
    async with open_to_uploads as client:
        answer = await client.put(f"{URL}/mine", content=zipped(card_toml=CARD, model_pt2=bytes(MOST)))
        assert (answer.status_code, answer.json()["code"]) == (413, "input_too_large"), answer.text
        assert f"; {MOST} are allowed" in answer.json()["detail"]
        assert queue.repository.uploads == {}  # type: ignore[attr-defined]


def test_only_keys_of_scope_admin_change_models() -> None:
    for change in (
        f"PUT {URL}/a",
        f"DELETE {URL}/a",
        f"POST {URL}/a/load",
        f"POST {URL}/a/unload",
        f"POST {URL}/a/reload",
        "POST /v2/repository/models/a/load",
        "POST /v2/repository/models/a/unload",
        "DELETE /models/a",
    ):
        assert scope_of(*change.split(" ")) == "admin"
    for look in (f"GET {URL}", f"GET {URL}/a", "POST /v2/repository/index", "GET /models", "GET /models/a"):
        assert scope_of(*look.split(" ")) == "explain"


async def test_torchserves_management(client: httpx.AsyncClient, queue: FakeQueue) -> None:
    assert (await client.get("/models")).json() == {
        "models": [{"modelName": name, "modelUrl": name} for name in ("digits", "table")]
    }
    (told,) = (await client.get("/models/digits")).json()
    assert (told["modelName"], told["modelVersion"]) == ("digits", "d" * 12)
    assert told["workers"] == [{"id": "w1", "status": "READY", "memoryUsage": 1000}]
    assert (await client.delete("/models/digits")).json() == {"status": 'Model "digits" unregistered'}
    assert (await client.get("/models")).json()["models"] == [{"modelName": "table", "modelUrl": "table"}]
    unknown = await client.get("/models/unheard-of")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "ModelNotFoundException")


async def test_what_is_still_served_is_not_said_to_be_unloaded(
    client: httpx.AsyncClient, queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(_: str) -> None: ...

    monkeypatch.setattr(queue.repository, "unload", unheard)
    answer = await client.post(f"{URL}/digits/unload")
    assert (answer.status_code, answer.json()["state"]) == (202, "ready")
    assert (await client.post("/v2/repository/models/digits/unload")).status_code == 503
    assert (await client.delete("/models/digits")).status_code == 503
