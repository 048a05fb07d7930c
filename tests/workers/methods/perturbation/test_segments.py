"""Segments of inputs of any rank, lime on them, and passes shared by targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import LimeBase
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.perturbation.segment_models import FEW, METHODS
from workers.engine.graph.graph import Graph
from workers.engine.model.model import Model
from workers.engine.perturbation.coalitions import halves
from workers.engine.perturbation.segments import grid, segments
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.catalogue import parse_method


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows each forward pass took."""
    seen: list[int] = []
    run = Graph.run

    def counted(graph: Graph, x: Tensor, keep: tuple[int, ...] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        seen.append(len(x))
        return run(graph, x, keep)

    monkeypatch.setattr(Graph, "run", counted)
    return seen  # type: ignore[return-value]  # filled while the test runs


def coloured(mode: str = "RGB", size: int = 32) -> Model:
    """A model of colour images; its function does not matter here."""
    torch.manual_seed(0)
    spec = InputSpec(
        kind="image",
        shape=(3, size, size),
        image=ImageSpec(mode=mode, scale=255.0, mean=(9.0,) * 3, std=(2.0,) * 3),
    )
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    module(torch.zeros(1, 3, size, size))
    return model_of(module, (3, size, size), input=spec)


def two_halves(size: int = 32) -> Tensor:
    """Red on the left, green on the right, with a little noise, as 0..255 normalised."""
    picture = torch.zeros(1, 3, size, size)
    picture[:, 0, :, : size // 2] = 200
    picture[:, 1, :, size // 2 :] = 200
    return (picture + 10 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) - 9) / 2


def test_a_grid_follows_the_inputs_rank() -> None:
    assert grid((6,), 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert grid((4, 4), 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert np.bincount(grid((4, 4, 4), 8).ravel()).tolist() == [8] * 8
    assert grid((2, 30), 15).max() == 14
    assert grid((5,), 5).tolist() == list(range(5))


@pytest.mark.parametrize("cut", ["slic", "quickshift"])
def test_superpixels_keep_to_the_edges_of_the_picture(cut: str) -> None:
    found = segments(coloured(), batch_of(two_halves(), 0), cut, 16)  # type: ignore[arg-type]  # both are cuts
    labels = found.labels[0]
    assert found.counts[0] > 1
    assert sorted(set(labels.flatten().tolist())) == list(range(found.counts[0]))
    left, right = set(labels[:, :16].flatten().tolist()), set(labels[:, 16:].flatten().tolist())
    assert not left & right


def test_superpixels_see_the_colours_of_a_bgr_model() -> None:
    x = two_halves() + torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 20
    rgb = segments(coloured("RGB"), batch_of(x, 0), "slic", 30)
    bgr = segments(coloured("BGR"), batch_of(x.flip(1), 0), "slic", 30)
    assert torch.equal(rgb.labels, bgr.labels)
    assert not torch.equal(rgb.labels, segments(coloured("BGR"), batch_of(x, 0), "slic", 30).labels)


def test_images_are_cut_by_slic_and_the_rest_by_a_grid() -> None:
    image = explain(coloured(), batch_of(two_halves(), 0), name="lime", samples=20)
    assert image.info[0]["cut"] == "slic"
    assert image.info[0]["segments"] == int(image.arrays["segments"].max()) + 1
    series = model_of(nn.Sequential(nn.Conv1d(2, 2, 3), nn.Flatten(), nn.Linear(20, 2)), (2, 12))
    result = explain(series, batch_of(torch.randn(1, 2, 12), 0), name="lime", samples=20, count=4)
    assert result.info[0]["cut"] == "grid"
    assert result.arrays["segments"].tolist() == [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]]


def test_what_cannot_be_cut_is_refused() -> None:
    series = model_of(nn.Sequential(nn.Flatten(), nn.Linear(24, 2)), (2, 12))
    with pytest.raises(MethodNotApplicable, match="draws superpixels"):
        parse_method({"name": "lime", "segments": "slic"}).refuse(series)
    with pytest.raises(InvalidParameter, match="single segment"):
        explain(coloured(), batch_of(torch.zeros(1, 3, 32, 32), 0), name="lime", segments="quickshift")
    wide = model_of(nn.Linear(2001, 2), (2001,))
    with pytest.raises(MethodNotApplicable, match="2001 features"):
        parse_method("kernel_shap").refuse(wide)


@pytest.mark.parametrize("name", METHODS)
def test_the_card_says_which_axis_holds_the_channels(name: str) -> None:
    """A series stored time first: windows run along time, and all channels are hidden together."""
    shape = (12, 2)
    spec = InputSpec(shape=shape, axes=("time", "channel"))
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(24, 2)), shape, input=spec)
    result = explain(model, batch_of(torch.randn(2, *shape), 0), name=name, **FEW[name])
    assert result.arrays["attribution"].shape == (2, 12, 1)
    if name != "rise":
        assert result.arrays["segments"][0].tolist() == list(range(12))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(6,), (2, 9), (1, 4, 4, 4), (2, 3, 3, 3, 2)])
