"""`whence export` writes a folder that the server reads back to the same outputs, or nothing at all."""

from __future__ import annotations

import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.vision import torchvision
from tests.workers.models.folders import NET, weights
from workers.export import main
from workers.models.export.from_code import build_module
from workers.models.folder import read_folder
from workers.models.loading import load
from workers.models.source import parse_source


@pytest.fixture(scope="module")
def vision_ops() -> None:
    """torchvision's wheel for CUDA does not import beside a torch for the CPU until its operators are declared."""
    torchvision()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place with a network's code, its weights and labels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    save_file(weights(), tmp_path / "w.safetensors")
    return tmp_path


def test_a_factory_with_weights_becomes_a_folder(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["python:net.py:build", "--out", "models/toy", "--shape", "3,6,6", "--weights", "w.safetensors", "--labels",
         "labels.txt", "--mean", "0.1,0.2,0.3", "--std", "0.5,0.5,0.5", "--scale", "255", "--mode", "BGR",
         "--output", "evidence"]
    )  # fmt: skip
    assert (code, capsys.readouterr().err) == (0, "")
    assert sorted(path.name for path in (work / "models").iterdir()) == ["toy"]
    folder = read_folder(work / "models" / "toy")
    assert folder.input.image is not None
    assert (folder.output, folder.labels, folder.input.shape) == ("evidence", ("a", "b", "c", "d", "e"), (3, 6, 6))
    assert folder.input.image.model_dump(exclude_defaults=True) == {
        "mode": "BGR", "resize": (6, 6), "scale": 255.0, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5),
    }  # fmt: skip
    module = build_module(parse_source("python:net.py:build", ""), work, None, "")
    module.load_state_dict(weights())
    x = torch.rand(4, 3, 6, 6)
    torch.testing.assert_close(load(folder).forward(x), module(x))


def test_the_archive_carries_no_sample_inputs_and_no_paths(work: Path) -> None:
    assert main(["python:net.py:build", "--out", "models/toy", "--shape", "3,6,6"]) == 0
    with ZipFile(work / "models" / "toy" / "model.pt2") as file:
        sizes = {info.filename: info.file_size for info in file.infolist()}
        assert sizes["model/data/sample_inputs/model.pt"] == 0
        assert str(work).encode() not in b"".join(file.read(name) for name in sizes)


def test_exporting_twice_gives_one_digest(work: Path) -> None:
    arguments = ["python:net.py:build", "--shape", "3,6,6", "--weights", "w.safetensors"]
    for name in ("one", "two"):
        assert main([*arguments, "--out", f"models/{name}"]) == 0
    assert len({read_folder(work / "models" / name).digest for name in ("one", "two")}) == 1


def test_other_shapes_are_tensors(work: Path) -> None:
    (work / "line.py").write_text("from torch import nn\ndef build(): return nn.Linear(13, 2)\n")
    assert main(["python:line.py:build", "--out", "models/line", "--shape", "13"]) == 0
    card = tomllib.loads((work / "models" / "line" / "card.toml").read_text())
    assert card["input"] == {"kind": "tensor", "shape": [13]}


def test_resize_and_crop(work: Path) -> None:
    for resize, read in (("8", 8), ("9,8", (9, 8))):
        out = f"models/r{resize[0]}"
        assert main(["python:net.py:build", "--out", out, "--shape", "3,6,6", "--resize", resize, "--crop", "6"]) == 0
        image = read_folder(work / out).input.image
        assert image is not None
        assert (image.resize, image.crop) == (read, 6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["model.pt2", "--shape", "3,6,6"], "SOURCE is an archive already"),
        (["net.py:build", "--shape", "3,6,6"], "SOURCE: [model] source is wrong"),
        (["torchvision:resnet18", "--shape", "3,6,6"], "is an architecture without weights; give them by --weights"),
        (["python:net.py:build", "--shape", "3,7,7"], "the model does not run on an input of the shape"),
        (["python:net.py:build", "--shape", "3,6,6", "--mean", "0.5"], "mean has 1 numbers; mode RGB has 3 channels"),
        (["python:net.py:build", "--shape", "3,6,6", "--output", "logit"], "[model] output is wrong"),
        (["python:net.py:build", "--shape", "3,6,6", "--labels", "four.txt"], "names 4 classes and the model has 5"),
        (["python:other.py:build", "--shape", "3,6,6"], "there is no file other.py"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_left(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main([*arguments, "--out", "models/toy"]) == 1
    assert told in capsys.readouterr().err
    assert not (work / "models").exists() or list((work / "models").iterdir()) == []


def test_a_model_that_is_random_in_use_is_not_written(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "noisy.py").write_text(
        "import torch\nclass Noisy(torch.nn.Module):\n"
        "    def forward(self, x): return x.flatten(1) + torch.rand_like(x.flatten(1))\n"
    )
    assert main(["python:noisy.py:Noisy", "--out", "models/noisy", "--shape", "4"]) == 1
    assert "rand_like draws random numbers each time it runs" in capsys.readouterr().err
    assert list((work / "models").iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "models" / "toy").mkdir(parents=True)
    assert main(["python:net.py:build", "--out", "models/toy", "--shape", "3,6,6"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert list((work / "models" / "toy").iterdir()) == []


@pytest.mark.parametrize("shape", ["3,x,6", ""])
def test_an_option_that_cannot_be_read_is_named(work: Path, shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["python:net.py:build", "--out", "models/toy", "--shape", shape])
    assert "--shape" in capsys.readouterr().err


def exported_library_model(work: Path, source: str, module: nn.Module, shape: str, classes: int) -> None:
    (work / "labels.txt").write_text("".join(f"class {i}\n" for i in range(classes)))
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, work / "w.safetensors")
    arguments = [source, "--out", "models/net", "--shape", shape, "--weights", "w.safetensors"]
    assert main([*arguments, "--labels", "labels.txt"]) == 0
    folder = read_folder(work / "models" / "net")
    x = torch.rand(2, *folder.input.shape)
    with torch.no_grad():
        expected = module.eval()(x)
    expected = getattr(expected, "logits", expected)
    torch.testing.assert_close(load(folder).forward(x), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("vision_ops")
@pytest.mark.filterwarnings("ignore")
def test_a_torchvision_model_becomes_a_folder(work: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    exported_library_model(work, "torchvision:squeezenet1_1", models.squeezenet1_1(num_classes=7), "3,64,64", 7)


@pytest.mark.slow
@pytest.mark.usefixtures("vision_ops")
@pytest.mark.filterwarnings("ignore")
def test_a_timm_model_becomes_a_folder(work: Path) -> None:
    timm = pytest.importorskip("timm")
    exported_library_model(work, "timm:resnet10t", timm.create_model("resnet10t", num_classes=7), "3,64,64", 7)


@pytest.mark.usefixtures("vision_ops")
@pytest.mark.filterwarnings("ignore")
def test_a_transformers_model_becomes_a_folder(work: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        num_labels=7, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    config.save_pretrained(work)
    model = transformers.ViTForImageClassification(config)
    exported_library_model(work, "transformers:vit", model, "3,32,32", 7)


def test_a_name_of_no_folder_is_told_as_such(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transformers:nowhere", "--out", "models/toy"]) == 1
    assert "nowhere is no folder of save_pretrained, for it has no config.json" in capsys.readouterr().err
    assert not (work / "models" / "toy").exists()
