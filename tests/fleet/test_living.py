"""Models come, change, break and go while clients ask; what is sent over HTTP reaches every worker."""

from __future__ import annotations

import io
import tarfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.http import api_keys
from tests.fleet.stack import Asking, current, fleet, ready, state, until, write
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1800)]

SENT = (200, 202)  # the latter where it took longer than the request waited


def test_what_eight_clients_see(tmp_path: Path) -> None:
    """Of a model that is added, replaced (whole, and file by file), broken, mended and removed."""
    models, aside = tmp_path / "models", tmp_path / "aside"
    models.mkdir()
    digests = {write(aside / str(n) / "m", n): n for n in (1, 2, 3)}
    first, second, third = digests
    with fleet(tmp_path / "run") as run:
        url, _ = run.api()
        run.worker(models)
        ready(url)  # with no model at all
        asking = Asking([url], digests, phase="none").start(8)
        asking.at("none", 1)
        asking.phase = "adding"
        (aside / "1" / "m").rename(models / "m")
        until(lambda: current(url, "m") == first, "added")
        asking.at("added", 2)
        asking.phase = "replacing"
        (models / "m").rename(aside / "was")
        (aside / "2" / "m").rename(models / "m")
        until(lambda: current(url, "m") == second, "replaced")
        asking.at("replaced", 2)
        asking.phase = "writing"
        half = (aside / "3" / "m" / "model.pt2").read_bytes()
        with (models / "m" / "model.pt2").open("wb") as file:
            for first_half in (half[:2000], half[2000:]):
                file.write(first_half)
                file.flush()
                time.sleep(1.5)
        until(lambda: current(url, "m") == third, "written")
        asking.at("written", 2)
        asking.phase = "broken"
        (models / "m" / "card.toml").write_text("[model")
        until(lambda: "TOML" in (state(url, "m").get("reason") or ""), "broken")
        asking.at("broken", 1)
        asking.phase = "removing"
        (models / "m").rename(aside / "gone")
        until(lambda: not state(url, "m"), "removed", seconds=15 + PATIENCE_S)
        asking.at("removed", 1)
        asking.stop()
    print(asking.table())
    assert asking.mixed == []
    seen = {
        phase: set(asking.of(phase))
        for phase in ("none", "adding", "added", "replaced", "written", "broken", "removed")
    }
    assert seen["none"] == {"422 unknown_model"}
    assert seen["adding"] <= {"422 unknown_model", "503 model_loading", "v1"}
    assert (seen["added"], seen["replaced"], seen["written"]) == ({"v1"}, {"v2"}, {"v3"})
    assert set(asking.of("replacing")) <= {"v1", "v2"}
    assert set(asking.of("writing")) <= {"v2", "v3"}
    assert seen["broken"] == {"v3"}  # what was whole is served on
    assert set(asking.of("removing")) <= {"v3", "503 model_loading", "422 unknown_model"}
    assert seen["removed"] == {"422 unknown_model"}


def on_workers(http: httpx.Client) -> list[str]:
    """The digest that each worker has ready."""
    return [one["digest"] for one in http.get("/m").json().get("workers", ()) if one["state"] == "ready"]


def packed(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(folder, folder.name)
    return out.getvalue()


def test_a_model_that_is_sent_reaches_every_worker(tmp_path: Path) -> None:
    """And replaces the one before, while clients ask; a wrong one changes nothing."""
    digests = {write(tmp_path / str(n) / "m", n): n for n in (1, 2)}
    first, second = digests
    keys = tmp_path / "keys.json"
    _, admin = api_keys.add(keys, "admin", frozenset({"admin"}))
    _, plain = api_keys.add(keys, "plain", frozenset({"explain"}))
    headers = {"Authorization": f"Bearer {admin}", "Prefer": "wait=30"}
    with fleet(tmp_path / "run") as run, ExitStack() as stack:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            run.worker(tmp_path / name)
        url, _ = run.api(WHENCE_KEYS=str(keys))
        place = f"{url}/api/v1/models"
        http = stack.enter_context(httpx.Client(base_url=place, headers=headers, timeout=PATIENCE_S, trust_env=False))
        until(lambda: httpx.get(f"{url}/readyz", trust_env=False).json().get("workers") == 2, "both workers")
        assert http.put("/m", content=b"", headers={"Authorization": f"Bearer {plain}"}).status_code == 403
        sent = http.put("/m", content=packed(tmp_path / "1" / "m"))
        assert sent.status_code in SENT, sent.text
        until(lambda: on_workers(http) == [first] * 2, "on both workers")
        asking = Asking([url], digests, phase="one", headers=headers).start(4)
        asking.at("one", 2)
        (tmp_path / "2" / "m" / "model.pt2").rename(tmp_path / "kept")
        (tmp_path / "2" / "m" / "model.pt2").write_bytes(b"PK no archive")
        asking.phase = "refused"
        wrong = http.put("/m", content=packed(tmp_path / "2" / "m"))
        assert (wrong.status_code, wrong.json()["code"]) == (422, "model_refused")
        asking.at("refused", 1)
        (tmp_path / "kept").replace(tmp_path / "2" / "m" / "model.pt2")
        asking.phase = "both"
        assert http.put("/m", content=packed(tmp_path / "2" / "m")).status_code in SENT
        until(lambda: on_workers(http) == [second] * 2, "2")
        asking.at("two", 2)
        asking.stop()
        print(asking.table())
        assert http.delete("/m").status_code == 204
        until(lambda: http.get("/m").status_code == 404, "removed", seconds=15 + PATIENCE_S)
    assert asking.mixed == []
    assert (set(asking.of("one")), set(asking.of("refused")), set(asking.of("two"))) == ({"v1"}, {"v1"}, {"v2"})
    assert set(asking.of("both")) <= {"v1", "v2"}
