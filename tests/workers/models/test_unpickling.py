"""Nothing of an archive is unpickled or run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.workers.models import archives
from tests.workers.models.archives import Entries, archive_folder, edited, entries, packed, saved, toy_module
from tests.workers.models.loading_cases import CONSTANTS, PROGRAM, WEIGHTS, entry, everywhere, problem, samples
from workers.explanation.errors import PickledPayload
from workers.models.folder import read_folder
from workers.models.loading import load_program


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
