"""Both kinds of source load and predict; nothing is ever unpickled or run from an archive; faults are named."""

from __future__ import annotations

import io
import json
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tree import ROOT
from tests.workers.models import archives
from tests.workers.models.archives import Entries, archive_folder, edited, entries, packed, saved, toy_module
from tests.workers.models.folders import NET, weights, write_folder
from workers.explanation.errors import InvalidFolder, ModelError, PickledPayload
from workers.explanation.images.decoding import prepare
from workers.models.export.program import export_module
from workers.models.folder import read_folder
from workers.models.loading import load, load_program

SHARED = ROOT.parent / "shared"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
PROGRAM = "models/model.json"


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


def problem(path: Path, error: type[ModelError] = InvalidFolder) -> str:
    with pytest.raises(error) as caught:
        load(read_folder(path))
    return caught.value.detail


def samples() -> Tensor:
    return torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_an_archive_loads_without_its_sample_inputs_and_computes_the_same(tmp_path: Path, content: Entries) -> None:
    sample = "data/sample_inputs/model.pt"
    assert content[sample]
    poisoned = content | {sample: archives.torch_pickled(tmp_path / "ran")}
    model = load(read_folder(archive_folder(tmp_path / "toy", packed(poisoned))))
    assert not (tmp_path / "ran").exists()
    torch.testing.assert_close(model.forward(samples()), toy_module()(samples()))
    assert model.rows is None


def test_a_module_source_loads_with_its_weights(tmp_path: Path) -> None:
    model = load(read_folder(write_folder(tmp_path / "toy")))
    scope: dict[str, Any] = {}
    exec(NET, scope)
    module = scope["build"]()
    module.load_state_dict(weights())
    torch.testing.assert_close(model.forward(samples()), module(samples()))
    assert model.card.labels == ("a", "b", "c", "d", "e")
    assert model.rows is None


def pickle_weight(content: Entries, bomb: bytes) -> Entries:
    def mark(config: Any) -> None:
        next(iter(config["config"].values()))["use_pickle"] = True

    return edited(content, WEIGHTS, mark) | {"data/weights/weight_0": bomb}


def pickle_weight_without_a_word(content: Entries, bomb: bytes) -> Entries:
    def unmark(config: Any) -> None:
        del next(iter(config["config"].values()))["use_pickle"]

    return edited(content, WEIGHTS, unmark) | {"data/weights/weight_0": bomb}


def constant(name: str) -> Callable[[Entries, bytes], Entries]:
    meta = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}

    def plant(content: Entries, bomb: bytes) -> Entries:
        planted = edited(content, CONSTANTS, lambda config: config["config"].update(c=meta))
        return planted | {f"data/constants/{name}": bomb}

    return plant


def entry(name: str) -> Callable[[Entries, bytes], Entries]:
    return lambda content, bomb: content | {name: bomb}


@pytest.mark.parametrize("pickler", [archives.pickled, archives.torch_pickled])
@pytest.mark.parametrize(
    ("plant", "named"),
    [
        (pickle_weight, "data/weights/weight_0 (the tensor 0.weight)"),
        (pickle_weight_without_a_word, "data/weights/weight_0 (the tensor 0.weight)"),
        (constant("tensor_0"), "data/constants/tensor_0 (the tensor c)"),
        (constant("custom_obj_0"), "data/constants/custom_obj_0"),
        (constant("opaque_obj_0"), "data/constants/opaque_obj_0"),
        (entry("data/constants/custom_obj_7"), "data/constants/custom_obj_7"),
        (entry("data/weights/model.pt"), "data/weights/model.pt"),
        (entry("data/constants/model.pt"), "data/constants/model.pt"),
        (entry("serialized_state_dict.pt"), "serialized_state_dict.pt"),
        (entry("extra/payload.pkl"), "extra/payload.pkl"),
    ],
)
def test_a_pickled_payload_is_refused_by_name(
    tmp_path: Path, content: Entries, plant: Any, named: str, pickler: Callable[[Path], bytes]
) -> None:
    bomb = pickler(tmp_path / "ran")
    path = archive_folder(tmp_path / "toy", packed(plant(content, bomb)))
    assert f"toy/model.pt2: its entry {named} could only be read by unpickling" in problem(path, PickledPayload)
    assert not (tmp_path / "ran").exists()


