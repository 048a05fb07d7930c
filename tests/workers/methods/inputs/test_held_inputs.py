"""What is held stays as it is, and each of several inputs is altered by its own measure and named as itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.orders import work as work_of
from tests.several import NETS, ROW, batch_of_inputs, model_of_inputs, rows_of, toy
from workers.engine.model.inputs import named
from workers.engine.perturbation.ties import untied
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder, InvalidTensor
from workers.explanation.inputs import explained
from workers.explanation.table import check_row
from workers.explanation.target import ValueTarget
from workers.explanation.tensors import encode_npy
from workers.methods.catalogue import parse_method
from workers.methods.evaluation.pixel_flipping import PixelFlipping
from workers.methods.evaluation.pixel_flipping.compute import filled, patches
from workers.runtime.execute.model_inputs import prepared


def test_against_ties_each_input_moves_by_a_share_of_its_own_range() -> None:
    """Ids are the largest numbers of the list, and say nothing of how far apart their embeddings lie."""
    _, model, rows = toy("image and text")
    x = model.join({**rows, "ids": rows["ids"] % 2 + 18})
    batch = batch_of_inputs(model, {**rows, "ids": rows["ids"] % 2 + 18}, seeds=[0, 1, 2])
    moved = untied(model, batch, 0.01).x
    for part in model.card.input.parts:
        before, after = (values[:, part.start : part.stop] for values in (x, moved))
        wide = before.amax(1) - before.amin(1) if part.embedding else torch.full((3,), 2.0)  # an image's is -1 .. 1
        far = (after - before).abs().amax(1)
        assert (far <= 0.01 * wide * (0 if part.held else 1) + 1e-12).all()
        assert part.held or (far > 0).all()


class Gated(nn.Module):
    """w . (x m), m given as context."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 1, bias=False)

    def forward(self, row: Tensor, gate: Tensor) -> Tensor:
        output: Tensor = self.fc(row * gate)[:, 0]
        return output


def test_a_counterfactual_moves_no_context() -> None:
    torch.manual_seed(0)
    module, specs = Gated(), {"row": ROW, "gate": InputSpec(shape=(5,), held=True)}
    rows = {"row": torch.rand(3, 5) - 0.5, "gate": torch.tensor([[1.0, 1, 0, 1, 1]] * 3)}
    model = model_of_inputs(module, specs, rows, output="value")
    batch = batch_of_inputs(model, rows)
    batch.targets = [ValueTarget()] * 3
    found = parse_method("counterfactual").explain(model, batch)
    torch.testing.assert_close(found.arrays["attribution"][:, 5:], torch.zeros(3, 5, dtype=torch.float64))
    w = module.fc.weight.detach().double()[0] * rows["gate"][0]
    change = -(rows["row"].double() @ w)[:, None] * w / (w @ w)
    torch.testing.assert_close(found.arrays["attribution"][:, :5], change, rtol=1e-6, atol=1e-9)


def test_segments_are_named_by_the_same_numbers_at_every_channel() -> None:
    _, model, rows = toy("image and row")
    method = parse_method({"name": "kernel_shap", "segments": "grid", "count": 4, "samples": 64})
    found = method.explain(model, batch_of_inputs(model, rows, seeds=[0, 0, 0]))
    told = named(found, model.card.input, method.of_places()).arrays
    assert sorted(set(told["segments.image"].flatten().tolist())) == [0, 1, 2, 3]
    assert told["segments.row"][0].tolist() == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("cut", ["word", "token"])
