"""Models from code and from weights, and what is said of those that cannot be loaded."""

from __future__ import annotations

import json
import logging
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tree import ROOT
from tests.workers.models.archives import Entries, archive_folder, entries, packed, saved
from tests.workers.models.folders import NET, weights, write_folder
from tests.workers.models.loading_cases import problem, samples
from workers.explanation.errors import InvalidFolder
from workers.explanation.images.decoding import prepare
from workers.models.export.from_code import build_module
from workers.models.export.program import export_module
from workers.models.folder import read_folder
from workers.models.loading import load
from workers.models.source import parse_source

SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


@pytest.fixture(autouse=True)
def only_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.load may be called with weights_only=True alone."""
    real = torch.load

    def guarded(*args: Any, **kwargs: Any) -> Any:
        assert kwargs.get("weights_only") is True
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "load", guarded)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("3.bias"), "toy/weights.safetensors: 1 tensors of the model are missing: 3.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "toy/weights.safetensors: 1 tensors are not of the model: extra"),
        (
            lambda w: w.update({"3.bias": torch.zeros(7)}),
            "toy/weights.safetensors: 1 tensors have another shape than the model: 3.bias is [7], should be [5]",
        ),
    ],
)
def test_wrong_weights_are_named(tmp_path: Path, change: Any, told: str) -> None:
    path = write_folder(tmp_path / "toy")
    tensors = weights()
    change(tensors)
    save_file(tensors, path / "weights.safetensors")
    assert problem(path) == told


def test_weights_that_are_no_safetensors_are_told(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "weights.safetensors").write_bytes(struct.pack("<Q", 9) + b"{}")
    assert "it is no safetensors file" in problem(path)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def build(:", "python:net.py:build failed: SyntaxError"),
        ("import a_missing_package", "needs the package a_missing_package, which is not installed"),
        ("def make(): ...", "python:net.py:build failed: AttributeError: net.py has no build"),
        ("def build(): return 3", "python:net.py:build gave no torch.nn.Module"),
        (
            "def build(): raise ValueError('no such thing')",
            "failed: ValueError at net.py:1 (def build(): raise ValueError('no such thing')): no such thing",
        ),
    ],
)
def test_a_factory_that_fails_is_told(tmp_path: Path, code: str, told: str) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "net.py").write_text(code)
    assert problem(path).startswith("toy: the source python:net.py:build ")
    assert told in problem(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels.file": "four.txt"}, "toy: the labels file names 4 classes and the model has 5"),
        (
            {"input.shape": [3, 9, 9], "input.image.resize": [9, 9]},
            "toy: the model does not run on an input of the shape",
        ),
    ],
)
def test_a_card_that_the_model_contradicts_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = write_folder(tmp_path / "toy", changes)
    (path / "four.txt").write_text("a\nb\nc\nd\n")
    assert problem(path).startswith(told)


def test_an_archive_of_another_shape_is_told(tmp_path: Path, content: Entries) -> None:
    path = archive_folder(tmp_path / "toy", packed(content))
    card = (path / "card.toml").read_text().replace("6", "9")
    (path / "card.toml").write_text(card)
    assert "toy: [input] shape is [3, 9, 9] and the model was exported for [3, 6, 6]" in problem(path)


def test_two_folders_may_each_have_a_net_py(tmp_path: Path) -> None:
    write_folder(tmp_path / "a")
    other = write_folder(tmp_path / "b")
    (other / "net.py").write_text(NET.replace("nn.ReLU", "nn.Tanh"))
    outputs = [load(read_folder(tmp_path / name)).forward(samples()) for name in ("a", "b")]
    assert not torch.allclose(outputs[0], outputs[1])


def test_an_importable_module_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package_for_whence").mkdir()
    (tmp_path / "package_for_whence" / "nets.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    path = write_folder(tmp_path / "toy", {"model.source": "python:package_for_whence.nets:build"})
    assert load(read_folder(path)).card.outputs == (5,)


class OneByOne(nn.Module):
    """A model whose code fixes the batch axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 12) * 2


def test_a_fixed_batch_axis_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        program = export_module(OneByOne(), (12,), "toy")
    assert "toy: its inputs run one at a time" in caplog.text
    torch.testing.assert_close(program.module()(torch.ones(1, 12)), torch.full((1, 12), 2.0))


@pytest.mark.parametrize("kind", ["torchvision", "timm", "transformers"])
def test_a_missing_library_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = __import__("importlib").import_module

    def missing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == kind:
            raise ModuleNotFoundError(f"No module named {kind!r}", name=kind)
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", missing)
    path = write_folder(tmp_path / "toy", {"model.source": f"{kind}:some_net"})
    assert f"toy: the source {kind}:some_net needs the package {kind}, which is not installed" in problem(path)


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="the shared models are not here")
def test_squeezenet_recognises_the_photographs() -> None:
    """The five best classes of every photograph, in order, as measured when the model was prepared."""
    folder = read_folder(SHARED / "models" / "squeezenet1_1")
    model = load(folder)
    assert folder.input.image is not None
    listed = json.loads((SHARED / "data" / "images" / "samples.json").read_text())["images"]
    files = [SHARED / "data" / "images" / sample["file"] for sample in listed]
    x = np.stack([prepare(file.read_bytes(), folder.input.image, folder.input.shape)[0] for file in files])
    top = model.forward(torch.from_numpy(x)).topk(5).indices.tolist()
    stored = [[index for index, _, _ in sample["squeezenet1_1"]["top5"]] for sample in listed]
    assert top == stored


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="the shared models are not here")
def test_resnet20_gives_the_stored_logits() -> None:
    folder = read_folder(SHARED / "models" / "resnet20_cifar10")
    model = load(folder)
    assert folder.input.image is not None
    with np.load(SHARED / "data" / "cifar10" / "cifar10_samples.npz") as stored:
        images, labels, logits = stored["x_test"], stored["y_test"], stored["logits_test"]
    mean, std = np.array(folder.input.image.mean), np.array(folder.input.image.std)
    x = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    outputs = model.forward(torch.from_numpy(x)).numpy()
    assert (outputs.argmax(1) == labels).all()
    np.testing.assert_allclose(outputs, logits, atol=1e-4)


class Forked(nn.Module):
    """What it does depends on the values, which a graph cannot say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_model_that_runs_but_cannot_be_traced_is_told() -> None:
    told = r"toy: what the model computes depends on the values it meets at test_model_sources.py:\d+ \(return x"
    with pytest.raises(InvalidFolder, match=told):
        export_module(Forked(), (4,), "toy")


@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
def test_a_library_that_is_not_here_is_named_with_the_ways_out(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an image that was built without it: one sentence has the model and what is missing."""
    for name in [library, *(one for one in sys.modules if one.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidFolder) as caught:
        build_module(parse_source(f"{library}:resnet18", "m"), tmp_path, None, "m")
    assert f"{library}:resnet18 needs the package {library}, which is not installed" in caught.value.detail
    assert "export the model to a .pt2 where it is" in caught.value.detail
