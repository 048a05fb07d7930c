"""Models in other files: an ONNX file is exported, and of the rest the message holds a factory that works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save_file
from torch import nn

from tests.workers.models.test_export import vision_ops  # noqa: F401  # onnx2torch imports torchvision
from workers.export import main
from workers.models.folder import read_folder
from workers.models.loading import load

NET = "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self): super().__init__(nn.Linear(4, 3))\n"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text(NET)
    return tmp_path


def trained() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 3)).eval()


def save_scripted(file: Path) -> None:
    torch.jit.script(trained()).save(str(file))  # type: ignore[no-untyped-call]


SAVED: dict[str, Callable[[Path], None]] = {
    "TorchScript": save_scripted,
    "a table of weights": lambda file: torch.save(trained().state_dict(), file),
    "a checkpoint": lambda file: torch.save({"epoch": 3, "state_dict": trained().state_dict()}, file),
    "a pickled module": lambda file: torch.save(trained(), file),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("what", SAVED)
def test_the_three_lines_of_the_message_work(what: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SAVED[what](work / "model.pt")
    assert main(["model.pt", "--out", "models/toy", "--shape", "4"]) == 1
    said = capsys.readouterr().err
    assert f"model.pt is {what}" in said
    _, lines, last = said.split("\n\n")
    assert len(lines.splitlines()) == 3
    (work / "net.py").write_text(lines + "\n")
    assert "whence export python:net.py:build" in last
    assert main(["python:net.py:build", "--out", "models/toy", "--shape", "4"]) == 0
    x = torch.rand(5, 4)
    torch.testing.assert_close(load(read_folder(work / "models" / "toy")).forward(x), trained()(x))


def test_a_file_of_safetensors_is_told_from_a_model(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(trained().state_dict(), work / "w.safetensors")
    assert main(["w.safetensors", "--out", "models/toy", "--shape", "4"]) == 1
    assert "--weights w.safetensors" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told_so(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["absent.pth", "--out", "models/toy", "--shape", "4"]) == 1
    assert "there is no file absent.pth" in capsys.readouterr().err


def onnx_net(file: Path, unknown: bool = False) -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    shapes = {"w": (4, 1, 3, 3), "b": (4,), "f": (3, 4)}
    held = [numpy_helper.from_array(draw.normal(size=s).astype(np.float32), name) for name, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"]),
        helper.make_node("Gemm", ["q", "f"], ["s"], transB=1),
        helper.make_node("Mish" if unknown else "Identity", ["s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])], held,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, file)
    return model


@pytest.mark.usefixtures("vision_ops")
def test_an_onnx_file_is_exported_and_says_its_own_shape(work: Path) -> None:
    proto = onnx_net(work / "net.onnx")
    assert main(["onnx:net.onnx", "--out", "models/toy"]) == 0
    folder = read_folder(work / "models" / "toy")
    assert folder.input.shape == (1, 8, 8)
    x = torch.rand(3, 1, 8, 8)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": x.numpy()})
    torch.testing.assert_close(load(folder).forward(x), torch.from_numpy(wanted), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("vision_ops")
def test_what_onnx2torch_does_not_know_is_told_in_a_sentence(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx_net(work / "net.onnx", unknown=True)
    assert main(["onnx:net.onnx", "--out", "models/toy"]) == 1
    assert "onnx2torch cannot convert it" in capsys.readouterr().err
    (work / "broken.onnx").write_bytes(b"no model")
    assert main(["onnx:broken.onnx", "--out", "models/toy"]) == 1
    assert "it is no ONNX model" in capsys.readouterr().err
