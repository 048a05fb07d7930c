"""A running Whence with two models of digits, and pages of a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from safetensors.numpy import load_file, save_file

from service.cli.local.redis_binary import free_port
from tests.browser.site import Site, Visit
from tests.tree import ROOT

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_S = 180


@pytest.fixture(scope="session")
def program() -> str:
    """The browser that the machine has; none is downloaded."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")  # while Playwright is there its event loop runs, and no asynchronous test could
def chromium(program: str) -> Iterator[object]:
    """It runs, and has nothing open."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def whence(tmp_path_factory: pytest.TempPathFactory, program: str) -> Iterator[str]:
    """Its URL: the digits, and `softer`, the same net with other weights in its last layer."""
    folder = tmp_path_factory.mktemp("whence")
    for name in ("digits", "softer"):
        shutil.copytree(ROOT / "models" / "digits", folder / "models" / name)
    weights = load_file(folder / "models/softer/weights.safetensors")
    save_file(
        {**weights, "linear.weight": weights["linear.weight"] * 0.5}, folder / "models/softer/weights.safetensors"
    )
    port = free_port()
    command = [sys.executable, "-m", "service.cli.main", "up", "--port", str(port), "--models", str(folder / "models")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WHENCE_DATASETS": str(folder / "datasets")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        _until_both_are_served(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _until_both_are_served(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if len(httpx.get(f"{url}/api/v1/models", trust_env=False).json().get("models", ())) == 2:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"Whence did not come up; exit status {process.poll()}")


@pytest.fixture
def site(whence: str, chromium: object) -> Iterator[Site]:
    """The page, opened; afterwards nothing may have gone wrong in it, and nobody else been asked."""
    opened = Site(whence, chromium)
    yield opened
    opened.close()


@pytest.fixture
def visit(site: Site) -> Visit:
    return site.visit()