def test_inputs_of_any_rank(name: str, shape: tuple[int, ...]) -> None:
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, *shape))
    few = {**FEW[name], **({"count": 8} if name != "rise" else {})}
    values = attribution(model_of(module, shape), batch_of(torch.randn(2, *shape), 0), name=name, **few)
    assert values.shape == ((2, 6) if shape == (6,) else (2, 1, *shape[1:]))
    assert values.dtype == torch.float32


def test_lime_recovers_the_weights_of_a_model_linear_in_the_segments() -> None:
    """Exact without a penalty; the default one shrinks each by about alpha over a column's weighted variance."""
    torch.manual_seed(0)
    linear, x = nn.Linear(12, 2), torch.randn(2, 12)
    model = model_of(linear, (12,), dtype=torch.float64)
    expected = ((x - 0.3) * linear.weight[1].detach()).double()
    exact = explain(model, batch_of(x.double(), 1), name="lime", alpha=0, fill="constant", value=0.3)
    torch.testing.assert_close(exact.arrays["attribution"], expected, rtol=1e-5, atol=1e-7)
    assert all(info["r2"] == pytest.approx(1) for info in exact.info)
    shrunk = attribution(model, batch_of(x.double(), 1), name="lime", fill="constant", value=0.3)
    torch.testing.assert_close(shrunk, expected, rtol=0.03, atol=0.01)


def test_lime_equals_captums_on_the_same_coalitions() -> None:
    module, x = net(), inputs(1)
    labels = torch.from_numpy(grid((8, 8), 16))
    drawn = iter(halves(16, 60, torch.Generator().manual_seed(5)).float())

    def similarity(_: Tensor, __: Tensor, shown: Tensor, **___: object) -> float:
        distance = pairwise_distances(shown.numpy(), np.ones((1, 16)), metric="cosine").item()
        return float(np.sqrt(np.exp(-(distance**2) / 0.25**2)))

    theirs = LimeBase(
        module, SkLearnRidge(alpha=1.0), similarity, lambda *_, **__: next(drawn)[None], True,
        lambda shown, x, **__: x * shown[0][labels], None,
    ).attribute(x, target=1, n_samples=60)  # fmt: skip
    ours = explain(
        model_of(module, (1, 8, 8)), batch_of(x, 1, seeds=[5]), name="lime", segments="grid", count=16, samples=60
    )
    assert torch.equal(ours.arrays["segments"][0].long(), labels)
    torch.testing.assert_close(ours.arrays["attribution"][0, 0], theirs[0].float()[labels], rtol=1e-3, atol=1e-4)


def test_the_standard_error_of_lime_is_that_of_repeated_runs() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1).repeat(60, 1, 1, 1)
    result = explain(model, batch_of(x, 1, seeds=list(range(60))), name="lime", segments="grid", count=16, samples=200)
    stated = result.arrays["standard_error"].mean()
    assert float(stated) == pytest.approx(float(result.arrays["attribution"].std(0).mean()), rel=0.1)
    assert float(stated) == pytest.approx(np.mean([info["standard_error"] for info in result.info]), rel=1e-3)


def test_lime_watches_the_probability_if_asked() -> None:
    module, x = net(), inputs(1)
    softmax = nn.Sequential(module, nn.Softmax(1))
    watched = attribution(model_of(module, (1, 8, 8)), batch_of(x, 1), name="lime", samples=50, score="probability")
    outright = attribution(model_of(softmax, (1, 8, 8)), batch_of(x, 1), name="lime", samples=50)
    torch.testing.assert_close(watched, outright, rtol=1e-3, atol=1e-5)
    with pytest.raises(MethodNotApplicable, match="of which there is no probability"):
        parse_method({"name": "rise", "score": "probability"}).refuse(model_of(nn.Linear(4, 1), (4,), output="value"))
