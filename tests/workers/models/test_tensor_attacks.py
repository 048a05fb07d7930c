"""Attacks by an archive's tables of tensors."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export import Dim

from tests.workers.models.archives import Entries, archive_folder, edited, entries, saved
from tests.workers.models.attack_edits import TOUCH, refusal, tensor
from tests.workers.models.loading_cases import PROGRAM, WEIGHTS
from workers.models.folder import read_folder
from workers.models.loading import load


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


@pytest.mark.parametrize(
    "change",
    [
        tensor(sizes=[{"as_int": 10**9}] * 4),
        tensor(sizes=[{"as_int": -2}, {"as_int": 3}, {"as_int": 3}, {"as_int": 3}]),
        tensor(sizes=[{"as_int": 2}]),
        tensor(sizes=[{"as_expr": {"expr_str": TOUCH, "hint": None}}] * 4),
        tensor(sizes=[{"as_int": 2**50}] * 4, strides=[{"as_int": 0}] * 4),
        tensor(strides=[{"as_int": 2**39}] * 4),
        tensor(strides=[{"as_int": -1}] * 4),
        tensor(storage_offset={"as_int": 2**39}),
        tensor(storage_offset={"as_int": 10}),
        tensor(dtype=8),
        tensor(dtype=77),
        tensor(layout=1),
        tensor(device={"type": "meta", "index": None}),
        tensor(device={"type": "cuda:0'); print('", "index": None}),
        tensor(tensor_meta=None),
        tensor(use_pickle="no"),
        tensor(path_name="custom_obj_0"),
        tensor(path_name="../weights/weight_0"),
    ],
)
def test_a_tensor_that_is_not_in_its_bytes_is_refused(tmp_path: Path, content: Entries, change: Any) -> None:
    assert "weight" in refusal(tmp_path / "toy", edited(content, WEIGHTS, change))


def test_memory_that_nobody_wrote_is_zero(tmp_path: Path) -> None:
    """It may hold what another client sent: `empty` is run as `zeros`."""

    class Uninitialised(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = torch.empty(5).repeat(x.shape[0], 1) + x.new_empty(x.shape[0], 5)
            return made + torch.empty_like(x).sum((1, 2, 3))[:, None] + 0 * x.sum((1, 2, 3))[:, None]

    model = load(read_folder(archive_folder(tmp_path / "toy", saved(Uninitialised()))))
    assert not model.forward(torch.ones(2, 3, 6, 6)).any()


class Made(torch.nn.Module):
    """Calls operators that take a type, a layout and a memory format."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = torch.zeros(x.shape[0], 5, dtype=torch.float32, layout=torch.strided)
        more = torch.ones_like(x, memory_format=torch.contiguous_format).to(torch.float32).clone()
        return made + more.sum((1, 2, 3))[:, None] + 0 * x.sum((1, 2, 3), dtype=torch.float32)[:, None]


@pytest.fixture(scope="module")
def made() -> Entries:
    return entries(saved(Made()))


@pytest.mark.parametrize("value", [{"as_int": 2**63 - 1}, {"as_int": -1}, {"as_int": 6}, {"as_bool": True}])
@pytest.mark.parametrize("name", ["dtype", "layout", "memory_format"])
def test_a_number_is_no_type_layout_or_memory_format(
    tmp_path: Path, made: Entries, name: str, value: dict[str, Any]
) -> None:
    """torch finds by it what lies somewhere in memory: one of 2^63 - 1 as a dtype ended the process."""
    said = refusal(tmp_path / "toy", edited(made, PROGRAM, lambda told: _give(told, name, value)))
    assert f"as its {name}, which is no" in said


def test_a_size_is_no_type_where_it_stands_in_the_place_of_one(tmp_path: Path, made: Entries) -> None:
    def computed(told: Any) -> None:
        size = next(iter(told["graph_module"]["graph"]["sym_int_values"]))
        _give(told, "dtype", {"as_sym_int": {"as_name": size}})

    assert "as its dtype, which is no" in refusal(tmp_path / "toy", edited(made, PROGRAM, computed))


class Spectra(torch.nn.Module):
    """Transforms of each kind, scaled in each way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fft, found = torch.fft, x
        for norm in ("backward", "ortho", "forward"):
            half = fft.rfft2(found, norm=norm)
            whole = fft.ifft(fft.fft(half, dim=2, norm=norm), dim=1, norm=norm)
            found = found + fft.irfft2(whole, s=(6, 6), norm=norm) + fft.fft(found, norm=norm).abs()
        return found.flatten(1)[:, :5]


def decomposed() -> bytes:
    """An archive of these by torch's inner forms."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of its trees
        program = torch.export.export(
            Spectra().eval(), (torch.zeros(2, 3, 6, 6),), dynamic_shapes=({0: Dim("batch")},)
        ).run_decompositions()
    torch.export.save(program, out)
    return out.getvalue()


def test_fourier_transforms_are_what_torch_makes_of_them(tmp_path: Path) -> None:
    out = decomposed()
    assert any(b"_fft_" in content for content in entries(out).values())
    x = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    model = load(read_folder(archive_folder(tmp_path / "toy", out)))
    torch.testing.assert_close(model.forward(x), Spectra()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", {"as_ints": [99, 99]}),
        ("dim", {"as_ints": [2**40]}),
        ("dim", {"as_ints": [-(2**63)]}),
        ("dim", {"as_float": 1.0}),
        ("normalization", {"as_int": 99}),
        ("normalization", {"as_float": 1.0}),
        ("last_dim_size", {"as_int": 2**62}),
    ],
)
def test_a_fourier_transform_of_axes_that_are_not_there_is_refused(
    tmp_path: Path, name: str, value: dict[str, Any]
) -> None:
    """torch's inner form takes the sizes of axes from wherever their numbers lead: that ended the process."""
    out = decomposed()
    assert refusal(tmp_path / "toy", edited(entries(out), PROGRAM, lambda told: _give(told, name, value)))


def _give(told: Any, name: str, value: dict[str, Any]) -> None:
    """The value in the place of the first argument of that name."""
    nodes = told["graph_module"]["graph"]["nodes"]
    of_operators = (one for node in nodes if "aten" in node["target"] for one in node["inputs"] if one["name"] == name)
    try:
        next(of_operators)["arg"] = value
    except StopIteration:
        taking = "clone" if name == "memory_format" else "zeros"
        node = next(node for node in nodes if f"aten.{taking}." in node["target"])
        node["inputs"].append({"name": name, "arg": value, "kind": 2})