def test_the_bombs_go_off_where_they_are_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above prove rests on this."""
    monkeypatch.undo()
    torch.load(io.BytesIO(archives.torch_pickled(tmp_path / "ran")), weights_only=False)
    assert (tmp_path / "ran").exists()


class Marked(Tensor):
    """A tensor of a class of its own: torch.export.save pickles such weights."""


def test_what_torch_itself_saves_by_pickle_is_refused(tmp_path: Path) -> None:
    module = toy_module()
    weight = module.get_parameter("4.weight").detach()
    module.register_buffer("marked", weight.as_subclass(Marked))
    path = archive_folder(tmp_path / "toy", saved(module))
    assert "(the tensor marked) could only be read by unpickling" in problem(path, PickledPayload)


def everywhere(key: str, text: str) -> Callable[[Any], None]:
    """Put the text at the first place that has the key."""

    def change(value: Any) -> None:
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, dict) and item.get(key):
                item[key] = [text] if isinstance(item[key], list) else text
                return
            waiting.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        raise KeyError(key)

    return change


TOUCH = "__import__('pathlib').Path({!r}).touch()"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("expr_str", TOUCH),
        ("expr_str", "eval({0!r})"),
        ("expr_str", "S({0!r})"),
        ("expr_str", "Symbol('s0').name.__class__"),
        ("expr_str", "[x for x in (1,)]"),
        ("expr_str", "Lambda(x, lambda: 1)"),
        ("expr_str", "Symbol('a b')"),
        ("in_spec", '[1, {{"type": "collections.defaultdict", "context": "{{}}", "children_spec": []}}]'),
        ("in_spec", '[1, {{"type": "builtins.dict", "context": "[{{\\"__enum__\\": 1}}]", "children_spec": []}}]'),
        ("in_spec", "not json"),
        ("target", "torch.os.system"),
        ("target", "torch.load"),
        ("target", "#other:op"),
        ("name", "x=print(1)"),
        ("forward_arg_names", "x, y=print({0!r})"),
        ("parameter_name", "0.weight' + print('"),
    ],
)
def test_text_that_torch_would_run_is_refused(tmp_path: Path, content: Entries, key: str, text: str) -> None:
    planted = edited(content, PROGRAM, everywhere(key, text.format(str(tmp_path / "ran"))))
    detail = problem(archive_folder(tmp_path / "toy", packed(planted)))
    assert detail.startswith(f"toy/model.pt2: the graph's {key} ")
    assert "could be run as code" in detail
    assert not (tmp_path / "ran").exists()


def test_guards_are_left_out_for_they_would_be_compiled(tmp_path: Path, content: Entries) -> None:
    def guard(program: Any) -> None:
        program["guards_code"] = [TOUCH.format(str(tmp_path / "ran"))]

    folder = read_folder(archive_folder(tmp_path / "toy", packed(edited(content, PROGRAM, guard))))
    load_program(folder).module()(samples())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: {n: v for n, v in c.items() if n != PROGRAM}, "its entry models/model.json is missing"),
        (lambda c: {n: v for n, v in c.items() if n != WEIGHTS}, f"its entry {WEIGHTS} is missing"),
        (lambda c: {n: v for n, v in c.items() if n != "data/weights/weight_1"}, "for the tensor '0.bias', is missing"),
        (lambda c: {n: v for n, v in c.items() if n != "archive_format"}, "it was not written by torch.export.save"),
        (lambda c: c | {PROGRAM: b"{"}, "its entry models/model.json is not JSON"),
        (lambda c: c | {PROGRAM: b"[]"}, "its entry models/model.json has no graph"),
        (lambda c: c | {WEIGHTS: b"[]"}, f"its entry {WEIGHTS} has no table of tensors"),
        (lambda c: c | {"../../etc/passwd": b""}, "is no plain path below the archive's root"),
        (lambda c: c | {"extra\\..\\x": b""}, "is no plain path below the archive's root"),
        (lambda c: c | {"data/aotinductor/model/a.so": b""}, "it carries compiled code (data/aotinductor/model/a.so)"),
        (lambda c: c | {"extra/zeros": bytes(10**7)}, "'extra/zeros' unpacks to more than 100 times its size"),
        (
            lambda c: edited(c, WEIGHTS, lambda v: v["config"]["0.weight"].update(path_name="../models/model.json")),
            "'data/weights/../models/model.json', for the tensor '0.weight', is missing",
        ),
        (
            lambda c: edited(c, PROGRAM, lambda v: v["schema_version"].update(major=99)),
            "cannot read it (",
        ),
    ],
)
def test_a_wrong_archive_is_told(tmp_path: Path, content: Entries, change: Any, told: str) -> None:
    detail = problem(archive_folder(tmp_path / "toy", packed(change(content))))
    assert detail.startswith("toy/model.pt2: ")
    assert told in detail


def test_bytes_that_are_no_zip_and_a_damaged_entry_are_told(tmp_path: Path, content: Entries) -> None:
    assert "it is no readable zip" in problem(archive_folder(tmp_path / "text", b"hello"))
    data = bytearray(packed(content))
    with ZipFile(io.BytesIO(data)) as file:
        place = file.getinfo("model/data/weights/weight_0").header_offset + 80
    data[place] ^= 0xFF
    assert "it is no readable zip" in problem(archive_folder(tmp_path / "damaged", bytes(data)))


def test_two_entries_of_one_name_are_refused(tmp_path: Path, content: Entries) -> None:
    out = io.BytesIO(packed(content))
    with ZipFile(out, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(f"model/{PROGRAM}", b"{}")
    assert "comes twice" in problem(archive_folder(tmp_path / "toy", out.getvalue()))


def test_the_digest_of_an_archive_is_of_its_content(tmp_path: Path, content: Entries) -> None:
    ways = {
        "plain": packed(content),
        "root": packed(content, root="other"),
        "order": packed(content, names=sorted(content, reverse=True)),
        "sample": packed(content | {"data/sample_inputs/model.pt": b"other"}),
        "extra": packed(content | {"extra/note.txt": b"stray"}),
    }
    digests = {read_folder(archive_folder(tmp_path / name, data)).digest for name, data in ways.items()}
    assert len(digests) == 1
    weight = content["data/weights/weight_0"]
    other = packed(content | {"data/weights/weight_0": weight[:-1] + bytes([weight[-1] ^ 1])})
    assert read_folder(archive_folder(tmp_path / "weight", other)).digest not in digests
    graph = packed(edited(content, PROGRAM, everywhere("target", "torch.ops.aten.tanh.default")))
    assert read_folder(archive_folder(tmp_path / "graph", graph)).digest not in digests


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
    told = r"toy: what the model computes depends on the values it meets at test_loading.py:\d+ \(return x if x.sum\(\)"
    with pytest.raises(InvalidFolder, match=told):
        export_module(Forked(), (4,), "toy")
