"""A right folder is read; each way of being wrong names the file, what is wrong and what would be right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.workers.models.folders import weights, write_folder
from workers.explanation.errors import InvalidFolder
from workers.models.folder import find_folders, read_folder

IMAGE = "input.image"


def problem(path: Path) -> str:
    with pytest.raises(InvalidFolder) as caught:
        read_folder(path)
    return caught.value.detail


def test_a_right_folder_is_read_with_defaults_filled_in(tmp_path: Path) -> None:
    folder = read_folder(write_folder(tmp_path / "toy", {"model.accuracy": 0.5}))
    assert (folder.name, str(folder.source), folder.output) == ("toy", "python:net.py:build", "logits")
    assert folder.labels == ("a", "b", "c", "d", "e")
    assert folder.default_method == "integrated_gradients"
    assert folder.accuracy == 0.5
    assert folder.input.image is not None
    assert (folder.input.image.mean, folder.input.image.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": None}, "the section [model] is missing; it should be a section [model] with at least a source"),
        ({"input": None}, "the section [input] is missing"),
        ({"model.source": None}, "[model] source is missing; it should be a string"),
        ({"input.shape": None}, "[input] shape is missing; it should be a list of positive whole numbers"),
        ({"model.sorce": "model.pt2"}, "[model] sorce is not known; did you mean source?"),
        ({"modle.source": "model.pt2"}, "the section [modle] is not known; did you mean model?"),
        ({f"{IMAGE}.means": [0.5]}, "[input.image] means is not known; did you mean mean?"),
        ({"input.zzz": 1}, "[input] zzz is not known; there are: kind, shape"),
        ({"model.source": 3}, "[model] source is wrong; it should be a string"),
        (
            {"model.output": "logit"},
            "[model] output is wrong; it should be one of logits, binary, multilabel, probabilities",
        ),
        ({"model.accuracy": 99.4}, "[model] accuracy is wrong; it should be a number from 0 to 1"),
        ({"input.kind": "picture"}, "[input] kind is wrong; it should be image, tensor, table or text"),
        ({"input.shape": "3,6,6"}, "[input] shape is wrong; it should be a list of positive whole numbers"),
        ({"input.shape": [3.0, 6, 6]}, "[input] shape is wrong; it should be a list of positive whole numbers"),
        ({"input.shape": [3, 0, 6]}, "[input] shape is [3, 0, 6]; it should be a list of positive whole numbers"),
        ({"input.shape": []}, "[input] shape is []; it should be a list of positive whole numbers"),
        ({"input.shape": [1, 6, 6]}, "[input] shape is [1, 6, 6]; with mode RGB it should be [3, height, width]"),
        ({f"{IMAGE}.mode": "RGBA"}, "[input.image] mode is wrong; it should be one of RGB, BGR, L"),
        ({f"{IMAGE}.mean": 0.5}, "[input.image] mean is wrong; it should be a list of one number for each channel"),
        ({f"{IMAGE}.mean": [0.5]}, "[input.image] mean has 1 numbers; mode RGB has 3 channels"),
        ({f"{IMAGE}.std": [1.0, 1.0]}, "[input.image] std has 2 numbers; mode RGB has 3 channels"),
        ({f"{IMAGE}.std": [1.0, 0.0, 1.0]}, "[input.image] std holds a number that is not positive"),
        ({f"{IMAGE}.scale": 0.0}, "[input.image] scale is 0.0; it should be positive"),
        ({f"{IMAGE}.mean": [float("nan")] * 3}, "it holds nan or inf; every number should be finite"),
        ({f"{IMAGE}.resize": 6}, "[input.image] resize = 6 sets the shorter side only; add crop, or give"),
        ({f"{IMAGE}.resize": [6, 7]}, "[input.image] resize is [6, 7]; without crop it should be the shape's"),
        ({f"{IMAGE}.resize": "big"}, "[input.image] resize is wrong; it should be the shorter side in pixels"),
        ({f"{IMAGE}.crop": 5}, "[input.image] crop is 5; it should give the shape's height and width [6, 6]"),
        ({f"{IMAGE}.crop": 6, f"{IMAGE}.resize": 5}, "[input.image] resize is smaller than crop = 6"),
        ({f"{IMAGE}.resize": [-6, 6]}, "[input.image] resize and crop should be positive whole numbers"),
        ({"input.image": None}, "the section [input.image] is missing"),
        ({"input.kind": "tensor"}, "[input.image] is for images; set kind"),
        ({"input.low": 0.0, "input.high": 1.0}, "[input] low and high are for tensors"),
        ({"input.axes": ["channel"]}, "[input] axes names 1 axes; the shape [3, 6, 6] has 3"),
        ({"input.names": ["a", "b"]}, "[input] names has 2 entries; the first axis of the shape [3, 6, 6] has 3"),
        ({"model.source": "model.onnx"}, "[model] source is wrong; it should be"),
        ({"model.source": "python:net.py"}, "[model] source is wrong; it should be"),
        ({"model.source": "python:os;x:f"}, "[model] source is wrong; it should be"),
        ({"model.source": "../net.pt2", "model.weights": None}, "[model] source leads out of the folder"),
        ({"model.source": "python:/etc/net.py:build"}, "[model] source leads out of the folder"),
        ({"model.weights": "../weights.safetensors"}, "[model] weights leads out of the folder"),
        ({"labels.file": "../../labels.txt"}, "[labels] file leads out of the folder"),
        ({"model.weights": None}, "[model] weights is missing; a python: source needs a safetensors file"),
        ({"model.weights": "weights.pth"}, "[model] weights should name a .safetensors file"),
        ({"model.source": "net.pt2"}, "[model] weights is for module sources; a .pt2 archive carries its own"),
        ({"model.default_method": "gradients"}, "[model] default_method names no method; did you mean gradient?"),
        ({"model.default_method": 1}, "[model] default_method is wrong; it should be the name of a method"),
    ],
)
def test_a_wrong_card_says_what_would_be_right(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    detail = problem(write_folder(tmp_path / "toy", changes))
    assert detail.startswith("toy/card.toml: ")
    assert told in detail
    assert str(tmp_path) not in detail


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input.low": 0.0}, "[input] low and high come together"),
        ({"input.low": [0.0], "input.high": 1.0}, "[input] low has 1 numbers; the first axis of the shape has 3"),
        ({"input.low": 1.0, "input.high": [2.0, 1.0, 3.0]}, "[input] low should be below high in every channel"),
    ],
)
def test_a_tensors_range_is_checked(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    tensor = {"input.kind": "tensor", "input.image": None}
    assert told in problem(write_folder(tmp_path / "toy", tensor | changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model.source": "python:other.py:build"}, "toy/other.py: there is no such file; card.toml names it"),
        ({"model.source": "m.pt2", "model.weights": None}, "toy/m.pt2: there is no such file; card.toml names it"),
        ({"model.weights": "other.safetensors"}, "toy/other.safetensors: there is no such file; card.toml names it"),
        ({"labels.file": "names.txt"}, "toy/names.txt: there is no such file; card.toml names it as [labels] file"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    assert problem(write_folder(tmp_path / "toy", changes)).startswith(told)


def test_a_card_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "toy/card.toml: it is not TOML" in (told := problem(write_folder(tmp_path / "toy", text="[model\n")))
    assert "line 1" in told


def test_a_card_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "card.toml").write_bytes(b"\xff\xfe[model]")
    assert problem(path) == "toy/card.toml: it is not UTF-8 text; save it as UTF-8"


def test_a_missing_card_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert problem(tmp_path / "empty").startswith("empty/card.toml: there is no such file")
    assert problem(tmp_path / "none").startswith("none: there is no such folder")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1 is empty"),
        (b"a\n\nc\n", "line 2 is empty; it should have one class name a line"),
        (b"\xff\xfe", "it is not UTF-8 text"),
    ],
)
def test_wrong_labels_are_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "labels.txt").write_bytes(content)
    assert problem(path).startswith("toy/labels.txt: " + told)


def test_a_link_to_a_folder_gives_it_the_links_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As releases are switched: one content under two names, each named by its place."""
    there = write_folder(tmp_path / "releases" / "toy-2024.1")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy").symlink_to(there)
    here = read_folder(tmp_path / "models" / "toy")
    assert (here.name, here.digest) == ("toy", read_folder(there).digest)
    (there / "labels.txt").unlink()
    assert problem(tmp_path / "models" / "toy").startswith("toy/labels.txt: ")
    monkeypatch.chdir(there)
    assert problem(Path(".")).startswith("toy-2024.1/labels.txt: ")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "toy")
    shutil.move(path / "weights.safetensors", tmp_path / "elsewhere.safetensors")
    (path / "weights.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert "[model] weights leads out of the folder" in problem(path)


def test_a_name_that_no_url_takes_is_refused(tmp_path: Path) -> None:
    assert "letters, digits" in problem(write_folder(tmp_path / "my model~1"))


def test_one_bad_folder_does_not_stop_the_others_and_stray_files_are_ignored(tmp_path: Path) -> None:
    write_folder(tmp_path / "b_wrong", {"model.source": None})
    write_folder(tmp_path / "a_right")
    write_folder(tmp_path / "c_right")
    (tmp_path / "c_right" / "notes.md").write_text("stray")
    (tmp_path / "README.md").write_text("stray")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__pycache__").mkdir()
    assert [path.name for path in find_folders(tmp_path)] == ["a_right", "b_wrong", "c_right"]
    assert [read_folder(tmp_path / name).name for name in ("a_right", "c_right")] == ["a_right", "c_right"]
    with pytest.raises(InvalidFolder, match=r"b_wrong/card\.toml"):
        read_folder(tmp_path / "b_wrong")


def test_no_models_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidFolder, match="there is no such folder"):
        find_folders(tmp_path / "models")


