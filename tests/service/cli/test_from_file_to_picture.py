"""A detector, a U-Net of any size and an ONNX file, each from its file to a picture by the lines of docs/models.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.app import create_app
from service.cli.main import app as cli
from service.settings import Settings
from tests.service.live import serving
from tests.service.working import WorkingQueue
from tests.tree import ROOT
from tests.workers.models.test_export import vision_ops  # noqa: F401  # onnx2torch imports torchvision
from tests.workers.models.test_foreign import onnx_net
from workers.engine.model.model import Model
from workers.export import main as export
from workers.models.folder import read_folder
from workers.models.loading import load

LINES = re.findall(r"^\$ whence (.*)$", (ROOT / "docs/models.md").read_text(), re.MULTILINE)
DETECTOR = """import torch
from torch import nn

class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.boxes, self.scores = nn.Conv2d(3, 6, 3, stride=8, padding=1), nn.Linear(6, 4), nn.Linear(6, 3)

    def forward(self, image):
        places = torch.relu(self.body(image)).flatten(2).transpose(1, 2)
        return {"boxes": self.boxes(places), "scores": self.scores(places)}

def build():
    return Detector()
"""
UNET = """import torch
from torch import nn

class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.low = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.up, self.out = nn.MaxPool2d(2), nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        seen = torch.relu(self.down(x))
        return self.out(torch.cat([seen, self.up(torch.relu(self.low(self.pool(seen))))], 1))

def build():
    return UNet()
"""
SOURCES: dict[str, tuple[Callable[[Path], object], str, tuple[int, ...]]] = {
    "detector": (lambda at: (at / "detector.py").write_text(DETECTOR), "street.npy", (3, 32, 32)),
    "unet": (lambda at: (at / "unet.py").write_text(UNET), "scan.npy", (3, 24, 40)),
    "net": (lambda at: onnx_net(at / "net.onnx"), "x.npy", (1, 8, 8)),
}


@pytest.mark.usefixtures("vision_ops")
@pytest.mark.parametrize("name", SOURCES)
def test_from_its_file_to_a_picture(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write, given, shape = SOURCES[name]
    write(tmp_path)
    np.save(given, np.random.default_rng(0).normal(size=shape).astype(np.float32))
    exporting, explaining = (
        next(shlex.split(line) for line in LINES if re.match(first, line))
        for first in (rf"export .*--out models/{name}( |$)", rf"explain {given} ")
    )
    assert export(exporting[1:]) == 0
    model = load(read_folder(tmp_path / "models" / name))
    assert isinstance(model, Model)
    with serving(create_app(Settings(log_level="CRITICAL"), WorkingQueue({name: model}))) as url:
        done = CliRunner().invoke(cli, [*explaining, "--url", url])
    assert done.exit_code == 0, done.output
    with Image.open(explaining[-1]) as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_a_target_that_is_no_json_is_told_how_to_write_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3, np.float32))
    done = CliRunner().invoke(cli, ["explain", str(tmp_path / "x.npy"), "-m", "net", "--target", '{"index": [4,'])
    assert done.exit_code == 2
    assert "--target '{\"index\": [4, 2]}'" in done.output
