"""The demo model: small, accurate, and right on the ten digits that ship with it."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.tree import ROOT
from workers.engine.model.model import Model
from workers.explanation.images.decoding import prepare
from workers.models.folder import read_folder
from workers.models.loading import load_model, load_program

DIGITS = ROOT / "models" / "digits"
MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(read_folder(DIGITS))


@pytest.mark.parametrize("digit", range(10))
def test_the_examples_are_recognised(model: Model, digit: int) -> None:
    data = (ROOT / "examples" / f"{digit}.png").read_bytes()
    spec = model.card.input
    assert spec.image is not None
    tensor, picture = prepare(data, spec.image, spec.shape)
    probabilities = model.forward(torch.from_numpy(tensor)[None]).softmax(1)[0]
    assert picture.shape == (28, 28, 3)
    assert model.card.label(int(probabilities.argmax())) == str(digit)
    assert probabilities.max() > 0.99


def test_it_is_small_and_takes_any_batch(model: Model) -> None:
    assert sum(file.stat().st_size for file in DIGITS.iterdir() if file.is_file()) < 1_000_000
    assert model.rows is None
    assert model.card.outputs == (10,)
    assert [node.layer for node in model.graph.nodes if node.op.startswith("conv2d")] == ["conv1", "conv2", "conv3"]


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_file(), reason="MNIST is not here")
def test_its_card_says_its_accuracy_on_the_test_images(model: Model) -> None:
    with np.load(MNIST) as mnist:
        images, labels = mnist["x_test"], mnist["y_test"]
    with torch.no_grad():
        outputs = load_program(read_folder(DIGITS)).module()(torch.from_numpy(images[:, None] / np.float32(255)))
    accuracy = float((outputs.argmax(1).numpy() == labels).mean())
    assert accuracy >= 0.992
    assert model.card.accuracy == pytest.approx(accuracy, abs=1e-4)


@pytest.fixture(scope="module")
def data() -> ModuleType:
    """models/digits/data.py, which is no package."""
    spec = importlib.util.spec_from_file_location("digits_data", DIGITS / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["digits_data"] = module
    spec.loader.exec_module(module)
    return module


def test_idx_and_npz_files_give_the_same_digits(tmp_path: Path, data: ModuleType) -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((5, 28, 28), (5,), (2, 28, 28), (2,))]
    for name, array in zip(data.IDX_FILES, arrays, strict=True):
        idx = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
        if "labels" in name:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx))
        else:
            (tmp_path / name).write_bytes(idx)
    np.savez(tmp_path / "mnist.npz", **dict(zip(data.Digits._fields, arrays, strict=True)))
    for found, again, array in zip(
        data.read_digits(tmp_path), data.read_digits(tmp_path / "mnist.npz"), arrays, strict=True
    ):
        np.testing.assert_array_equal(found, array)
        np.testing.assert_array_equal(again, array)