def test_the_digest_is_of_what_determines_the_result(tmp_path: Path) -> None:
    same = read_folder(write_folder(tmp_path / "a")).digest
    assert same.startswith("sha256:")
    assert len(same) == 71
    assert read_folder(write_folder(tmp_path / "b", {f"{IMAGE}.scale": 1.0, "model.output": "logits"})).digest == same
    other_labels = write_folder(tmp_path / "labels", {"labels.file": "names.txt"})
    (other_labels / "labels.txt").unlink()
    (other_labels / "names.txt").write_text("v\nw\nx\ny\nz\n")
    assert read_folder(other_labels).digest == same


@pytest.mark.parametrize(
    "changes", [{f"{IMAGE}.scale": 255.0}, {"model.output": "evidence"}, {f"{IMAGE}.interpolation": "nearest"}]
)
def test_the_digest_changes_with_the_card(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read_folder(write_folder(tmp_path / "a")).digest != read_folder(write_folder(tmp_path / "b", changes)).digest


def test_the_digest_changes_with_weights_and_code(tmp_path: Path) -> None:
    digests = [read_folder(write_folder(tmp_path / "a")).digest]
    other = write_folder(tmp_path / "weights")
    save_file({name: value + 1 for name, value in weights().items()}, other / "weights.safetensors")
    digests.append(read_folder(other).digest)
    code = write_folder(tmp_path / "code")
    (code / "net.py").write_text((code / "net.py").read_text() + "\n# changed\n")
    digests.append(read_folder(code).digest)
    assert len(set(digests)) == 3