def test_a_picture_beside_a_text_is_cut_as_ever(cut: str, plain: bool) -> None:
    """Whatever the text is cut by; of one colour, too, where quickshift finds nothing to cut."""
    _, model, rows = toy("image and text")
    if plain:
        rows["image"] = torch.full_like(rows["image"], 0.25)
    batch = batch_of_inputs(model, rows, seeds=[0, 0, 0])
    usual, found = (
        named(method.explain(model, batch), model.card.input, method.of_places()).arrays
        for method in (
            parse_method({"name": "lime", "samples": 40, "count": 6, **by}) for by in ({}, {"segments": cut})
        )
    )
    np.testing.assert_array_equal(found["segments.image"], usual["segments.image"])
    judge = parse_method({"name": "word_deletion", "of": ["gradient"], "steps": 4, "segments": cut})
    assert bool(judge.explain(model, batch).arrays["curves"].isfinite().all())


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_patch_is_of_one_input_and_its_mean_of_one_channel(side: int) -> None:
    _, model, rows = toy("image and text")
    method = parse_method({"name": "pixel_flipping", "patch": side})
    assert isinstance(method, PixelFlipping)
    batch = batch_of_inputs(model, rows)
    cut = patches(model, batch, method)
    labels, blank = cut.labels[0], filled(model, batch, "patch_mean", cut)
    seen: set[int] = set()
    for part in model.card.input.parts:
        now, own = blank[:, part.start : part.stop], labels[part.start : part.stop].view(part.shape)
        if part.held:
            torch.testing.assert_close(now, batch.x[:, part.start : part.stop], rtol=0, atol=0)
            continue
        numbers = set(own.flatten().tolist())
        assert seen.isdisjoint(numbers)
        seen |= numbers
        x = batch.x[:, part.start : part.stop].view(3, *part.shape)
        channels = part.channels if part.channels is not None else 0
        for number in numbers:
            inside = (own == number).movedim(channels, 0)[0]
            means = x.movedim(channels + 1, 1)[:, :, inside].mean(2)
            found = now.view(3, *part.shape).movedim(channels + 1, 1)[:, :, inside]
            means = means * (0 if part.embedding and side == 1 else 1)  # a lone token has no mean but itself
            torch.testing.assert_close(found, means[:, :, None].expand_as(found))
    assert len(explained(model.card.input)) == 2
    assert sorted(seen) == list(range(len(seen)))


def test_pixel_flipping_takes_away_what_is_explained_alone() -> None:
    """With all gone the score is that of the blank inputs, context as it is."""
    _, model, rows = toy("image and text")
    batch = batch_of_inputs(model, rows)
    method = parse_method({"name": "pixel_flipping", "of": "gradient", "patch": 4, "fill": "zero", "score": "logit"})
    curve = torch.as_tensor(method.explain(model, batch).arrays["curves"])
    gone = batch.x.clone()
    for part in explained(model.card.input):
        gone[:, part.start : part.stop] = 0
    assert curve.shape[2] == 1 + 4 + 2  # quarters of the image, and two patches of tokens
    torch.testing.assert_close(curve[:, 0, -1].double(), model.forward(gone)[:, 1], rtol=1e-6, atol=1e-9)


def test_a_card_that_names_an_argument_at_the_place_of_another_is_refused() -> None:
    """By their order `right` would be the left one; by their names nothing would be `first`."""
    module, picture = NETS["siamese"][0](), InputSpec(shape=(1, 8, 8))
    rows = rows_of({"left": picture, "right": picture})
    with pytest.raises(InvalidFolder, match="right is the argument left by its place"):
        model_of_inputs(module, {"right": picture, "second": picture}, rows)
    model = model_of_inputs(module, {"first": picture, "second": picture}, rows)
    swapped = model_of_inputs(module, {"right": picture, "left": picture}, rows)
    given = {"first": rows["left"], "second": rows["right"]}
    torch.testing.assert_close(model.run(model.join(given)), swapped.run(swapped.join(rows)))


@pytest.mark.parametrize("wrong", [1.5, -0.25, 2.0**24])
def test_ids_are_whole_numbers_that_stay_apart_in_float32(wrong: float) -> None:
    """Cut off, or rounded, it would be another token that is explained."""
    ids = InputSpec(shape=(2,), dtype="int64")
    check_row(np.array([2**24 - 1, 0], np.float32), ids, "/input")
    with pytest.raises(InvalidTensor, match="ids, which are whole numbers below 16777216"):
        check_row(np.array([1, wrong], np.float32), ids, "/input")
    work = replace(work_of(), kind="tensor", data=encode_npy(np.array([1, wrong])))
    with pytest.raises(InvalidTensor, match="whole numbers"):
        prepared(work, {"ids": ids})
