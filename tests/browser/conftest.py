"""A running Whence with two models of digits, and pages of a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
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
PATIENCE_S = 400
NET = """from torch import nn

def build():
    return nn.Sequential({})
"""
HOUSE = """import torch
from torch import nn

class House(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.row, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(2, 4), nn.Linear(8, 3)

    def forward(self, photo, rooms):
        seen = torch.relu(self.conv(photo)).mean((2, 3))
        return self.fc(torch.cat([seen, torch.relu(self.row(rooms))], 1))

def build():
    return House()
"""


def _segmenter(shape: str, image: str = "") -> tuple[str, dict[str, tuple[int, ...]], str]:
    """A net that tells three classes apart at each place of a picture; `image` is what its card says besides."""
    net = "nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1)"
    weights = {"0.weight": (6, 3, 3, 3), "0.bias": (6,), "2.weight": (3, 6, 1, 1), "2.bias": (3,)}
    card = f"""
        [model]
        source = "python:net.py:build"
        weights = "weights.safetensors"
        output = "segmentation"
        [input]
        kind = "image"
        shape = {shape}
        [input.image]
        mode = "RGB"
        mean = [0.5, 0.5, 0.5]
        std = [0.5, 0.5, 0.5]
        {image}
        [labels]
        file = "labels.txt"
        """
    return net, weights, card


SMALL: dict[str, tuple[str, dict[str, tuple[int, ...]], str]] = {
    "house": (
        HOUSE,
        {
            "conv.weight": (4, 3, 3, 3),
            "conv.bias": (4,),
            "row.weight": (4, 2),
            "row.bias": (4,),
            "fc.weight": (3, 8),
            "fc.bias": (3,),
        },
        """
        [model]
        source = "python:net.py:build"
        weights = "weights.safetensors"
        default_method = "integrated_gradients"
        [inputs.photo]
        kind = "image"
        shape = [3, 16, 16]
        [inputs.photo.image]
        mode = "RGB"
        resize = [16, 16]
        mean = [0.5, 0.5, 0.5]
        std = [0.5, 0.5, 0.5]
        [inputs.rooms]
        kind = "tensor"
        shape = [2]
        names = ["rooms", "age"]
        low = [1, 0]
        high = [9, 100]
        """,
    ),
    "rooms": (
        "nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)",
        {"0.weight": (8, 3), "0.bias": (8,), "2.weight": (1, 8), "2.bias": (1,)},
        """
        [model]
        source = "python:net.py:build"
        weights = "weights.safetensors"
        output = "value"
        default_method = "grad_cam"
        [input]
        kind = "tensor"
        shape = [3]
        axes = ["feature"]
        names = ["rooms", "age", "distance"]
        low = [1, 0, 0]
        high = [9, 100, 30]
        """,
    ),
    "scenes": _segmenter("[3, 16, 16]", "resize = [16, 16]\nscale = 1.0"),
    "views": _segmenter('[3, "*", "*"]'),
    "waves": (
        "nn.PReLU(), nn.Tanh()",
        {"0.weight": (1,)},
        """
        [model]
        source = "python:net.py:build"
        weights = "weights.safetensors"
        output = "value"
        [input]
        kind = "tensor"
        shape = ["*"]
        axes = ["time"]
        """,
    ),
}


def write_small(folder: Path) -> None:
    """The model of this name, its weights random."""
    net, shapes, card = SMALL[folder.name]
    folder.mkdir()
    drawn = np.random.default_rng(0)
    weights = {name: drawn.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "weights.safetensors")
    (folder / "net.py").write_text(net if net.startswith("import") else NET.format(net))
    (folder / "card.toml").write_text(card)
    (folder / "labels.txt").write_text("sky\nanimal\nground\n")


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
    """Its URL: the digits; `softer`, the same net with other weights in its last layer; a row; a segmentation,
    and one of any size; a series of any length; a picture beside a row; words."""
    folder = tmp_path_factory.mktemp("whence")
    for name in ("digits", "softer"):
        shutil.copytree(ROOT / "models" / "digits", folder / "models" / name)
    weights = load_file(folder / "models/softer/weights.safetensors")
    save_file(
        {**weights, "linear.weight": weights["linear.weight"] * 0.5}, folder / "models/softer/weights.safetensors"
    )
    for name in SMALL:
        write_small(folder / "models" / name)
    shutil.copytree(ROOT / "models" / "language", folder / "models" / "language")
    port = free_port()
    command = [sys.executable, "-m", "service.cli.main", "up", "--port", str(port), "--models", str(folder / "models")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WHENCE_DATASETS": str(folder / "datasets")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        _until_served(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def _until_served(url: str, process: subprocess.Popen[bytes]) -> None:
    end, states = time.monotonic() + PATIENCE_S, {}
    while time.monotonic() < end and process.poll() is None:
        try:
            found = httpx.get(f"{url}/api/v1/models", trust_env=False, timeout=PATIENCE_S).json().get("models", ())
            states = {one["name"]: one["state"] for one in found}
            if list(states.values()) == ["ready"] * (3 + len(SMALL)):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"Whence did not come up; exit status {process.poll()}, models {states}")


@pytest.fixture
def site(whence: str, chromium: object) -> Iterator[Site]:
    """The page, opened; afterwards nothing may have gone wrong in it, and nobody else been asked."""
    opened = Site(whence, chromium)
    yield opened
    opened.close()


@pytest.fixture
def visit(site: Site) -> Visit:
    return site.visit()
