"""What `whence export` writes has the module's outputs and gradients, or is not written, and a sentence says why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.toys import batch_of
from tests.workers.models import odd_nets as odd
from workers.engine.model.model import Model
from workers.explanation.tensors import encode_npy, encode_safetensors
from workers.export import main
from workers.models.folder import read_folder
from workers.models.loading import load_model

HALVES = (torch.bfloat16, torch.float16, torch.float64)

BUILD = "from tests.workers.models import odd_nets\ndef build(): return odd_nets.factory()\n"


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exports a module by a factory; the path of the folder, or what was told in its place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.py").write_text(BUILD)

    def export(factory: Callable[[], Any], shape: str, *options: str) -> Any:
        monkeypatch.setattr(odd, "factory", factory, raising=False)
        (tmp_path / "given.py").write_text(BUILD)
        code = main(["python:given.py:build", "--out", "models/net", "--shape", shape, *options])
        told = capsys.readouterr()
        assert "Traceback" not in told.err + told.out
        assert code == (0 if (tmp_path / "models/net").exists() else 1)
        export.said = told.err  # type: ignore[attr-defined]
        return tmp_path / "models/net" if code == 0 else told.err

    return export


def slopes(model: Model, x: Tensor) -> Tensor:
    """The gradients of the first output at x."""
    return model.gradient(x, batch_of(x, 0).targets)[1]


LOST: dict[str, tuple[Any, str]] = {
    "straight through": (odd.StraightThrough.apply, "backward of the autograd Function StraightThrough in the layer 1"),
    "reversal": (odd.Reversal.apply, "the backward of the autograd Function Reversal in the layer 1"),
    "clamp": (odd.OpenClamp.apply, "the backward of the autograd Function OpenClamp in the layer 1"),
    "detach": (lambda x: x + (x.round() - x).detach(), "leaves out detach in the layer 1"),
    "hook": (odd.hooked, "leaves out a tensor's gradient hook in the layer 1"),
    "no_grad": (odd.partly_without_gradients, "leaves out torch.no_grad in the layer 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_gradients_that_a_graph_does_not_keep_are_named(export: Any, name: str) -> None:
    function, named = LOST[name]
    told = export(lambda: odd.around(function), "4")
    assert "gives the model's outputs, but not its gradients" in told
    assert named in told


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (odd.FrugalSwish.apply, "FrugalSwish in the layer 1 has a backward of its own"),
        (odd.steady_softmax, ""),
        (odd.without_gradients, "the module allows no gradients (torch.no_grad)"),
    ],
)
def test_what_changes_no_gradient_is_written(export: Any, function: Any, said: str) -> None:
    folder = export(lambda: odd.around(function), "4")
    assert said in export.said
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    module = odd.around(functional.relu if function is odd.without_gradients else function)
    wanted = torch.autograd.grad(module(x)[:, 0].sum(), x)[0]
    torch.testing.assert_close(slopes(load_model(read_folder(folder)), x.detach()), wanted, rtol=1e-4, atol=1e-5)


class TokensBehindANorm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm, self.mix = nn.Conv2d(3, 6, 3, padding=1), norm, nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.stem(x)).flatten(2).transpose(1, 2)
        output: Tensor = self.mix(tokens).square().mean(1)
        return output


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(6), nn.InstanceNorm2d(6, affine=True)])
def test_slopes_before_a_norm_that_tokens_follow_are_those_of_several_rows(export: Any, norm: nn.Module) -> None:
    """torch hands a lone row wrong ones there, to the module as to the graph; two rows get the right ones."""
    torch.manual_seed(0)
    module = TokensBehindANorm(norm)
    module.norm(torch.randn(9, 6, 4, 4) * 2 + 1)
    path = export(lambda: module, "3,6,6")
    x = torch.randn(2, 3, 6, 6)
    several = module.eval()(both := x.clone().requires_grad_())
    (expected,) = torch.autograd.grad(several[:, 0].sum(), both)
    model = load_model(read_folder(path))
    torch.testing.assert_close(slopes(model, x), expected, rtol=1e-4, atol=1e-6)
    for row, own in zip(x, expected, strict=True):
        torch.testing.assert_close(slopes(model, row[None])[0], own, rtol=1e-4, atol=1e-6)
    assert "a row at a time" not in export.said


def test_ids_reach_their_gradients_at_the_embedding(export: Any) -> None:
    class Reversed(odd.Ids):
        def forward(self, ids: Tensor) -> Tensor:
            return odd.reversed_gradient(super().forward(ids))

    assert "autograd Function Reversal" in export(Reversed, "6")


class Categories(nn.Module):
    """Two columns of ids and one of numbers, each column in a table of its own, or both in one by offsets."""

    offsets: Tensor

    def __init__(self, change: Callable[[Tensor], Tensor], shared: str = "") -> None:
        super().__init__()
        self.one, self.other, self.fc = nn.Embedding(12, 3), nn.Embedding(7, 3), nn.Linear(4, 2)
        self.register_buffer("offsets", torch.tensor([0, 7]))
        self.change, self.shared = change, shared

    def forward(self, ids: Tensor, row: Tensor) -> Tensor:
        if self.shared:
            offsets = self.offsets if self.shared == "buffer" else torch.tensor([0, 7], device=ids.device)
            found = self.change(self.one(ids + offsets)).prod(1)
        else:
            found = self.change(self.one(ids[:, 0])) * self.other(ids[:, 1])
        output: Tensor = self.fc(torch.cat([found, row], 1))
        return output


@pytest.mark.parametrize("shared", ["", "buffer", "constant"])
def test_columns_of_ids_reach_their_gradients_at_their_embeddings(export: Any, shared: str) -> None:
    options = ("--shape", "1", "--names", "ids,row", "--ids", "ids")
    assert "autograd Function Reversal" in export(lambda: Categories(odd.Reversal.apply, shared), "2", *options)
    folder = export(lambda: Categories(torch.tanh, shared), "2", *options)
    assert isinstance(folder, Path), folder
    assert load_model(read_folder(folder)).tables == {"ids": 5 if shared else 7}


TAKEN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "padding mask": (odd.Ids, "6"),
    "other padding": (lambda: odd.Ids(padding=3), "6"),
    "ids alone": (lambda: odd.Ids(cast=False), "6"),
    "bag": (odd.Bag, "6"),
    "columns": (odd.Columns, "4"),
    "spectrogram": (odd.Spectrogram, "64"),
    "strided": (odd.Strided, "4"),
    "mixed": (odd.Mixed, "4"),
    "data parallel": (lambda: nn.DataParallel(odd.around(torch.relu)), "4"),
    "compiled": (lambda: cast(nn.Module, torch.compile(odd.around(torch.relu), backend="eager")), "4"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(2)), "4"),
    "one in a tuple": (lambda: nn.Sequential(odd.around(torch.relu), odd.Layer(lambda x: (x,))), "4"),
    **{f"convolutions in {d}": ((lambda d=d: odd.Convolutions(d)), "3,6,6") for d in HALVES},  # type: ignore[misc]
    **{f"norms in {d}": ((lambda d=d: odd.Normed(d)), "4") for d in HALVES},  # type: ignore[misc]
    **{f"LSTM in {d}": ((lambda d=d: odd.Recurrent(d)), "5,3") for d in HALVES},  # type: ignore[misc]
}


LONG = ("other padding", "ids alone", *(f"LSTM in {d}" for d in HALVES))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in TAKEN]
)
def test_what_is_written_answers_as_the_module_in_float64(export: Any, name: str) -> None:
    factory, shape = TAKEN[name]
    module = factory()
    folder = export(lambda: module, shape)
    assert isinstance(folder, Path), folder
    model = load_model(read_folder(folder))
    x = torch.randint(1, 5, (3, *model.card.input.shape), generator=torch.Generator().manual_seed(3)).float()
    x[1, -2:] = 0
    double = _in_double(module)
    with torch.no_grad():
        wanted = [double(row[None].long() if name == "ids alone" else row[None].double()) for row in x]
    expected = torch.cat([output[0] if isinstance(output, tuple) else output for output in wanted])
    torch.testing.assert_close(model.forward(x).double(), expected.double(), rtol=1e-4, atol=1e-5)


def _in_double(module: nn.Module) -> nn.Module:
    """The module in float64, casts in its forward included."""
    module = copy.deepcopy(getattr(module, "_orig_mod", module)).double()
    if isinstance(module, odd.Normed):
        module.dtype = torch.float64
    if isinstance(module, odd.Mixed):
        return nn.Sequential(module.short, nn.ReLU(), module.long)
    if isinstance(module, odd.Spectrogram):
        module.filter.data = module.filter.data.to(torch.complex128)
    return module


@pytest.mark.parametrize("dtype", HALVES)
def test_the_card_says_how_weights_are_stored(export: Any, dtype: torch.dtype) -> None:
    card = load_model(read_folder(export(lambda: odd.Convolutions(dtype), "3,6,6"))).card
    assert (card.stored, card.precision) == ((str(dtype).removeprefix("torch."),), "float32")


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: odd.around(lambda x: (-x.abs() - 1).sqrt()), "gives NaN, first in the layer 1 (sqrt) for a"),
    "infinity": (lambda: odd.around(lambda x: 1 / (x * 0)), "gives NaN, first in the layer 2 (linear)"),
    "checkpoint": (
        lambda: odd.around(lambda x: checkpoint(torch.relu, x, use_reentrant=True)),
        "the model runs, but its gradients cannot be taken: When use_reentrant=True",
    ),
    "always on": (odd.AlwaysTraining, "dropout in the layer inner.1 draws random numbers"),
    "random": (lambda: odd.around(lambda x: functional.dropout(x, 0.5, True)), "in the layer 1 draws random numbers"),
    "state in a buffer": (lambda: odd.Remembers(True), "keeps state from one call to the next"),
    "state in an attribute": (lambda: odd.Remembers(False), "keeps state from one call to the next"),
    "torch.compiler": (
        lambda: odd.around(lambda x: x * 2 if torch.compiler.is_exporting() else x * 3),
        "first in the layer 1; the model computes something else while it is exported",
    ),
    "data": (lambda: odd.around(lambda x: x + (x.round() - x).data), "takes a value out of the trace, by .data or"),
    "values": (lambda: odd.around(lambda x: x if x.sum() > 0 else -x), "depends on the values it meets at test_f"),
    "item": (lambda: odd.around(lambda x: x[:, : int((x > 9).sum().item()) + 6]), "depends on the values it meets at"),
    "tuple": (lambda: odd.Layer(lambda x: (x, x)), "say which is explained, by --select NAME"),
    "dict": (lambda: nn.Sequential(odd.Layer(lambda x: {"a": x, "b": x})), "a dict of 2 tensors ("),
    "nothing": (lambda: odd.Layer(lambda x: None), "the model returns a NoneType; Whence explains one tensor"),
    "classes": (lambda: odd.Layer(lambda x: x.argmax(1)), "returns whole numbers (int64), which have no slope"),
    "complex": (lambda: odd.Layer(torch.fft.rfft), "returns complex numbers, which have no slope"),
    "inputs": (lambda: nn.Bilinear(4, 4, 2), "forward takes 2 inputs (input1, input2)"),
    "script": (lambda: torch.jit.script(nn.Linear(4, 2)), "is TorchScript, which torch.export does not take"),
    "meta": (lambda: nn.Linear(4, 2, device="meta"), "weights weight are on the meta device, without numbers"),
    "class": (lambda: nn.Linear, "gave no torch.nn.Module, but the class Linear; it should return Linear(...)"),
    "weights": (lambda: nn.Linear(4, 2).state_dict(), "but a table of weights; it should return the model"),
    "fixed rows": (lambda: odd.Layer(lambda x: x.view(4, 4)), "does not run on an input of the shape [4] at test_"),
    "bits": (lambda: odd.Layer(lambda x: x.view(torch.int32).float()), "reads the bits of a number"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_written_is_told_in_a_sentence(export: Any, name: str) -> None:
    factory, told = WRONG[name]
    assert told in str(export(factory, "4"))


def test_weights_that_are_not_numbers_are_named(export: Any) -> None:
    def diverged() -> nn.Module:
        net = odd.around(torch.relu)
        nn.init.constant_(net.get_parameter("2.bias"), torch.nan)
        return net

    assert "its weights 2.bias hold NaN" in export(diverged, "4")


def test_the_advice_for_several_outputs_works(export: Any) -> None:
    def chosen() -> nn.Module:
        net = odd.Layer(lambda x: {"logits": x[:, :2], "features": x})
        net.register_forward_hook(lambda module, inputs, output: output["logits"])
        return net

    assert load_model(read_folder(export(chosen, "4"))).card.outputs == (2,)


def logarithm() -> nn.Module:
    return nn.Sequential(odd.Layer(lambda x: (x - 10).log()), nn.Linear(4, 2))


@pytest.mark.parametrize("form", ["x.npy", "x.safetensors"])
def test_an_example_is_what_is_compared_on(export: Any, form: str, tmp_path: Path) -> None:
    assert "give an input that it is meant for, by --example FILE" in export(logarithm, "4")
    for values, fits in ((np.full((2, 4), 11.5), True), (np.full(4, 3.0), False), (np.full(5, 11.5), False)):
        wide = np.asfortranarray(values)
        (tmp_path / form).write_bytes(encode_npy(wide) if form == "x.npy" else encode_safetensors({"x": wide}))
        told = export(logarithm, "4", "--example", form)
        assert isinstance(told, Path) is fits
        if not fits:
            right = "gives NaN" if values.shape == (4,) else "its shape is [5]; it should be [4], or several"
            assert right in told
        else:
            told.rename(tmp_path / "kept")


class Placed(nn.Module):
    """A series, of which each step has a place in a table of few."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places, self.head = nn.Embedding(places, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, :, None] * self.places(torch.arange(x.shape[1]))
        output: Tensor = self.head(torch.tanh(seen).mean(1))
        return output


class Wide(nn.Module):
    """A window that is wider than most series."""

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Conv1d(1, 2, 100)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = torch.relu(self.window(x[:, None])).mean(2)
        return output


@pytest.mark.parametrize(
    ("factory", "length"), [(lambda: Placed(20), 11), (lambda: Placed(5), 3), (Wide, 150)], ids=["20", "5", "wide"]
)
def test_a_length_that_a_model_takes_is_found(export: Any, factory: Any, length: int) -> None:
    """Nothing says that a series of 64 steps is none of its."""
    model = load_model(read_folder(export(factory, "*")))
    assert model.sized(((length,),)).run(torch.randn(2, length)).shape == (2, 2)


def test_where_no_length_does_an_example_is_asked_for_and_helps(export: Any, tmp_path: Path) -> None:
    def thirds() -> nn.Module:
        return odd.Layer(lambda x: x.view(x.shape[0], 3, x.shape[1] // 3).mean(2))

    told = export(thirds, "*")
    assert "was tried with 64, 256, 16, 4 places: whence export --example FILE takes" in told
    np.save(tmp_path / "x.npy", np.ones((2, 12), np.float32))
    told = export(thirds, "*", "--example", "x.npy")
    assert isinstance(told, Path), told
